"""Compile every kernel for GPUs that are not here, and refuse spills: python -m cavs_kernels.aot

A table of registers, spilled bytes, shared memory, the instructions that its products became, and seconds. Exit code 1
if a kernel spills or asks for more shared memory than the device has.
"""

import argparse
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from cavs_kernels.variant import Variant

FAMILIES = ("av_attention", "collision", "segmentation_loss")
TARGETS = {
    "sm_80": GPUTarget("cuda", 80, 32),
    "sm_90": GPUTarget("cuda", 90, 32),
    "sm_100": GPUTarget("cuda", 100, 32),
    "gfx942": GPUTarget("hip", "gfx942", 64),
}
SHARED = {"sm_80": 166_912, "sm_90": 232_448, "sm_100": 232_448, "gfx942": 65_536}  # bytes a program may have
# What a product of tiles becomes; the first that is found names it.
PRODUCTS = {
    "tcgen05": r"tcgen05\.mma", "wgmma": r"wgmma\.mma_async", "mma tf32": r"mma\.sync\S*tf32", "mma": r"mma\.sync",
    "mfma": r"v_mfma_", "fma": r"fma\.rn\.f32|v_(?:pk_)?fma|v_fmac",
}  # fmt: skip


class Row(NamedTuple):
    """What became of a variant. registers, spilled, shared: a thread's, bytes of a thread, bytes of a program."""

    architecture: str
    name: str
    registers: int
    spilled: int
    shared: int
    product: str
    seconds: float

    @property
    def fits(self) -> bool:
        """Nothing is spilled, and the device has the shared memory."""
        return self.spilled == 0 and self.shared <= SHARED[self.architecture]


def variants(architecture: str, families: Sequence[str]) -> Iterator[Variant]:
    """Yield all that ships for an architecture."""
    for family in families:
        yield from import_module(f"cavs_kernels.{family}.kernel").variants(architecture)


def compile_variant(architecture: str, variant: Variant) -> Row:
    """Compile one variant, from scratch or Triton's cache."""
    names = variant.kernel.arg_names
    signature = {name: variant.types.get(name, "constexpr") for name in names}
    multiples = [name for name in names if signature[name][0] == "*" or name in variant.multiples]
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in multiples}
    source = ASTSource(fn=variant.kernel, signature=signature, constexprs=dict(variant.constants), attrs=aligned)
    options = {"num_warps": variant.num_warps, "num_stages": variant.num_stages}
    start = time.monotonic()
    made = triton.compile(source, target=TARGETS[architecture], options=options)
    seconds = time.monotonic() - start
    text = made.asm.get("ptx") or made.asm["amdgcn"]
    registers, spilled = _amd_resources(text) if "amdgcn" in made.asm else _nvidia_resources(made.asm["cubin"])
    found = (name for name, pattern in PRODUCTS.items() if re.search(pattern, text))
    return Row(architecture, variant.name, registers, spilled, made.metadata.shared, next(found, ""), seconds)


def _nvidia_resources(cubin: bytes) -> tuple[int, int]:
    dump = Path(triton.__file__).parent / "backends/nvidia/bin/cuobjdump"
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        told = subprocess.run(
            [dump, "--dump-resource-usage", file.name], capture_output=True, text=True, check=True
        ).stdout
    return _number(r"REG:(\d+)", told), _number(r"STACK:(\d+)", told)


def _amd_resources(text: str) -> tuple[int, int]:
    return _number(r"\.vgpr_count:\s*(\d+)", text), _number(r"\.private_segment_fixed_size:\s*(\d+)", text)


def _number(pattern: str, text: str) -> int:
    found = re.search(pattern, text)
    assert found is not None, f"the compiler no longer tells {pattern}"
    return int(found[1])


def table(architectures: Sequence[str], families: Sequence[str]) -> Iterator[Row]:
    """Compile everything and print a row for each as it comes."""
    print(f"{'':7} {'kernel':44} {'registers':>9} {'spilled':>8} {'shared':>8} {'product':9} {'seconds':>8}")
    for architecture in architectures:
        for variant in variants(architecture, families):
            row = compile_variant(architecture, variant)
            numbers = f"{row.registers:9} {row.spilled:8} {row.shared:8} {row.product:9} {row.seconds:8.1f}"
            print(f"{architecture:7} {row.name:44} {numbers}{'' if row.fits else '  does not fit'}", flush=True)
            yield row


def main(arguments: Sequence[str] | None = None) -> Any:
    """Print the table; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--architectures", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    options = parser.parse_args(arguments)
    rows: list[Row] = list(table(options.architectures, options.families))
    print(f"{len(rows)} compilations in {sum(row.seconds for row in rows):.0f} s")
    return int(not all(row.fits for row in rows))


if __name__ == "__main__":
    sys.exit(main())
