"""Losses from features against losses from logits: time and peak memory of forward and backward, side by side.

10 frames of 224 x 224, 32 channels, 71 classes of which a teacher knows 61. `plain` makes all logits; `ours` is what
the methods run. Peaks are above the inputs and without the features' gradient, which both return. Prints a line for
each, then one JSON line.

    python bench/segmentation_loss.py [--repeats 3] [--side 224]
"""

import argparse
import json
import resource
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from alone import alone
from torch import Tensor

from cavs_dist.losses.pod import fold_new_classes, local_pod, logits_pod
from cavs_kernels.head import Head
from cavs_kernels.segmentation_loss import segmentation_terms
from cavs_kernels.segmentation_loss.reference import Rules, segmentation_terms_reference

FRAMES, CHANNELS, CLASSES, OLD = 10, 32, 71, 61
EVERYWHERE = torch.ones(FRAMES, dtype=torch.bool)
THRESHOLDS = torch.full((OLD,), 0.7)
Loss = Callable[[Head, Tensor, Head], Tensor]


def plain(student: Head, labels: Tensor, teacher: Head, rules: Rules) -> Tensor:
    """The reference's losses of each frame."""
    terms = segmentation_terms_reference(student, labels, None if rules.num_old == CLASSES else teacher, rules)
    return terms.cross_entropy + terms.distillation


def ours(student: Head, labels: Tensor, teacher: Head, asked: dict[str, Any]) -> Tensor:
    """The op's losses of each frame."""
    terms = segmentation_terms(student, labels, teacher if asked else None, **asked)
    return terms.cross_entropy + terms.distillation


def plain_pod(student: Head, labels: Tensor, teacher: Head) -> Tensor:
    """Local POD of logits that are all there."""
    return local_pod(fold_new_classes(student, OLD).logits(), teacher.logits())


def our_pod(student: Head, labels: Tensor, teacher: Head) -> Tensor:
    """Local POD of a few logits at a time."""
    return logits_pod(fold_new_classes(student, OLD), teacher)


# What each method asks for, and the term of PLOP and CMR on top; PLOP's thresholds accept about half.
COMPARED: dict[str, tuple[Loss, Loss]] = {
    "fine_tune": (partial(plain, rules=Rules(CLASSES)), partial(ours, asked={})),
    "lwf": (partial(plain, rules=Rules(OLD, "plain")), partial(ours, asked={"distill": "plain"})),
    "mib": (
        partial(plain, rules=Rules(OLD, "unbiased", hides=EVERYWHERE)),
        partial(ours, asked={"distill": "unbiased", "unbiased": True}),
    ),
    "plop": (
        partial(plain, rules=Rules(OLD, thresholds=THRESHOLDS, guesses=EVERYWHERE)),
        partial(ours, asked={"thresholds": THRESHOLDS}),
    ),
    "pod": (plain_pod, our_pod),
}


def build(side: int) -> tuple[Head, Tensor, Head]:
    """Return a student, labels and a teacher, the same in every process."""
    torch.manual_seed(0)
    heads = []
    for classes in (CLASSES, OLD):
        features = torch.randn(FRAMES, CHANNELS, side, side).relu().contiguous(memory_format=torch.channels_last)
        heads.append(Head(features, 0.3 * torch.randn(classes, CHANNELS), torch.randn(classes)))
    labels = torch.randint(OLD, CLASSES, (FRAMES, side, side)) * (torch.rand(FRAMES, side, side) < 0.2)
    return Head(*(tensor.requires_grad_() for tensor in heads[0])), labels, heads[1]


def measure(method: str, which: int, side: int, repeats: int, results: Any) -> None:
    """Time forward and backward in a process of its own, so that its peak memory is its own."""
    loss = COMPARED[method][which]
    inputs = build(side)
    step(loss, *build(8))  # what is loaded at the first use is not the loss's
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        found = step(loss, *inputs)
        seconds.append(time.perf_counter() - start)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    features = inputs[0].features
    gradient = features.numel() * features.element_size() / 2**20
    results.put({"seconds": round(statistics.median(seconds), 3), "peak_mb": round(peak - gradient), "loss": found})


def step(loss: Loss, student: Head, labels: Tensor, teacher: Head) -> float:
    """One forward and backward; returns the loss, so that both can be seen to compute the same."""
    mean = loss(student, labels, teacher).mean()
    torch.autograd.grad(mean, list(student))
    return mean.item()


def main() -> None:
    """Measure both for every method, turn by turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--side", type=int, default=224)
    options = parser.parse_args()
    table: dict[str, Any] = {}
    for method in COMPARED:
        names = ("plain", "ours")
        row = {name: alone(measure, method, which, options.side, options.repeats) for which, name in enumerate(names)}
        for name, found in row.items():
            numbers = f"{found['seconds'] * 1000:8.0f} ms {found['peak_mb']:8.0f} MB, loss {found['loss']:.6f}"
            print(f"{method:10} {name:6} {numbers}", flush=True)
        table[method] = row | {"share_of_peak": round(row["ours"]["peak_mb"] / row["plain"]["peak_mb"], 3)}
    print(json.dumps({"bench": "segmentation_loss", "threads": torch.get_num_threads(), "side": options.side, **table}))


if __name__ == "__main__":
    main()
