"""Where the moment route of the attention block loses accuracy: the batch's variance and Z against float64.

python bench/moments.py [--channels 64 128 256 512]     (on a GPU, else in Triton's interpreter)

Each channel of the map has the same ratio of mean to standard deviation. `route`: the kernels, whose variance follows
from the map's moments; `plain`: the reference, which makes x A + c and takes its variance. Errors are relative: the
variance's largest, and Z's length. One line a combination, then a JSON line.
"""

import argparse
import json
import os
from typing import Any

import torch
from torch import Tensor

if not torch.cuda.is_available():
    os.environ["TRITON_INTERPRET"] = "1"

from gpu_cases import random_weights

from cavs_kernels.av_attention import AttentionWeights, NormWeights, av_attention_block
from cavs_kernels.av_attention.reference import av_attention_block_reference

RATIOS = (0.0, 1.0, 10.0, 100.0)
FRAMES, PIXELS = 4, 14 * 14


def errors(block: Any, tokens: Tensor, others: list[Tensor], truth: tuple[Tensor, Tensor]) -> tuple[float, float]:
    """Return how far a form's variance and Z are from float64's."""
    half = tokens.dtype != torch.float32
    with torch.autocast(tokens.device.type, tokens.dtype if half else torch.bfloat16, enabled=half):
        z, var = run(block, tokens, others)
    (true_z, true_var) = truth
    return (
        float(((var.double() - true_var) / true_var).abs().max()),
        float((z.double() - true_z).norm() / true_z.norm()),
    )


def run(block: Any, tokens: Tensor, others: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Return Z and the batch's variance of dot-product attention."""
    audio, *weights = others
    mask = torch.ones(tokens.shape[:2], dtype=torch.bool, device=tokens.device)
    options = {"mode": "dot", "mask": mask, "running": None, "reduce": lambda values: values}
    z, found = block(tokens, audio, AttentionWeights(*weights[:8]), NormWeights(*weights[8:]), **options)
    return z, found.var


def main() -> None:
    """Print every combination of type, channels and ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--channels", type=int, nargs="+", default=[64, 128, 256, 512])
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    types = [torch.float32, torch.float16] + ([torch.bfloat16] if device.type == "cuda" else [])  # the interpreter errs
    found = []
    for channels in parser.parse_args().channels:
        torch.manual_seed(0)
        base = torch.randn(1, FRAMES, PIXELS, channels, device=device)
        signs = torch.randn(channels, device=device).sign()
        others = [torch.randn(1, FRAMES, channels, device=device), *random_weights(channels, device)]
        wide = [each.double() for each in others]
        for ratio in RATIOS:
            for dtype in types:
                tokens = (base + ratio * signs).to(dtype)
                truth = run(av_attention_block_reference, tokens.double(), wide)
                row: dict[str, Any] = {"type": str(dtype).removeprefix("torch."), "channels": channels, "ratio": ratio}
                for name, block in (("route", av_attention_block), ("plain", av_attention_block_reference)):
                    row[f"{name}_var"], row[f"{name}_z"] = errors(block, tokens, others, truth)
                found.append(row)
                print(*(f"{name} {value:.1e}" if "_" in name else f"{value!s:8}" for name, value in row.items()))
    print(json.dumps({"bench": "moments", "device": device.type, "errors": found}))


if __name__ == "__main__":
    main()
