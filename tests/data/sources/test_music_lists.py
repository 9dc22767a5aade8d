import json
from pathlib import Path

import pytest

from cavs_dist.data.sources.music_lists import Video, read_lists
from cavs_dist.errors import InputError


def test_all_formats_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "MUSIC21_solo_videos.json").write_text(json.dumps({"videos": {"tuba": ["x4", "-y"], "erhu": ["z"]}}))
    rows = [
        "class,id",
        "tuba, -x_1 ",
        "",
        "erhu/x2",
        "./data/audio/acoustic_guitar/x3.mp3,./data/frames/acoustic_guitar/x3.mp4,1580",
        "x4",
    ]
    (tmp_path / "train.csv").write_bytes("\n".join(rows).encode("utf-8-sig"))
    (tmp_path / "test.txt").write_text("z\nfrom/videos/flute/a.webm\n")
    lists = read_lists(tmp_path)
    assert {split: [(video.key, video.name) for video in videos] for split, videos in lists.items()} == {
        "train": [("-x_1", "tuba"), ("x2", "erhu"), ("x3", "acoustic_guitar"), ("x4", "tuba")],
        "test": [("z", "erhu"), ("a", "flute")],
    }
    assert lists["train"][1] == Video("x2", "erhu", f"{tmp_path / 'train.csv'} line 4")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "train.csv lists no video: a row is class,id"),
        ("class,id\n", "lists no video"),
        ("tuba,a\ntuba,b,3,4\n", "line 2 is 'tuba,b,3,4', expected class,id"),
        ("unknown\n", "line 1 is 'unknown', expected class,id"),
        ("a.mp3,b,3\n", "line 1 is 'a.mp3,b,3'"),
        ("tuba,../a\n", "line 1: key '../a'"),
        ("tuba,\n", "line 1: key ''"),
        ("tuba,a\nerhu,a\n", "line 2: a is listed before, at"),
        ('"tuba,a\n', "cannot be read as CSV"),
    ],
)
def test_a_wrong_list_is_refused_with_its_line(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "train.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        read_lists(tmp_path)
    assert words in str(caught.value)


def test_lists_that_are_missing_double_or_overlap(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no train\.csv, val\.csv or test\.csv"):
        read_lists(tmp_path)
    (tmp_path / "val.csv").write_text("tuba,a\n")
    (tmp_path / "test.csv").write_text("tuba,a\n")
    with pytest.raises(InputError, match=r"test\.csv line 1: a is listed before, at .*val\.csv line 1"):
        read_lists(tmp_path)
    (tmp_path / "val.txt").write_text("tuba,a\n")
    with pytest.raises(InputError, match=r"val\.csv and val\.txt: keep one"):
        read_lists(tmp_path)


@pytest.mark.parametrize("text", ["[1]", '{"videos": {"tuba": "a"}}', '{"videos": {"tuba": [[]]}}', "{"])
def test_a_json_of_another_shape_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "train.csv").write_text("tuba,a\n")
    (tmp_path / "MUSIC21_solo_videos.json").write_text(text)
    with pytest.raises(InputError, match=r"MUSIC21_solo_videos\.json cannot be read as"):
        read_lists(tmp_path)
