import pytest

from cavs_dist.data.shard import CorruptClip
from cavs_dist.errors import InputError, Interrupted


def test_what_reads_untrusted_values_catches_it_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="one clear sentence"):
        raise InputError("one clear sentence")


def test_a_stop_is_not_taken_for_wrong_input_or_a_lost_rank() -> None:
    assert not issubclass(Interrupted, ValueError | RuntimeError)


def test_a_corrupt_clip_is_one_too() -> None:
    assert issubclass(CorruptClip, InputError)
