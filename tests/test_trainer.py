import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from cavs_dist import distributed
from cavs_dist.config import load_run
from cavs_dist.errors import InputError, Interrupted
from cavs_dist.run_folder import read_json, read_state
from cavs_dist.trainer import leaving_word, train

MAIN = {"begin.pt", "end.pt", "main.json", "main.safetensors", "evaluation.json", "examples.npz"}
PRODUCTS = {0: MAIN | {"twin.json", "twin.safetensors", "memory.json"}, 1: MAIN}


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def contents(folder: Path) -> dict[str, bytes]:
    """The bytes of all products that are a function of the config."""
    names = ("*.safetensors", "memory.json", "evaluation.json", "begin.pt", "end.pt", "*.tar")
    return {str(path.relative_to(folder)): path.read_bytes() for name in names for path in sorted(folder.rglob(name))}


def resume(folder: Path) -> None:
    train(load_run(str(folder / "config.yaml"), [f"out={folder}"]))


def test_every_stage_leaves_its_products(finished: Path) -> None:
    for stage, names in PRODUCTS.items():
        assert {path.name for path in (finished / f"stages/{stage}").iterdir()} == names
    assert not (finished / "checkpoints").exists()


def test_every_update_is_logged_once_and_finite(finished: Path) -> None:
    updates = [line for line in lines(finished) if "loss" in line]
    assert [line["update"] for line in updates] == list(range(1, len(updates) + 1))
    assert [(line["stage"], line["phase"]) for line in updates] == sorted(
        (line["stage"], line["phase"]) for line in updates
    )
    assert all(math.isfinite(line["loss"]) for line in updates)
    counts = {
        (stage, role): read_json(finished / f"stages/{stage}/{role}.json")["updates"]
        for stage, role in ((0, "main"), (0, "twin"), (1, "main"))
    }
    assert {key: sum((line["stage"], line["phase"]) == key for line in updates) for key in counts} == counts
    assert {"loss/segment", "loss/pod"} <= updates[-1].keys()


def test_a_record_says_all_that_a_report_needs(finished: Path) -> None:
    for stage, seen in enumerate((["bell", "cow"], ["bell", "cow", "train", "violin"])):
        record = read_json(finished / f"stages/{stage}/evaluation.json")
        assert record["classes"] == ["background", *seen] and record["stage"] == stage
        assert record["new"] == seen[-2:] and record["protocol"] == "overlapped"
        size = len(record["classes"])
        assert [len(record[name]) for name in ("iou", "avsbench_iou", "fscore", "confusion")] == [size] * 4
        assert {"all", "old", "old_fg", "new", "harmonic", "previous", "forgetting"} <= record["metrics"].keys()
    events = [(line["event"], line["stage"]) for line in lines(finished) if "event" in line]
    assert events == [("begin", 0), ("evaluation", 0), ("begin", 1), ("evaluation", 1)]


def test_word_of_a_stop_is_left_by_whichever_rank_hears_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    word = tmp_path / "stopped.txt"
    monkeypatch.setattr(distributed, "is_first", lambda: False)  # the first may be ended before it can write
    with pytest.raises(Interrupted), leaving_word(word):
        raise Interrupted("stopped by SIGUSR1")
    assert word.read_text() == "stopped by SIGUSR1\n"
    with leaving_word(word):
        assert word.exists()  # not another rank's to remove
    monkeypatch.setattr(distributed, "is_first", lambda: True)
    with leaving_word(word):
        assert not word.exists()


def test_a_finished_run_is_left_as_it_is(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    resume(run)
    assert contents(run) == contents(finished)
    assert lines(run) == lines(finished)


def test_checkpoints_that_a_crash_left_half_removed_are_removed(finished: Path, tmp_path: Path) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    left = run / "checkpoints/001-main-00000012/engine"
    left.mkdir(parents=True)
    (left / "mp_rank_00_model_states.pt").touch()
    resume(run)
    assert not (run / "checkpoints").exists()
    assert lines(run) == lines(finished)


@pytest.mark.parametrize("lost", ["stages/1", "stages/0/memory.json"])
def test_what_is_lost_is_made_again_alike(finished: Path, tmp_path: Path, lost: str) -> None:
    run = shutil.copytree(finished, tmp_path / "run")
    shutil.move(run / lost, tmp_path / "lost")
    resume(run)
    assert contents(run) == contents(finished)
    told = [[line for line in lines(folder) if line.get("event") == "evaluation"] for folder in (run, finished)]
    assert told[0] == told[1]
    seen = [[line["loss"] for line in lines(folder) if "loss" in line] for folder in (run, finished)]
    assert seen[0] == seen[1]


def test_collisions_are_counted_where_rehearsal_weighs_by_them(finished: Path) -> None:
    pairs = read_state(finished / "stages/1/begin.pt")["pairs"]
    assert pairs and all(old in ("bell", "cow") and new in ("train", "violin") for old, new in pairs)
    begun = next(line for line in lines(finished) if line.get("event") == "begin" and line["stage"] == 1)
    assert {key: count for key, count in begun.items() if key.startswith("collisions/")} == {
        f"collisions/{old} -> {new}": count for (old, new), count in pairs.items()
    }


def test_a_run_may_end_after_a_stage_and_go_on(tiny: str, shaken: Path, finished: Path, tmp_path: Path) -> None:
    run = load_run(tiny, [f"out={tmp_path}", f"train.start={shaken}"])
    train(run, until=0)
    assert [path.name for path in (tmp_path / "stages").iterdir()] == ["0"]
    train(run, until=1)
    assert contents(tmp_path) == contents(finished)


def test_there_is_no_stage_to_end_after_beyond_the_last(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no stage 2 to train until: the run has stages 0 to 1"):
        train(load_run(tiny, [f"out={tmp_path / 'run'}"]), until=2)
    assert not (tmp_path / "run").exists()
