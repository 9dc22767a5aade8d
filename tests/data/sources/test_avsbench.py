import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cavs_dist.data.decode import Limits, load_clip
from cavs_dist.data.shard import ClipEntry, ShardReader, read_split
from cavs_dist.data.sources.avsbench import CLASSES, NAMES, NUM_FRAMES, convert, read_colours
from cavs_dist.data.sources.palette import COLOURS
from cavs_dist.errors import InputError

ROWS = (
    # uid, a_obj, split, label
    ("s1", "emergency-car", "train", "v1s"),
    ("s2", "woman", "val", "v1s"),
    ("m1", "man_guitar", "train", "v1m"),
    ("m2", "background", "train", "v1m"),
    ("v1", "vacuum-cleaner_woman_dog", "train", "v2"),
    ("v2", "off-the-screen", "test", "v2"),
    ("v3", "dog", "test", "v2"),
)
IDS = np.random.default_rng(0).integers(0, 71, (12, 16), dtype=np.uint8)
HEADER = "vid,uid,s_min,s_sec,a_obj,split,label"


@pytest.fixture
def root(tmp_path: Path, write_recording: Callable[..., Path], write_mask: Callable[..., None]) -> Path:
    root = tmp_path / "AVSBench_semantic"
    for uid, _, split, label in ROWS:
        folder = write_recording(root / label / uid, NUM_FRAMES[label])
        for t in range(1 if (split, label) == ("train", "v1s") else NUM_FRAMES[label]):
            write_mask(folder / "labels_rgb" / f"{t}.png", COLOURS[IDS])
    lines = [f"{uid[:1]},{uid},0,1,{a_obj},{split},{label}" for uid, a_obj, split, label in ROWS]
    (root / "metadata.csv").write_text("\n".join([HEADER, *lines]) + "\n")
    labels = {name: 1 + number for number, name in enumerate(("background", *CLASSES))}
    (root / "label2idx.json").write_text(json.dumps(labels))
    return root


def clips(out: Path, split: str) -> dict[str, ClipEntry]:
    return {clip.key: clip for shard in read_split(out, split) for clip in shard.clips}


def test_the_whole_tree(root: Path, tmp_path: Path) -> None:
    convert(root, tmp_path / "out", clips_per_shard=3)
    train, test = clips(tmp_path / "out", "train"), clips(tmp_path / "out", "test")
    assert {key: clip.meta.classes for key, clip in (train | test).items()} == {
        "s1": ("emergency-car",),
        "m1": ("man", "guitar"),
        "m2": (),
        "v1": ("vacuum-cleaner", "woman", "dog"),
        "v2": (),
        "v3": ("dog",),
    }
    annotated = {key: clip.meta.annotated for key, clip in (train | clips(tmp_path / "out", "val")).items()}
    assert annotated == {
        "s1": (0,),
        "s2": tuple(range(5)),
        "m1": tuple(range(5)),
        "m2": tuple(range(5)),
        "v1": tuple(range(10)),
    }
    assert dict(read_split(tmp_path / "out", "train")[0].names) == NAMES
    clip = load_clip(ShardReader(), train["s1"], Limits())
    assert np.array_equal(clip.masks[0], IDS)
    assert (clip.masks[1:] == 255).all()
    raw = ShardReader().read(train["v1"], ["frame.9.jpg"])["frame.9.jpg"]
    assert raw == (root / "v2/v1/frames/9.jpg").read_bytes()


def test_broken_recordings_are_left_out(root: Path, tmp_path: Path) -> None:
    (root / "v2/v1/labels_rgb/7.png").unlink()
    (root / "v1s/s1/audio.wav").unlink()
    frame = root / "v2/v3/frames/0.jpg"
    frame.write_bytes(frame.read_bytes()[:300])
    manifest = convert(root, tmp_path / "out", workers=2)
    reasons = {clip.key: clip.reason for rejected in manifest.rejected.values() for clip in rejected}
    assert reasons.keys() == {"v1", "s1", "v3"}
    assert (reasons["v1"], reasons["s1"]) == ("labels_rgb/7.png is missing", "audio.wav is missing")
    assert reasons["v3"].startswith("frames/0.jpg: ")
    assert str(manifest).startswith("4 of 7 present (train 2 of 4, val 1 of 1, test 1 of 2)")


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("v,s1,0,1,dog,train,v2", "'s1' is listed for the second time"),
        ("v,../../x,0,1,dog,train,v2", "key '../../x'"),
        ("v,x,0,1,dog,train,v3", "label is 'v3', expected one of v1s, v1m, v2"),
        ("v,x,0,1,dog,dev,v2", "split is 'dev'"),
        ("v,x,0,1,dog_dinosaur,test,v2", "a_obj of x names 'dinosaur'"),
    ],
)
def test_a_wrong_listing_is_refused_before_any_work(root: Path, tmp_path: Path, row: str, words: str) -> None:
    with (root / "metadata.csv").open("a") as file:
        file.write(row + "\n")
    with pytest.raises(InputError) as caught:
        convert(root, tmp_path / "out")
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_other_labels_than_the_published_are_refused(root: Path, tmp_path: Path) -> None:
    (root / "label2idx.json").write_text(json.dumps({"background": 0, **{name: i for i, name in NAMES.items()}}))
    with pytest.raises(InputError, match=r"label2idx\.json is not the one"):
        convert(root, tmp_path / "out")


def png(pixels: np.ndarray) -> bytes:
    file = BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_masks_unknown_colours_other_sizes_and_grey() -> None:
    colours = np.array([[[192, 0, 64], [192, 0, 65], [255, 255, 255], COLOURS[70], COLOURS[71]]], dtype=np.uint8)
    assert read_colours(png(colours), (1, 5)).tolist() == [[41, 0, 0, 70, 0]]
    assert read_colours(png(colours[:, :2]), (2, 4)).tolist() == [[41, 41, 0, 0]] * 2
    with pytest.raises(InputError, match="a mask of mode L, expected RGB"):
        read_colours(png(IDS), (12, 16))
