import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from cavs_dist.config import Run, load_run
from cavs_dist.errors import InputError
from cavs_dist.run_folder import (
    RunFolder,
    flatten,
    load_weights,
    read_json,
    read_state,
    write_json,
    write_state,
    write_text,
    write_weights,
)


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return load_run("base", [f"out={tmp_path / 'run'}", "optim.batch=16", "seed=0"])


def claim(run: Run, learned: bool = True) -> None:
    folder = RunFolder(Path(run.out))
    with folder.claimed(run, "digest"):
        if learned:
            write_weights(folder.product(0, "main.safetensors"), nn.Linear(1, 1))


def test_a_folder_says_what_it_is(run: Run) -> None:
    claim(run)
    out = Path(run.out)
    assert load_run(str(out / "config.yaml")) == run
    environment = json.loads((out / "environment.json").read_text())
    assert environment["ranks"] == 1 and environment["torch"] == torch.__version__


def test_another_config_is_refused_with_what_differs(run: Run) -> None:
    claim(run)
    with pytest.raises(InputError, match=r"another config \(optim.batch: 16 there, 8 now; seed: 0 there, 1 now\)"):
        claim(replace(run, seed=1, optim=replace(run.optim, batch=8)))
    assert load_run(str(Path(run.out) / "config.yaml")) == run


def test_what_only_says_where_and_how_fast_may_differ(run: Run) -> None:
    claim(run)
    moved = replace(
        run,
        data=replace(run.data, path="elsewhere", workers=7),
        engine=replace(run.engine, threads=2),
        track=replace(run.track, every=1),
    )
    claim(moved)
    with pytest.raises(InputError, match=r"data\.size"):
        claim(replace(moved, data=replace(moved.data, size=32)))


def test_a_config_may_be_mended_until_something_is_learned(run: Run) -> None:
    claim(run, learned=False)
    claim(replace(run, seed=1), learned=False)
    assert load_run(str(Path(run.out) / "config.yaml")).seed == 1


def test_a_place_that_cannot_be_written_is_named(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="file cannot be written"):
        claim(replace(run, out=str(tmp_path / "file")))


def test_sections_flatten_to_keys() -> None:
    assert flatten({"a": {"b": {"c": 1}, "d": [2]}, "e": None}) == {"a.b.c": 1, "a.d": [2], "e": None}


def test_a_file_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file"
    write_text(path, "first and long")
    write_text(path, "second")
    assert path.read_text() == "second"
    assert list(path.parent.iterdir()) == [path]


def test_json_reads_back_and_a_damaged_or_newer_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    write_json(path, {"a": [1, None]})
    assert read_json(path) == {"format": 1, "a": [1, None]}
    for text, message in (('{"format": 1', "cut short"), ("[]", "cut short"), ('{"format": 2}', "upgrade it")):
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            read_json(path)


def test_a_state_reads_back_and_runs_nothing(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    write_state(path, {"pairs": {("bell", "cow"): 2}, "method": {"thresholds": torch.arange(3)}})
    state = read_state(path)
    assert state["pairs"] == {("bell", "cow"): 2} and state["method"]["thresholds"].tolist() == [0, 1, 2]
    torch.save({"hook": print}, path)
    with pytest.raises(InputError, match="Remove it to have it made again"):
        read_state(path)


def test_weights_read_back_and_foreign_ones_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    model, other = nn.Linear(2, 3), nn.Linear(2, 3)
    write_weights(path, model)
    load_weights(path, other)
    assert torch.equal(model.weight, other.weight) and torch.equal(model.bias, other.bias)
    with pytest.raises(InputError, match="does not hold this model's weights"):
        load_weights(path, nn.Linear(3, 3))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(InputError, match="does not hold this model's weights"):
        load_weights(path, other)


def test_other_shards_are_refused_once_something_was_learned(run: Run) -> None:
    claim(run)
    with (
        pytest.raises(InputError, match=r"learned from other shards than .* holds now"),
        RunFolder(Path(run.out)).claimed(run, "other"),
    ):
        pass
