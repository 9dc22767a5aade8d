import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

MakeRun = Callable[..., Path]
CLASSES = ("dog", "drum", "bird")


def write_stage(folder: Path, index: int, classes: tuple[str, ...], new: tuple[str, ...]) -> None:
    folder.mkdir(parents=True)
    side = len(classes)
    evaluation = {
        "format": 1,
        "stage": index,
        "protocol": "overlapped",
        "classes": classes,
        "new": new,
        "iou": [0.8, *(0.5 - 0.25 * index + (0.4 * index if name in new else 0) for name in classes[1:])],
        "avsbench_iou": [0.5] * side,
        "fscore": [0.6] * (side - 1) + [None],
        "confusion": (np.eye(side, dtype=int) * 6 + 2).tolist(),
        "metrics": {},
        "clips": 12,
    }
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    masks = np.zeros((2, 3, 8, 8), np.uint8)
    masks[:, :, 2:6, 2:6] = side - 1
    frames = np.full((2, 3, 8, 8, 3), 90, np.uint8)
    keys = np.array(["test-0", "test-1"])
    np.savez(folder / "examples.npz", keys=keys, frames=frames, truth=masks, prediction=masks)


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a run folder of dog and drum, then bird: `make_run(name, method=..., stages=...)`."""

    def make(name: str = "run", *, method: str = "cmr", stages: int = 2, classes: tuple[str, ...] = CLASSES) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        config = f"seed: 0123\nmethod:\n  name: {method}\ndata:\n  path: made/up\nevaluate:\n  absent: skip\n"
        (folder / "config.yaml").write_text(config)
        (folder / "environment.json").write_text(json.dumps({"packages": {"torch": "2.14"}, "ranks": 1}))
        lines: list[dict[str, Any]] = [{"event": "started", "seconds": 0.0}]
        for update in range(1, 41):
            terms = {"loss": 2 / update, "loss/pod": 0.5 / update, "loss/cross_entropy": 1.5 / update}
            lines.append({"update": update, "stage": update // 21, "phase": "main", "epoch": 0, **terms})
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        for index in range(stages):
            seen = ("background", *classes[: 2 + index])
            write_stage(folder / "stages" / str(index), index, seen, classes[:2] if index == 0 else classes[2:3])
        return folder

    return make
