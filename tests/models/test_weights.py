import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from cavs_dist.errors import InputError
from cavs_dist.models.weights import load_weights, read_weights


class Attack:
    """Unpickled, it would write a file."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.target), "w")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".pt"])
def test_round_trip(tmp_path: Path, suffix: str) -> None:
    path, there, here = tmp_path / f"w{suffix}", nn.Linear(3, 2), nn.Linear(3, 2)
    (save_file if suffix == ".safetensors" else torch.save)(there.state_dict(), path)
    load_weights(here, path)
    assert here.weight.equal(there.weight) and here.bias.equal(there.bias)


def test_a_pickle_with_code_is_refused_and_not_run(tmp_path: Path) -> None:
    target = tmp_path / "written"
    torch.save({"weight": Attack(target)}, tmp_path / "zip.pth")
    (tmp_path / "bare.pth").write_bytes(pickle.dumps(Attack(target), protocol=2))
    for name in ("zip.pth", "bare.pth"):
        with pytest.raises(InputError, match=f"{name} cannot be read as weights"):
            read_weights(tmp_path / name)
    assert not target.exists()


@pytest.mark.parametrize("suffix", [".safetensors", ".pth"])
def test_a_damaged_file_is_refused(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"w{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)({"weight": torch.zeros(8, 8)}, path)
    whole = path.read_bytes()
    for damaged in (b"", b"hello", whole[: len(whole) // 2], bytes(len(whole)), whole[::-1]):
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="cannot be read as weights"):
            read_weights(path)


def test_a_missing_file_and_other_contents_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no weights at"):
        read_weights(tmp_path / "none.pth")
    torch.save({"state_dict": {"weight": torch.zeros(1)}}, tmp_path / "nested.pth")
    with pytest.raises(InputError, match="something else than tensors"):
        read_weights(tmp_path / "nested.pth")


def test_what_does_not_fit_is_named(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    save_file({"weight": torch.zeros(2, 4), "extra": torch.zeros(1)}, path)
    named = r"bias is missing; extra is unknown; weight has shape \(2, 4\), expected \(2, 3\)"
    with pytest.raises(InputError, match=named):
        load_weights(nn.Linear(3, 2), path)
    save_file({f"layer{number}": torch.zeros(1) for number in range(7)}, path)
    with pytest.raises(InputError, match="and 4 more"):
        load_weights(nn.Linear(3, 2), path)


def test_names_can_be_translated_and_the_rest_left(tmp_path: Path) -> None:
    path, norm = tmp_path / "w.safetensors", nn.BatchNorm1d(2)
    tensors = {name: torch.full((2,), 5.0) for name in ("weight", "bias", "running_mean", "running_var")}
    save_file({f"body.{name}": value for name, value in tensors.items()} | {"head": torch.zeros(3)}, path)
    load_weights(norm, path, named=lambda name: f"body.{name}", spare=True)
    assert norm.running_var.tolist() == [5.0, 5.0]


def test_nothing_is_read_where_there_are_no_values(tmp_path: Path) -> None:
    with torch.device("meta"):
        load_weights(nn.Linear(3, 2), tmp_path / "none.pth")
