from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cavs_dist.data.decode import Limits, load_clip
from cavs_dist.data.shard import ClipEntry, ShardReader, read_split
from cavs_dist.data.sources.folder import convert_folder
from cavs_dist.errors import InputError

IDS = np.array([[0, 4, 255], [9, 9, 0]], dtype=np.uint8).repeat(6, axis=0).repeat(6, axis=1)[:, :16]
LABELS = "key,split,classes\nwalk,train,dog; woman\nyard,train,\nstreet,test,car\n"


@pytest.fixture
def root(tmp_path: Path, write_recording: Callable[..., Path]) -> Path:
    root = tmp_path / "mine"
    write_recording(root / "walk", 11, "png")
    write_recording(root / "yard", 1)
    write_recording(root / "street", 2)
    (root / "labels.csv").write_text(LABELS)
    return root


def clips(out: Path, split: str) -> dict[str, ClipEntry]:
    return {clip.key: clip for shard in read_split(out, split) for clip in shard.clips}


def test_without_masks_names_are_alphabetical_and_frames_in_order(root: Path, tmp_path: Path) -> None:
    convert_folder(root, tmp_path / "out")
    train = clips(tmp_path / "out", "train")
    assert dict(read_split(tmp_path / "out", "train")[0].names) == {1: "car", 2: "dog", 3: "woman"}
    assert {key: clip.meta.classes for key, clip in train.items()} == {"walk": ("dog", "woman"), "yard": ()}
    assert train["walk"].meta.annotated == ()
    raw = ShardReader().read(train["walk"], ["frame.10.png"])["frame.10.png"]
    assert raw == (root / "walk/frames/10.png").read_bytes()


def test_masks_belong_to_frames_by_name(root: Path, tmp_path: Path, write_mask: Callable[..., None]) -> None:
    (root / "names.csv").write_text("id,name\n4,woman\n9,dog\n7,car\n")
    write_mask(root / "walk/masks/10.png", IDS)
    (root / "street/audio.wav").rename(root / "street/audio.flac")  # its content tells what it is, not its name
    convert_folder(root, tmp_path / "out")
    walk = clips(tmp_path / "out", "train")["walk"]
    assert walk.meta.annotated == (10,)
    assert np.array_equal(load_clip(ShardReader(), walk, Limits()).masks[10], IDS)
    assert "street" in clips(tmp_path / "out", "test")


def test_masks_that_make_no_sense_reject_their_recording(
    root: Path, tmp_path: Path, write_mask: Callable[..., None]
) -> None:
    (root / "names.csv").write_text("id,name\n4,woman\n3,dog\n7,car\n")
    write_mask(root / "walk/masks/10.png", IDS)
    write_mask(root / "street/masks/5.png", IDS)
    manifest = convert_folder(root, tmp_path / "out")
    reasons = {clip.key: clip.reason for rejected in manifest.rejected.values() for clip in rejected}
    assert reasons == {
        "walk": "masks/10.png: it holds id 9, which names.csv does not name",
        "street": "masks/5.png belongs to no frame: a mask has the name of its frame",
    }


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (None, "there are masks but no"),
        ("id,name\n4,woman\n9,dog\n", "labels.csv hears car, but names.csv names woman, dog"),
        ("id,name\n300,woman\n", "names.csv: 'names' is 300, expected a whole number from 1 to 254"),
        ("id,name\n1,woman\n2,woman\n", "names something twice"),
    ],
)
def test_wrong_names_are_refused(
    root: Path, tmp_path: Path, write_mask: Callable[..., None], names: str | None, words: str
) -> None:
    write_mask(root / "walk/masks/10.png", IDS)
    if names is not None:
        (root / "names.csv").write_text(names)
    with pytest.raises(InputError) as caught:
        convert_folder(root, tmp_path / "out")
    assert words in str(caught.value)
