import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chaos_history import problems, updates_kept, updates_made, updates_told

from cavs_dist.config import load_run
from cavs_dist.trainer import train

Lines = list[dict[str, Any]]


@pytest.fixture(scope="module")
def told(tiny: str, shaken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run with its history: 6 updates of the twin, 14 of the model in 2 epochs."""
    folder = tmp_path_factory.mktemp("told")
    train(load_run(tiny, [f"out={folder}", f"train.start={shaken}", "track.clips=true"]))
    return folder


def lose_an_update(lines: Lines) -> None:
    del lines[9]


def repeat_an_update(lines: Lines) -> None:
    lines.insert(9, lines[9])


def swap_two_updates(lines: Lines) -> None:
    for key in ("keys", "exemplars"):
        lines[8][key], lines[9][key] = lines[9][key], lines[8][key]


def lose_the_end(lines: Lines) -> None:
    lines.pop()


def read_a_clip_twice(lines: Lines) -> None:
    lines[8]["keys"][0] = lines[9]["keys"][0]


def draw_another_exemplar(lines: Lines) -> None:
    lines[8]["exemplars"][0] = "train-999999"


def test_a_whole_history_has_no_problem(told: Path) -> None:
    assert problems(told) == []
    assert updates_told(told) == updates_made(told) == updates_kept(told) == 20


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lose_an_update, ["rank 0 tells of 19 updates, not of each of 1 to 20 once and in order"]),
        (repeat_an_update, ["rank 0 tells of 21 updates, not of each of 1 to 20 once and in order"]),
        (lose_the_end, ["rank 0 tells of 19 updates, not of each of 1 to 20 once and in order"]),
        (
            swap_two_updates,
            [f"stage 1, main, update {number}: other clips than the order foretells" for number in (2, 3)],
        ),
        (
            read_a_clip_twice,
            ["stage 1, main, update 2: other clips than the order foretells", "stage 1, main, epoch 0: "],
        ),
        (draw_another_exemplar, ["stage 1, main, update 2: other clips than the order foretells"]),
    ],
)
def test_what_is_lost_or_repeated_is_said(
    told: Path, tmp_path: Path, harm: Callable[[Lines], None], said: list[str]
) -> None:
    run = shutil.copytree(told, tmp_path / "run")
    path = run / "clips/rank-0.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    harm(lines)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    found = problems(run)
    assert len(found) == len(said)
    assert all(sentence.startswith(start) for sentence, start in zip(found, said, strict=True))
