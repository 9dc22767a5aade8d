import gzip
import json
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from cavs_dist.config import load_run
from cavs_dist.errors import InputError
from cavs_dist.profiling import ProfileConfig, traced
from cavs_dist.trainer import train

# One stage, no memory, 6 updates.
SHORT = ["curriculum.order=[bell, cow]", "curriculum.split=2", "method.name=fine_tune", "memory.select=none"]


def run(config: ProfileConfig, folder: Path, last: int = 6, done: int = 0) -> None:
    """Work that a trace shows: update u adds u times."""
    made = []
    for number in traced(iter(range(done + 1, last + 1)), config, folder, done, last):
        for _ in range(number):
            torch.zeros(3).add(1)
        made.append(number)
    assert made == list(range(done + 1, last + 1))


def additions(folder: Path) -> dict[str, int]:
    found = {}
    for path in folder.glob("*.json.gz"):
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
        found[path.name.removesuffix(".json.gz")] = sum(event.get("name") == "aten::add" for event in events)
    return found


def test_each_chosen_update_has_a_trace_and_a_table_of_its_own(tmp_path: Path) -> None:
    run(ProfileConfig(updates=(2, 3, 5, 6, 7)), tmp_path)
    assert additions(tmp_path) == {f"update-{number:08d}-rank-0": number for number in (2, 3, 5, 6)}
    assert "aten::add" in (tmp_path / "update-00000005-rank-0.txt").read_text()
    assert len(list(tmp_path.iterdir())) == 8


def test_a_resumed_fit_traces_from_its_first_update_on_and_nothing_of_the_next(tmp_path: Path) -> None:
    run(ProfileConfig(updates=(2, 3, 4, 6)), tmp_path, last=5, done=2)
    assert additions(tmp_path) == {f"update-{number:08d}-rank-0": number for number in (3, 4)}


def test_nothing_is_wrapped_where_nothing_is_to_be_traced(tmp_path: Path) -> None:
    for config in (ProfileConfig(), ProfileConfig(updates=(9,)), ProfileConfig(updates=(1, 2))):
        items = iter(range(3, 7))
        assert traced(items, config, tmp_path, 2, 6) is items


def test_a_full_disk_costs_the_trace_alone(
    room_for: Callable[[int], AbstractContextManager[None]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with room_for(500):
        run(ProfileConfig(updates=(3,)), tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert "warning: the trace update-00000003-rank-0 is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (ProfileConfig(updates=(0, 3)), "updates has 0: updates are counted from 1"),
        (ProfileConfig(updates=(3,), rank=1), "rank is 1, and the run has 1 ranks"),
        (ProfileConfig(updates=(3,), rank=-1), "rank is -1"),
    ],
)
def test_what_no_run_has_is_refused(config: ProfileConfig, problem: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=problem):
        traced(iter(range(1, 7)), config, tmp_path, 0, 6)


def test_a_traced_run_has_the_same_weights(tiny: str, tmp_path: Path) -> None:
    for name, profile in (("plain", []), ("traced", ["track.profile.updates=[1, 2, 4]"])):
        train(load_run(tiny, [*SHORT, *profile, f"out={tmp_path / name}"]))
    plain, watched = (load_file(tmp_path / name / "stages/0/main.safetensors") for name in ("plain", "traced"))
    assert plain.keys() == watched.keys() and all(value.equal(watched[key]) for key, value in plain.items())
    assert sorted(path.name for path in (tmp_path / "traced/profile").iterdir()) == [
        f"update-{number:08d}-rank-0.{kind}" for number in (1, 2, 4) for kind in ("json.gz", "txt")
    ]
