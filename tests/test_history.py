import json
from pathlib import Path

import pytest
import torch

from cavs_dist import distributed
from cavs_dist.config import load_run
from cavs_dist.history import ClipHistory
from cavs_dist.order import order_of_run
from cavs_dist.outputs.segmentation import Batch
from cavs_dist.run_folder import read_json
from cavs_dist.trainer import train


def make_batch(*clips: str) -> Batch:
    """A batch that is nothing but names; those that start with `old` are from memory."""
    nothing = torch.zeros(0)
    from_memory = torch.tensor([clip.startswith("old") for clip in clips])
    return Batch(clips, from_memory, *(nothing,) * 7)


def updates(path: Path) -> list[int]:
    return [json.loads(line)["update"] for line in path.read_text().splitlines()]


def write(folder: Path, numbers: range, resume_update: int) -> None:
    history = ClipHistory(folder, resume_update)
    for number in numbers:
        history.add(1, "main", number, [make_batch(f"a{number}")])
    history.close()


def test_a_line_names_the_clips_of_all_micro_batches_and_which_are_from_memory(tmp_path: Path) -> None:
    history = ClipHistory(tmp_path, 0)
    history.add(1, "main", 7, [make_batch("a", "old-b"), make_batch("c")])
    (line,) = (tmp_path / "clips/rank-0.jsonl").read_text().splitlines()
    history.close()
    assert json.loads(line) == {"stage": 1, "phase": "main", "update": 7, "keys": ["a", "c"], "exemplars": ["old-b"]}


def test_an_update_that_was_left_out_is_a_line_without_clips(tmp_path: Path) -> None:
    history = ClipHistory(tmp_path, 0)
    history.add(1, "main", 7, ())
    history.close()
    line = json.loads((tmp_path / "clips/rank-0.jsonl").read_text())
    assert line == {"stage": 1, "phase": "main", "update": 7, "keys": [], "exemplars": []}


def test_going_on_cuts_every_rank_s_own_file_and_those_of_ranks_that_are_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(distributed, "world_size", lambda: 3)
    for rank in (0, 1, 2):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        write(tmp_path, range(1, 6), 0)
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    files = [tmp_path / f"clips/rank-{rank}.jsonl" for rank in range(3)]
    for rank, known in ((1, [[1, 2, 3, 4, 5], [1, 2, 3], [1, 2, 3, 4, 5]]), (0, [[1, 2, 3]] * 3)):
        monkeypatch.setattr(distributed, "rank", lambda rank=rank: rank)
        write(tmp_path, range(0), 3)
        assert [updates(file) for file in files] == known


def test_a_run_that_is_asked_to_leaves_the_order_that_the_index_foretold(
    tiny: str, shaken: Path, tmp_path: Path
) -> None:
    train(load_run(tiny, [f"out={tmp_path}", f"train.start={shaken}", "track.clips=true"]))
    lines = [json.loads(line) for line in (tmp_path / "clips/rank-0.jsonl").read_text().splitlines()]
    assert [line["update"] for line in lines] == list(range(1, len(lines) + 1))
    assert [line["phase"] for line in lines] == ["twin"] * 6 + ["main"] * 14
    made = read_json(tmp_path / "stages/1/main.json")["updates"]
    _, *foretold = order_of_run(tmp_path, stage=1, ranks=1, first=0, updates=made)
    columns = [" ".join(line["keys"]) + "\t" + " ".join(line["exemplars"]) for line in lines if line["stage"] == 1]
    assert columns == [line.split("\t", 2)[2] for line in foretold]
