"""BSS-eval of 2 sources of 65,280 samples: batches in torch against mir_eval, in turns.

python bench/bss.py [--mixtures 8] [--rounds 5]

Sources are recorded sounds of the scenes bank, estimates are what leaks of them and some noise. Both have to say the
same within 1e-6 dB before either is timed. They take turns, and the best round of each counts, once by the clock and
once by the processor's time of all threads, which other work disturbs less. Ours keeps to one thread, mir_eval takes
all that it gets. One JSON line at the end.
"""

import argparse
import json
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import soundfile
import torch
from mir_eval.separation import bss_eval_sources
from torch import Tensor

from cavs_dist.metrics.bss import bss_eval

SAMPLES = 65_280
BANK = Path(__file__).parents[1] / "cavs_dist/data/scenes/bank"


def sources(mixtures: int) -> Tensor:
    """Return [mixtures, 2, SAMPLES] of the bank's longest recordings, repeated where they are too short."""
    paths = sorted(BANK.rglob("*.ogg"), key=lambda path: (-path.stat().st_size, path.name))[: 2 * mixtures]
    waves = []
    for path in paths:
        wave = torch.from_numpy(soundfile.read(path, always_2d=True)[0][:, 0])
        waves.append(wave.repeat(1 + SAMPLES // len(wave))[:SAMPLES])
    return torch.stack(waves).view(mixtures, 2, SAMPLES)


def by_mir_eval(references: Tensor, estimates: Tensor) -> Tensor:
    """Return SDR, SIR and SAR, [3, B, 2]."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        found = [
            bss_eval_sources(*(signals[one].numpy() for signals in (references, estimates)), compute_permutation=False)
            for one in range(len(references))
        ]
    return torch.stack([torch.stack([torch.from_numpy(one[part]) for one in found]) for part in range(3)])


def milliseconds(way: Callable[[Tensor, Tensor], object], *signals: Tensor) -> tuple[float, float]:
    """Return the time that a mixture takes by the clock, and that of the processor."""
    start = time.perf_counter(), time.process_time()
    way(*signals)
    end = time.perf_counter(), time.process_time()
    wall, processor = (1000 * (after - before) / len(signals[0]) for before, after in zip(start, end, strict=True))
    return wall, processor


def main() -> None:
    """Compare, then time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mixtures", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    torch.manual_seed(0)
    references = sources(options.mixtures)
    mixing = torch.tensor([[1.0, 0.2], [0.3, 1.0]], dtype=torch.float64)
    estimates = mixing @ references + 0.01 * references.std() * torch.randn_like(references)
    found = bss_eval(references, estimates)
    told, known = torch.stack(found[:3]), ~found.flagged.expand(3, -1, -1)
    expected = by_mir_eval(references, estimates)
    off = float((told - expected)[known].abs().max())
    print(f"{int(found.flagged.sum())} of {found.flagged.numel()} flagged; the others differ by {off:.1e} dB at most")
    if not off < 1e-6:
        sys.exit("so nothing is timed")
    ways = {"torch": bss_eval, "mir_eval": by_mir_eval}
    rounds = [
        {name: milliseconds(way, references, estimates) for name, way in ways.items()} for _ in range(options.rounds)
    ]
    report: dict[str, object] = {"bench": "bss", "threads": torch.get_num_threads(), "mixtures": options.mixtures}
    for at, kind in enumerate(("wall", "processor")):
        ours, theirs = (min(each[name][at] for each in rounds) for name in ways)
        print(f"{kind}: torch {ours:.1f} ms a mixture, mir_eval {theirs:.1f} ms: {theirs / ours:.1f} times")
        report[kind] = {"torch_ms": round(ours, 1), "mir_eval_ms": round(theirs, 1)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
