"""Count collisions: the op (its reference, on a CPU) against NumPy and a Counter over pixels. One JSON line at the end.

python bench/collision.py [--rounds 5] [--labels 71] [--old 61]

8 clips of 10 frames of 224 x 224. From label maps, and from head features of 32 channels: there the alternative makes
logits and labels in full first. All of them have to say the same before any of them is timed; the best round counts.
"""

import argparse
import json
import time
from collections import Counter
from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_kernels.collision import collisions
from cavs_kernels.head import Head

CLIPS, FRAMES, SIDE, FEATURES, THRESHOLD = 8, 10, 224, 32, 0.7

Found = list[tuple[int, int, bool]]


def by_op(old: Head | Tensor, truth: Tensor, labels: int) -> Found:
    """Count with the op."""
    found = collisions(old, truth, labels, THRESHOLD)
    return list(zip(*(part.tolist() for part in found), strict=True))


def by_op_of_labels(old: Head, truth: Tensor, labels: int) -> Found:
    """Make logits and labels first, then count with the op."""
    return by_op(old.logits().max(dim=1).indices.view_as(truth), truth, labels)


def by_numpy(old: Tensor, truth: Tensor, labels: int) -> Found:
    """Count each clip's pairs with NumPy's bincount."""
    found = []
    for before, now in zip(old.numpy(), truth.numpy(), strict=True):
        omega = (before != 0) & (now != 0) & (before != now) & (now != 255)
        counts = np.bincount(before[omega] * labels + now[omega], minlength=1)
        first = int(counts.argmax())
        found.append((first // labels, first % labels, bool(counts[first] > THRESHOLD * max(1, omega.sum()))))
    return found


def by_counter(old: Tensor, truth: Tensor, labels: int) -> Found:
    """Count each clip's pairs with a dictionary, pixel by pixel."""
    found = []
    for before, now in zip(old.flatten(1).tolist(), truth.flatten(1).tolist(), strict=True):
        pairs = Counter((a, b) for a, b in zip(before, now, strict=True) if a != 0 and b not in (0, 255) and a != b)
        (a, b), most = min(pairs.items(), key=lambda pair: (-pair[1], pair[0]), default=((0, 0), 0))
        found.append((a, b, most > THRESHOLD * max(1, pairs.total())))
    return found


def make(old: int, labels: int) -> tuple[Head, Tensor]:
    """Return a head whose classes form regions, and truth that does: a fifth background, some of it ignored."""
    torch.manual_seed(0)
    coarse = torch.randn(CLIPS * FRAMES, FEATURES, 7, 7)
    features = F.interpolate(coarse, size=(SIDE, SIDE), mode="bilinear")
    truth = torch.randint(old, labels, (CLIPS, FRAMES, 7, 7)).repeat_interleave(32, 2).repeat_interleave(32, 3)
    truth[torch.rand(CLIPS, FRAMES, 7, 7).repeat_interleave(32, 2).repeat_interleave(32, 3) < 0.2] = 0
    truth[:, -1] = 255
    return Head(features, torch.randn(old, FEATURES), torch.randn(old)), truth


def milliseconds(way: Callable[..., Found], *arguments: object, rounds: int) -> float:
    """Return the best of some rounds."""
    seconds = []
    for _ in range(rounds):
        start = time.perf_counter()
        way(*arguments)
        seconds.append(time.perf_counter() - start)
    return round(1000 * min(seconds), 2)


def main() -> None:
    """Compare what they say, then time them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--labels", type=int, default=71)
    parser.add_argument("--old", type=int, default=61)
    options = parser.parse_args()
    head, truth = make(options.old, options.labels)
    maps = head.logits().max(dim=1).indices.view_as(truth)
    found = {}
    for source, old, ways in (
        ("labels", maps, (by_op, by_numpy, by_counter)),
        ("head", head, (by_op, by_op_of_labels)),
    ):
        said = [way(old, truth, options.labels) for way in ways]  # type: ignore[operator]
        assert all(one == said[0] for one in said), "they do not say the same"
        for way in ways:
            took = milliseconds(way, old, truth, options.labels, rounds=1 if way is by_counter else options.rounds)
            found[f"{source} {way.__name__}"] = took
            print(f"{source:7} {way.__name__:16} {took:9.1f} ms")
    print(json.dumps({"bench": "collision", "threads": torch.get_num_threads(), "milliseconds": found}))


if __name__ == "__main__":
    main()
