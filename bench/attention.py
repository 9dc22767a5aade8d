"""Collapsed against direct audio-visual attention: the whole module (batch norm, residual, layer norm), forward and
backward, at 5 x 56 x 56 pixels and 256 channels. Prints time and peak memory of both, then one JSON line.

    python bench/attention.py [--repeats 5]
"""

import argparse
import json
import multiprocessing
import resource
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

import cavs_dist.models.attention as attention
from cavs_dist.models.attention import AudioVisualAttention
from cavs_kernels.av_attention import av_attention
from cavs_kernels.av_attention.direct import av_attention_direct

FRAMES, SIDE, CHANNELS, AUDIO = 5, 56, 256, 128


def direct(tokens: Tensor, audio: Tensor | None, weights: object, *, mode: str, mask: Tensor) -> Tensor:
    """The N x N evaluation, with the op's signature."""
    return av_attention_direct(tokens, audio, weights, mode, mask)  # type: ignore[arg-type]


def build() -> tuple[AudioVisualAttention, Tensor, Tensor, Tensor]:
    """Return the module and its inputs, the same in both processes."""
    torch.manual_seed(0)
    module = AudioVisualAttention(CHANNELS, AUDIO, "dot", "sync")
    torch.nn.init.normal_(module.norm.weight)  # at its start, 0, the attention would not be seen in the output
    maps = torch.randn(FRAMES, CHANNELS, SIDE, SIDE).contiguous(memory_format=torch.channels_last)
    return module, maps, torch.randn(FRAMES, AUDIO), torch.ones(1, FRAMES, dtype=torch.bool)


def measure(name: str, repeats: int, results: multiprocessing.Queue) -> None:  # type: ignore[type-arg]
    """Time forward and backward in a process of its own, so that its peak memory is its own."""
    attention.av_attention = {"collapsed": av_attention, "direct": direct}[name]  # type: ignore[attr-defined]
    module, maps, sound, present = build()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    seconds = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        out, _ = module(maps, sound, present)
        out.square().mean().backward()
        seconds.append(time.perf_counter() - start)
    peak = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
    results.put({"seconds": statistics.median(seconds[1:]), "peak_mb": peak, "sum": float(out.detach().double().sum())})


def alone(target: Callable[..., None], *arguments: object) -> dict[str, float]:
    """Run `target` in a fresh process and return what it puts into its queue."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=target, args=(*arguments, results))
    process.start()
    found: dict[str, float] = results.get()
    process.join()
    return found


def main() -> None:
    """Measure both, turn by turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    found = {name: alone(measure, name, repeats) for name in ("collapsed", "direct")}
    for name, values in found.items():
        print(f"{name:10} {values['seconds'] * 1000:8.1f} ms {values['peak_mb']:8.0f} MB above the inputs")
    ratio = found["direct"]["seconds"] / found["collapsed"]["seconds"]
    print(json.dumps({"bench": "attention", "threads": torch.get_num_threads(), "ratio": round(ratio, 1), **found}))


if __name__ == "__main__":
    main()
