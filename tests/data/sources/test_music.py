import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from PIL import Image

from cavs_dist.data.check import check
from cavs_dist.data.decode import Limits, load_clip, load_features
from cavs_dist.data.inspect import inspect
from cavs_dist.data.shard import ClipEntry, ShardReader, read_split
from cavs_dist.data.sheet import contact_sheet
from cavs_dist.data.sources.music import CLASSES, NAMES, convert_music
from cavs_dist.data.sources.solo import Cut
from cavs_dist.errors import InputError

CUT = Cut(size=16, seconds=3)
LISTS = {"train.csv": "accordion,a1\nukulele,-a_2\n", "val.csv": "tuba/v1\ntuba/v2\n", "test.txt": "accordion/t1\n"}


def write(root: Path, name: str, folder: str, sound: str, rate: int) -> None:
    """Four seconds of noise and four pictures of 24 x 32."""
    rng = np.random.default_rng(rate)
    (root / "frames" / name / folder).mkdir(parents=True)
    (root / "audio" / name).mkdir(parents=True, exist_ok=True)
    for t in range(1, 5):
        pixels = rng.integers(0, 256, (24, 32, 3), np.uint8)
        Image.fromarray(pixels).save(root / "frames" / name / folder / f"{t:06d}.jpg")
    soundfile.write(root / "audio" / name / sound, rng.uniform(-0.5, 0.5, 4 * rate), rate)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Of five listed videos, `-a_2` is missing and the sound of `v2` is broken; `a1` has features."""
    root = tmp_path / "MUSIC"
    write(root, "accordion", "a1.mp4", "a1.mp3", 44_100)
    write(root, "tuba", "v1", "v1.wav", 8_000)
    write(root, "tuba", "v2", "v2.ogg", 16_000)
    write(root, "accordion", "t1", "t1.flac", 11_025)
    (root / "audio/tuba/v2.ogg").write_bytes(b"OggS")
    for name, array in (("object", np.arange(4 * 512.0).reshape(4, 512)), ("motion", np.ones((768, 8)))):
        (root / "features" / name / "accordion").mkdir(parents=True)
        np.save(root / "features" / name / "accordion/a1.npy", array.astype(np.float32))
    for name, text in LISTS.items():
        (root / name).write_text(text)
    return root


def clips(out: Path, split: str) -> dict[str, ClipEntry]:
    return {clip.key: clip for shard in read_split(out, split) for clip in shard.clips}


def test_the_classes_are_the_paper_s() -> None:
    assert len(set(CLASSES)) == 20
    assert CLASSES[10:15] == (
        "xylophone",
        "acoustic_guitar",
        "banjo",
        "cello",
        "electric_bass",
    )
    assert (NAMES[1], NAMES[20]) == ("accordion", "ukulele")


def test_the_whole_tree(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    convert_music(root, out, cut=CUT)
    found = {key: clip for split in ("train", "val", "test") for key, clip in clips(out, split).items()}
    assert {key: clip.meta.classes for key, clip in found.items()} == {
        "a1": ("accordion",),
        "v1": ("tuba",),
        "t1": ("accordion",),
    }
    for clip in found.values():
        assert (clip.meta.rate, clip.meta.seconds, clip.meta.frames, clip.meta.annotated) == (11_025, 3.0, 3, ())
        assert clip.meta.size == (16, 21)
    assert list(read_split(out, "test")[0].names.items()) == list(enumerate(CLASSES, start=1))
    sound, _ = soundfile.read(root / "audio/accordion/t1.flac", frames=3 * 11_025, dtype="float32")
    assert np.array_equal(load_clip(ShardReader(), found["t1"], Limits()).waveform, sound)
    features = load_features(ShardReader(), found["a1"])
    assert {name: array.shape for name, array in features.items()} == {"object": (3, 512), "motion": (768, 8)}
    assert np.array_equal(features["object"].ravel(), np.arange(3 * 512))
    assert load_features(ShardReader(), found["v1"]) == {}
    summary = "3 of 5 present (train 1 of 2, val 1 of 2, test 1 of 1)"
    record = json.loads((out / "manifest.json").read_text())
    assert summary in capsys.readouterr().out and record["summary"].startswith(summary)
    assert record["rejected"]["train"] == {"-a_2": "no sound and no frames found, and no video"}
    assert record["rejected"]["val"]["v2"].startswith("v2.ogg: Error opening")


def test_shards_without_masks_are_checked_inspected_and_drawn(root: Path, tmp_path: Path) -> None:
    convert_music(root, tmp_path / "out", cut=CUT)
    assert check(tmp_path / "out") == ()
    train = inspect(tmp_path / "out").splits[0]
    assert (train.split, train.clips, train.rejected, train.frames, train.annotated) == ("train", 1, 1, 3, 0)
    assert contact_sheet(tmp_path / "out", "train", tmp_path / "sheet.png") == ("a1",)


def test_a_second_run_keeps_what_is_whole_and_makes_a_repaired_split_anew(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert_music(root, out, cut=CUT)
    made = {path: path.stat().st_mtime_ns for path in out.glob("*.tar")}
    soundfile.write(root / "audio/tuba/v2.ogg", np.zeros(64_000), 16_000)
    assert convert_music(root, out, cut=CUT).used("val") == ["v1", "v2"]
    assert [path.name for path, time in made.items() if path.stat().st_mtime_ns != time] == ["val-000000.tar"]
    convert_music(root, out, cut=Cut(size=16, seconds=2))
    assert clips(out, "train")["a1"].meta.frames == 2


def test_congas_and_duets_are_left_out_in_words(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with (root / "train.csv").open("a") as file:
        file.write("congas,c1\ncongas,c2\nflute violin,d1\n")
    manifest = convert_music(root, tmp_path / "out", cut=CUT)
    assert manifest.listed["train"] == ("a1", "-a_2")
    assert "train leaves out 2 of congas, 1 of flute violin, which are not among" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("lists", "words"),
    [
        ({"train.csv": "acordion,a1\n"}, "train.csv line 1: 'acordion' is no class of MUSIC-21: expected accordion, "),
        ({"train.csv": "../audio/accordion/a1\n", "val.csv": "tuba,a1\n"}, "val.csv line 1: a1 is listed before"),
        ({"train.csv": "accordion,../a1\n"}, "train.csv line 1: key '../a1'"),
        ({}, "there is no train.csv, val.csv or test.csv"),
    ],
)
def test_wrong_lists_are_refused_before_any_work(root: Path, tmp_path: Path, lists: dict[str, str], words: str) -> None:
    (tmp_path / "lists").mkdir()
    for name, text in lists.items():
        (tmp_path / "lists" / name).write_text(text)
    with pytest.raises(InputError) as caught:
        convert_music(root, tmp_path / "out", lists=tmp_path / "lists")
    assert words in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_a_feature_that_cannot_name_a_member_is_refused(root: Path, tmp_path: Path) -> None:
    (root / "features/clip.b32").mkdir()
    with pytest.raises(InputError, match=r"member 'feature\.clip\.b32\.npy' is not allowed"):
        convert_music(root, tmp_path / "out", cut=CUT)
    assert not (tmp_path / "out").exists()


def test_a_video_stands_in_for_what_was_not_extracted(
    root: Path, tmp_path: Path, write_video: Callable[..., Path]
) -> None:
    write_video(root / "videos/ukulele/-a_2.mp4", seconds=4)
    manifest = convert_music(root, tmp_path / "out", cut=CUT)
    assert manifest.used("train") == ["a1", "-a_2"]
    clip = load_clip(ShardReader(), clips(tmp_path / "out", "train")["-a_2"], Limits())
    np.testing.assert_allclose(clip.frames.mean(axis=(1, 2, 3)), [50, 100, 150], atol=4)
    assert clip.waveform.shape == (3 * 11_025,)
    assert np.abs(np.fft.rfft(clip.waveform)).argmax() == 3 * 440


def test_videos_without_pyav_are_refused_before_any_work(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "videos/ukulele").mkdir(parents=True)
    (root / "videos/ukulele/-a_2.webm").write_bytes(b"not decoded")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(InputError, match="PyAV, which is not installed"):
        convert_music(root, tmp_path / "out", cut=CUT)
    assert not (tmp_path / "out").exists()
