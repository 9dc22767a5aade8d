"""Look for faster launches of the attention's kernels on this GPU.

python bench/tune.py [--dtypes bfloat16 float32] [--channels 256] [--level 56]

Launches are fixed by architecture, so that every rank compiles the same code and results are deterministic: nothing is
tuned while a model trains. This tries other shapes of a program's tile on purpose, times nothing that says something
else than the shipped one, and prints the fastest beside it, for the tables in `av_attention/kernel.py`.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from itertools import product

import torch
import triton
from gpu import error_of
from torch import Tensor
from triton.errors import TritonError

from cavs_kernels.av_attention import kernel
from cavs_kernels.av_attention.kernel import Shape

Clock = Callable[[Callable[[], object]], float]
TOLERANCE = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.5e-2}
# Rows, depth, warps and stages.
SHAPES = [Shape(*each) for each in product((16, 32, 64, 128), (32,), (4, 8), (1, 2, 3))]


def launches(frames: int, pixels: int, channels: int, dtype: torch.dtype, device: torch.device) -> Iterator[
    tuple[str, str, Callable[[], tuple[Tensor, ...]]]
]:  # fmt: skip
    """Yield each kernel's name, the function that says how it is launched, and a launch at these sizes."""
    torch.manual_seed(0)
    x, d_z = (torch.randn(4, frames, pixels, channels, device=device, dtype=dtype) for _ in range(2))
    matrix = (torch.randn(4, channels, channels, device=device) / channels**0.5).to(dtype)
    offset, weight = torch.randn(4, channels, device=device), torch.randn(channels, device=device)
    visible = torch.ones(4, frames, dtype=torch.bool, device=device)
    slot_of, scale = torch.zeros(4, frames, dtype=torch.int32, device=device), torch.ones(4, 1, device=device)
    means = x.mean(dim=2, dtype=torch.float32)
    yield "tail", "tail_shape", lambda: (kernel.tail(x, x, matrix, offset, visible, weight, weight, 1e-5),)
    yield "tail_slopes", "tail_shape", lambda: kernel.tail_slopes(d_z, x, x, matrix, offset, visible, weight, 1e-5)
    yield "moments", "product_shape", lambda: (kernel.moments(x, means, slot_of, 1),)
    yield "products", "product_shape", lambda: (kernel.products(x, d_z),)
    yield "added", "product_shape", lambda: (kernel.added(d_z, x, means, matrix[:, None], scale, means, slot_of),)


def times(
    rule: str, launch: Callable[[], tuple[Tensor, ...]], shapes: list[Shape], tolerance: float, clock: Clock
) -> dict[Shape | None, float]:
    """Return what each shape takes that can be launched and says what the shipped one (None) does."""
    truth = launch()
    found: dict[Shape | None, float] = {None: clock(launch)}
    shipped = getattr(kernel, rule)
    try:
        for shape in shapes:
            setattr(kernel, rule, lambda *_, shape=shape, **__: shape)
            try:
                if error_of(launch(), truth) <= tolerance:
                    found[shape] = clock(launch)
            except TritonError:  # it does not compile, or does not fit the device
                continue
    finally:
        setattr(kernel, rule, shipped)
    return found


def main() -> None:
    """Print, for each kernel, the shipped launch's time and the best one found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dtypes", nargs="+", choices=("bfloat16", "float16", "float32"), default=["bfloat16"])
    parser.add_argument("--channels", type=int, nargs="+", choices=kernel.CHANNELS, default=[256])
    parser.add_argument("--level", type=int, default=56)
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("there is no GPU here: nothing was tuned")
    for dtype, channels in product((getattr(torch, name) for name in options.dtypes), options.channels):
        for name, rule, launch in launches(10, options.level**2, channels, dtype, torch.device("cuda")):
            # 128 sums a thread at most: what spills is not fast.
            fits = [shape for shape in SHAPES if shape.rows * channels <= 4096 * shape.warps]
            found = times(rule, launch, fits, TOLERANCE[dtype], triton.testing.do_bench)
            best = min(found, key=lambda shape: found[shape])
            said = "is the fastest" if best is None else f"{found[best]:.3f} ms with {best}"
            print(f"{name:12} {dtype} C {channels}: shipped {found[None]:.3f} ms, {said}", flush=True)


if __name__ == "__main__":
    main()
