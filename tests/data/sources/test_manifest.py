import json
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from cavs_dist.data.decode import Limits, decode_mask
from cavs_dist.data.shard import read_split
from cavs_dist.data.sources.manifest import Manifest, convert_recordings
from cavs_dist.data.sources.recording import Recording, pack
from cavs_dist.errors import InputError

FRAMES = ("frames/0.jpg",)


@pytest.fixture
def recordings(tmp_path: Path, write_recording: Callable[..., Path]) -> list[Recording]:
    heard = {"a": ("dog",), "b": (), "c": ("cat", "dog"), "d": ("cat",), "e": ("dog",)}
    return [
        Recording(key, write_recording(tmp_path / key, 1), classes, FRAMES, {}, "audio.wav")
        for key, classes in heard.items()
    ]


def convert(out: Path, splits: dict[str, list[Recording]]) -> Manifest:
    names = {1: "cat", 2: "dog"}
    make = partial(pack, read_mask=decode_mask, limits=Limits())
    return convert_recordings("test", splits, out, names, make, workers=1, clips_per_shard=2, settings="")


def test_what_was_used_and_why_something_was_not(
    tmp_path: Path, recordings: list[Recording], capsys: pytest.CaptureFixture[str]
) -> None:
    (recordings[0].folder / "audio.wav").unlink()
    convert(tmp_path / "out", {"train": recordings[:3], "test": recordings[3:]})
    record = json.loads((tmp_path / "out" / "manifest.json").read_text())
    assert record["splits"] == {"train": {"listed": 3, "used": 2}, "test": {"listed": 2, "used": 2}}
    assert record["rejected"] == {"train": {"a": "audio.wav is missing"}}
    assert record["used"] == {"train": ["b", "c"], "test": ["d", "e"]}
    assert record["no_known_class"] == ["b"]
    assert "4 of 5 present (train 2 of 3, test 2 of 2)" in capsys.readouterr().out
    clips = [clip for shard in read_split(tmp_path / "out", "train") for clip in shard.clips]
    assert [(clip.key, clip.meta.classes) for clip in clips] == [("b", ()), ("c", ("cat", "dog"))]


def test_a_second_run_keeps_what_is_whole_and_makes_a_repaired_split_anew(
    tmp_path: Path, recordings: list[Recording]
) -> None:
    out = tmp_path / "out"
    sound = recordings[0].folder / "audio.wav"
    data = sound.read_bytes()
    sound.write_bytes(data[:20])
    splits = {"train": recordings[:3], "test": recordings[3:]}
    convert(out, splits)
    first = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*.tar")}
    for path in out.glob("train-000001.*"):  # as if killed before this shard was whole
        path.unlink()
    convert(out, splits)
    second = {path.name: (path.stat().st_mtime_ns, path.read_bytes()) for path in out.glob("*.tar")}
    assert [name for name in first if first[name][0] != second[name][0]] == ["train-000001.tar"]
    assert {name: value[1] for name, value in first.items()} == {name: value[1] for name, value in second.items()}
    sound.write_bytes(data)
    assert convert(out, splits).used("train") == ["a", "b", "c"]
    assert (out / "test-000000.tar").stat().st_mtime_ns == first["test-000000.tar"][0]


def test_nothing_usable_is_an_error_that_says_why(tmp_path: Path, recordings: list[Recording]) -> None:
    (recordings[0].folder / "frames/0.jpg").unlink()
    with pytest.raises(InputError, match="none of the 1 recordings can be used; the first is a: 0 frames found"):
        convert(tmp_path / "out", {"train": recordings[:1]})
