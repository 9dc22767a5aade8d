import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from cavs_dist.cluster import record
from cavs_dist.jobs.run import find_runs, read_run

MakeRun = Callable[..., Path]
Start = Callable[..., "subprocess.Popen[str]"]
WaitFor = Callable[["subprocess.Popen[str]", Path, int], None]


def test_runs_are_found_in_folders_and_not_below_runs(make_run: MakeRun, tmp_path: Path) -> None:
    for name in ("b", "a", "deep/1/2", "a/memory/no"):
        make_run(name)
    record.add_submitted(tmp_path / "submitted", record.Job("12"))
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/config.yaml").write_text("seed: 1")
    names = ["a", "b", "deep/1/2", "submitted"]
    assert [str(path.relative_to(tmp_path)) for path in find_runs(tmp_path)] == names
    assert find_runs(tmp_path / "a") == [tmp_path / "a"]


def test_links_in_circles_and_depths_end(make_run: MakeRun, tmp_path: Path) -> None:
    (tmp_path / "x").mkdir()
    (tmp_path / "x/circle").symlink_to(tmp_path)
    make_run("1/2/3/4/5")
    assert find_runs(tmp_path) == []


def test_a_folder_tells_what_it_can(make_run: MakeRun) -> None:
    events = '{"format": 1, "events": [{"stage": 1, "role": "main", "update": 12, "ranks": []}]}'
    run = read_run(make_run(files={"stopped.txt": "stopped by SIGTERM\n", "nonfinite.json": events}))
    assert (run.method, run.seed, run.word) == ("cmr", "3", "stopped by SIGTERM")
    assert run.nonfinite.startswith("a loss or gradient was not finite at stage 1, main, update 12")
    assert run.told is not None and run.told < 60 and run.jobs == ()


def test_a_loss_that_was_left_out_or_is_past_is_no_end(make_run: MakeRun) -> None:
    events = '{"events": [{"stage": 1, "role": "main", "update": 12}]}'
    skips = make_run("skips", files={"nonfinite.json": events, "config.yaml": "train: {on_nonfinite: skip}"})
    assert read_run(skips).nonfinite == ""
    past = make_run("past", files={"nonfinite.json": events})
    os.utime(past / "nonfinite.json", (1.0, 1.0))
    assert read_run(past).nonfinite == ""


def test_damage_reads_as_nothing(make_run: MakeRun) -> None:
    for number, text in enumerate(("", "[]", "\0", '{"events": 3}', '{"events": [[]]}')):
        names = ("config.yaml", "nonfinite.json", "outlook.json", record.FILE, "stages/0/main.json")
        run = read_run(make_run(str(number), files=dict.fromkeys(names, text)))
        assert (run.method, run.nonfinite, run.jobs) == ("", "", ())


def test_a_live_run_is_read_and_not_disturbed(start: Start, wait_for: WaitFor, tiny: str, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = start("train", tiny, f"out={folder}", "train.epochs=100")
    wait_for(process, folder, 3)
    before = sorted(folder.rglob("*"))
    run = read_run(folder)
    assert run.holder.alive and run.progress.role == "main" and not run.word
    assert run.progress.updates == 300 and run.progress.seconds is not None
    assert set(before) <= set(folder.rglob("*"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75
    process.communicate()
    run = read_run(folder)
    assert not run.holder.alive and run.word.startswith("stopped by SIGTERM after update")
