from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch

from cavs_dist.curriculum import Stage
from cavs_dist.run_folder import write_json
from cavs_dist.tasks.separation.evaluate import SCORES, Scores, record

MakeRun = Callable[..., Path]
CLASSES = ("dog", "drum", "bird")
EACH = 3
RATE = 8000


def scores_of(stage: Stage, first: tuple[str, ...], shift: float) -> Scores:
    """Every two classes three times: the first stage's have 6 dB, 3 dB less after each stage, later ones 8 dB."""
    pairs = [pair for pair in combinations(range(len(stage.seen)), 2) for _ in range(EACH)]
    values = torch.zeros(len(pairs), len(SCORES), 2, dtype=torch.float64)
    for row, pair in enumerate(pairs):
        for source, position in enumerate(pair):
            sdr = 6.0 - 3.0 * stage.index if stage.seen[position] in first else 8.0
            floor = 1.0 if position == 0 else -1.0
            values[row, :, source] = torch.tensor([sdr + shift, 9.0, 11.0, floor, 15.0])
    nothing = torch.zeros(len(pairs), 2, dtype=torch.bool)
    videos = torch.arange(2 * len(pairs)).view(-1, 2)
    return Scores(torch.cat((videos, torch.tensor(pairs)), dim=1), values, nothing, nothing, nothing[:, 0])


def write_examples(path: Path, stage: Stage, count: int, samples: int) -> None:
    """Tones with a little noise, of which a model takes most out."""
    rng = np.random.default_rng(7)
    pairs = list(combinations(range(len(stage.seen)), 2))
    classes = np.array([pairs[number % len(pairs)] for number in range(count)])
    tones = np.sin(np.arange(samples) * 0.02 * (3 + 2 * classes[:, :, None]))
    truth = 0.2 * tones + 0.01 * rng.normal(size=(count, 2, samples))
    masks = rng.random((count, 2, 64, 48))
    arrays = {
        "truth": truth,
        "estimates": 0.8 * truth + 0.1 * truth[:, ::-1],
        "spectrogram": 2 * masks.mean(axis=1),
        "masks": masks,
        "ratio_masks": masks > 0.5,
    }
    np.savez_compressed(
        path,
        keys=np.array([[f"test-{number}-a", f"test-{number}-b"] for number in range(count)]),
        classes=classes,
        frames=rng.integers(0, 256, (count, 2, 16, 16, 3), dtype=np.uint8),
        **{name: values.astype(np.float16) for name, values in arrays.items()},
    )


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run folder of dog and drum, then bird: `make_run(name, method=..., stages=..., shift=...)`."""

    def make(
        name: str = "run",
        *,
        method: str = "contavsep",
        stages: int = 2,
        classes: tuple[str, ...] = CLASSES,
        shift: float = 0.0,
        count: int = 2,
        samples: int = 2048,
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        config = f"seed: 3\ntask: {{name: separation}}\nmethod: {{name: {method}}}\n"
        (folder / "config.yaml").write_text(f"{config}data: {{path: made/up, mix: {{rate: {RATE}}}}}\n")
        (folder / "metrics.jsonl").write_text('{"update": 1, "stage": 0, "phase": "main", "loss": 0.5}\n')
        for index in range(stages):
            stage = Stage(index, classes[:2] if index == 0 else classes[1 + index : 2 + index], classes[: 2 + index])
            inside = folder / "stages" / str(index)
            inside.mkdir(parents=True)
            found = record(scores_of(stage, classes[:2], shift), stage, "count")
            write_json(inside / "evaluation.json", {**found, "protocol": "overlapped", "metrics": {}})
            write_examples(inside / "examples.npz", stage, count, samples)
        return folder

    return make
