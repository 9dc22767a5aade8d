import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from loopback import serving
from PIL import Image

from cavs_dist.cli import main
from cavs_dist.cli_data import STANDARD_SECONDS
from cavs_dist.data.decode import STANDARD_LIMITS
from cavs_dist.data.shard import read_split

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `cavs-dist data *args`: exit code, standard output, standard error."""

    def call(*args: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cavs-dist", "data", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return call


def test_scenes_are_rendered_by_preset_and_options(call: Call, tmp_path: Path) -> None:
    options = ["preset=scenes-30", "num_classes=2", "train=1", "val=0", "test=1", "size=16", "frames=1", "seconds=1"]
    assert call("scenes", tmp_path / "scenes", *options, "workers=1")[0] == 0
    assert len(read_split(tmp_path / "scenes", "train")[0].clips) == 2
    for wrong, message in (
        ("preset=scenes-9", "expected one of scenes-8, scenes-solo, scenes-30"),
        ("trian=1", "did you mean train?"),
    ):
        code, _, err = call("scenes", tmp_path / "other", wrong)
        assert code == 2 and message in err and not (tmp_path / "other").exists()


def test_whole_shards_pass_and_damaged_ones_are_named(call: Call, scenes: Path, tmp_path: Path) -> None:
    code, out, _ = call("check", scenes, "--workers", 1)
    assert code == 0 and "every clip is whole" in out
    folder = shutil.copytree(scenes, tmp_path / "scenes")
    shard = folder / "train-000001.tar"
    shard.write_bytes(shard.read_bytes()[:-2000])
    code, out, err = call("check", folder, "--workers", 1)
    assert code == 2 and "train-000001.tar" in out and "problems" in err


def test_classes_and_sizes_are_shown_with_a_sheet(call: Call, scenes: Path, tmp_path: Path) -> None:
    code, out, _ = call("inspect", scenes, "--sheet", tmp_path / "sheet.png")
    assert code == 0 and (tmp_path / "sheet.png").stat().st_size > 1000
    assert all(name in out for name in ("bell", "cow", "train", "violin"))


def test_tars_made_elsewhere_are_indexed(call: Call, scenes: Path, tmp_path: Path) -> None:
    shutil.copy(scenes / "val-000000.tar", tmp_path)
    (tmp_path / "names.csv").write_text("id,name\n1,bell\n2,cow\n3,train\n4,violin\n")
    code, out, _ = call("index", tmp_path / "val-000000.tar", "--names", tmp_path / "names.csv")
    assert code == 0 and "8 clips" in out
    made, known = (read_split(folder, "val")[0] for folder in (tmp_path, scenes))
    assert [(clip.key, clip.meta, clip.members) for clip in made.clips] == [
        (clip.key, clip.meta, clip.members) for clip in known.clips
    ]
    assert made.names == known.names


@pytest.mark.parametrize(("source", "wanted"), [("folder", "labels.csv"), ("avsbench", "metadata.csv")])
def test_a_source_without_its_list_is_refused(call: Call, tmp_path: Path, source: str, wanted: str) -> None:
    code, _, err = call(source, tmp_path, tmp_path / "out", "--workers", 1)
    assert code == 2 and err.startswith(f"error: there is no {wanted} in {tmp_path}")
    assert not (tmp_path / "out").exists()


def test_music_to_shards_of_long_clips(call: Call, tmp_path: Path) -> None:
    root, out = tmp_path / "music", tmp_path / "out"
    (root / "audio/tuba").mkdir(parents=True)
    (root / "frames/tuba/a").mkdir(parents=True)
    soundfile.write(root / "audio/tuba/a.wav", np.zeros(130 * 1000), 1000)
    for t in range(260):
        Image.new("RGB", (12, 8)).save(root / f"frames/tuba/a/{t:06d}.jpg")
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/train.csv").write_text("tuba,a\ntuba,gone\n")
    options = ["--lists", tmp_path / "lists", "--size", 8, "--fps", 2, "--workers", 1]
    code, text, _ = call("music", root, out, *options)
    assert code == 0 and "MUSIC-21: 1 of 2 present (train 1 of 2)" in text
    assert read_split(out, "train")[0].clips[0].meta.seconds == STANDARD_SECONDS == STANDARD_LIMITS.max_seconds
    assert call("check", out, "--workers", 1)[0] == 0
    assert call("music", root, out, *options, "--seconds", 140)[0] == 0
    assert read_split(out, "train")[0].clips[0].meta.frames == 130
    code, text, _ = call("check", out, "--workers", 1)
    assert code == 2 and "audio of 130.0 s" in text
    assert call("check", out, "--workers", 1, "--seconds", 140)[0] == 0
    assert call("inspect", out, "--sheet", tmp_path / "sheet.png", "--seconds", 140)[0] == 0


def test_music_that_cannot_be_is_refused(call: Call, tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("tuba,a\n")
    for root, options, message in (
        (tmp_path, ["--seconds", 0], "seconds is 0, expected at least 1"),
        (tmp_path / "nowhere", [], "there is no train.csv"),
    ):
        code, _, err = call("music", root, tmp_path / "out", *options)
        assert code == 2 and err.startswith(f"error: {message}") and not (tmp_path / "out").exists()


def test_the_order_of_a_config_and_of_a_run(call: Call, tiny: str, finished: Path) -> None:
    code, out, _ = call("order", tiny, "stage=1", "--ranks", 2, "--from", 3, "--updates", 2)
    rows = [line.split("\t") for line in out.splitlines()]
    assert code == 0 and rows[0] == ["update", "rank", "keys"]
    assert [row[:2] for row in rows[1:]] == [["3", "0"], ["3", "1"], ["4", "0"], ["4", "1"]]
    code, out, _ = call("order", finished, "stage=1", "--ranks", 2, "--from", 3, "--updates", 2)
    of_run = [line.split("\t") for line in out.splitlines()]
    assert code == 0 and of_run[0] == [*rows[0], "exemplars"]
    assert [row[:3] for row in of_run] == rows and all(row[3] for row in of_run)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--ranks", "3"], "3 ranks do not divide the 4 slots of an update"),
        (["stage=2"], "there is no stage 2: this curriculum has stages 0 to 1"),
        (["stage=-1"], "stage=-1: expected the number of a stage, from 0"),
        (["--ranks", "0"], "Invalid value for '--ranks'"),
    ],
)
def test_an_order_that_cannot_be_is_refused(call: Call, tiny: str, args: list[str], message: str) -> None:
    code, out, err = call("order", tiny, *args)
    assert code == 2 and message in err and "\t" not in out


def test_a_run_keeps_its_config(call: Call, finished: Path) -> None:
    code, _, err = call("order", finished, "optim.batch=8")
    assert code == 2 and "leave out optim.batch=8" in err


def test_a_folder_is_listed_and_read_from_a_server(
    call: Call, scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    folder = shutil.copytree(scenes, tmp_path / "scenes")
    (folder / "shards.json").unlink()
    with serving(tmp_path) as server:
        url, reach = f"{server.url}/scenes", [f"hosts=['{server.host}']", "schemes=[http]", f"cache={tmp_path}/cache"]
        code, _, err = call("inspect", url, *reach)
        assert code == 2 and "run `cavs-dist data catalogue FOLDER`" in err
        code, out, _ = call("catalogue", folder)
        assert code == 0 and Path(out.strip()) == folder / "shards.json"
        code, out, _ = call("inspect", url, *reach, "--sheet", tmp_path / "sheet.png")
        assert code == 0 and "violin" in out and (tmp_path / "sheet.png").stat().st_size > 1000
        code, out, _ = call("check", url, *reach, "--workers", 1)
        assert code == 0 and f"{url}: every clip is whole" in out
        for wrong, message in (([], "data.remote.schemes"), (["hots=[x]"], "did you mean hosts?")):
            code, _, err = call("check", url, *wrong)
            assert code == 2 and message in err
