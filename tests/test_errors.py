import pytest

from cavs_dist.data.shard import CorruptClip
from cavs_dist.errors import InputError


def test_what_reads_untrusted_values_catches_it_as_a_value_error() -> None:
    with pytest.raises(ValueError, match="one clear sentence"):
        raise InputError("one clear sentence")


def test_a_corrupt_clip_is_one_too() -> None:
    assert issubclass(CorruptClip, InputError)
