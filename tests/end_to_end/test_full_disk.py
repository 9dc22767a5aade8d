"""A disk that is full again and again: one sentence each time, nothing half written, and the same run in the end."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.errors import InputError
from cavs_dist.trainer import train
from tests.products import products

RoomFor = Callable[[int], AbstractContextManager[None]]


@pytest.mark.slow
def test_a_full_disk_costs_what_was_not_saved(
    tiny: str, shaken: Path, finished: Path, room_for: RoomFor, tmp_path: Path
) -> None:
    run = load_run(tiny, [f"out={tmp_path}", f"train.start={shaken}"])
    for size, name in (
        (1_000, "config.yaml"),
        (3_000, "main.safetensors"),
        (2_800_000, "_optim_states.pt"),  # of the twin's first checkpoint
    ):
        with room_for(size), pytest.raises(InputError, match=f"{name} cannot be written: .*; free some space and run"):
            train(run)
        left = [path.name for path in tmp_path.rglob(".*")]
        assert not left, left
    assert products(tmp_path).keys() == {"stages/0/begin.pt", "stages/0/main.safetensors", "stages/0/evaluation.json"}
    train(run)
    assert products(tmp_path) == products(finished)
