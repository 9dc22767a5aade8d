from pathlib import Path

import pytest

from cavs_dist.doctor.needs import needs_of, read_needs
from cavs_dist.errors import InputError


def test_a_run_needs_at_least_what_it_leaves(tiny: str, finished: Path, tmp_path: Path) -> None:
    needs = needs_of(tiny, [f"out={tmp_path / 'run'}", "track.wandb=offline"])
    kept = sum(path.stat().st_size for path in finished.rglob("*") if path.suffix in (".safetensors", ".tar"))
    assert kept < needs.disk < 1e9
    assert (needs.out, needs.wandb) == (str(tmp_path / "run"), "offline")
    assert not (tmp_path / "run").exists()
    assert read_needs(tiny, [f"out={tmp_path / 'run'}", "track.wandb=offline"]) == needs


def test_what_training_would_refuse_is_refused(tiny: str) -> None:
    with pytest.raises(InputError, match="no finished stage 0"):
        needs_of(tiny, ["train.start=nowhere"])
    with pytest.raises(InputError, match="no finished stage 0"):
        read_needs(tiny, ["train.start=nowhere"])
