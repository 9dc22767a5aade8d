import hashlib

import numpy as np
import pytest
import soundfile

from cavs_dist.data.scenes.config import CLASSES
from cavs_dist.data.scenes.items import BANK, RATE, bank, picture, without_pauses


def test_every_class_has_pictures_and_sounds_on_both_sides() -> None:
    assert set(bank().shelves) == {(name, side) for name in CLASSES for side in ("train", "test")}
    assert all(shelf.pictures and shelf.recordings for shelf in bank().shelves.values())
    assert all(bank().backgrounds.values())


def test_the_sides_share_no_recording_and_no_file() -> None:
    for name in CLASSES:
        train, test = (bank().shelves[name, side] for side in ("train", "test"))
        assert not set(train.recordings) & set(test.recordings)
    digests = {
        side: {hashlib.sha256((BANK / file).read_bytes()).digest() for file in files}
        for side, files in {
            side: [
                *bank().backgrounds[side],
                *(file for name in CLASSES for file in bank().shelves[name, side].pictures),
                *(file for name in CLASSES for cuts in bank().shelves[name, side].recordings.values() for file in cuts),
            ]
            for side in ("train", "test")
        }.items()
    }
    assert digests["train"] and digests["test"] and not digests["train"] & digests["test"]


@pytest.mark.parametrize("side", ["train", "test"])
def test_sounds_have_the_rate_of_clips(side: str) -> None:
    for name in CLASSES:
        for files in bank().shelves[name, side].recordings.values():
            header = soundfile.info(str(BANK / files[0]))
            assert (header.samplerate, header.channels) == (RATE, 1)


def test_a_picture_is_cut_to_what_is_visible() -> None:
    alpha = np.asarray(picture(bank().shelves["bell", "train"].pictures[0]).getchannel("A")) >= 128
    assert alpha[0].any() and alpha[-1].any() and alpha[:, 0].any() and alpha[:, -1].any()


def test_only_long_pauses_are_shortened() -> None:
    tone = np.sin(np.arange(RATE, dtype=np.float32))
    short = np.concatenate([tone, np.zeros(RATE // 10, np.float32), tone])
    long = np.concatenate([tone, np.zeros(3 * RATE, np.float32), tone])
    np.testing.assert_array_equal(without_pauses(short), short)
    kept = without_pauses(long)
    assert 2 * RATE < len(kept) <= 2.25 * RATE
    np.testing.assert_allclose(np.square(kept).sum(), 2 * np.square(tone).sum(), rtol=1e-5)
