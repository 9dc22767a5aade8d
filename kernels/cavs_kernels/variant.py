"""What a kernel is compiled for: one entry of the ahead-of-time table, and of the launches that ship."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import torch


class Variant(NamedTuple):
    """One compilation of a kernel.

    name: as the table shows it, such as `pair_counts fp32`. kernel: the `@triton.jit` function. types: each argument's
    Triton type, such as `*fp32` (a pointer, 16-byte aligned) or `i32`, in the kernel's order, constants left out.
    constants: the `tl.constexpr` arguments. num_warps, num_stages: as launched. multiples: the integers among the
    arguments that are multiples of 16 at the shapes that ship, where the compiler makes something of that.
    """

    name: str
    kernel: Any
    types: Mapping[str, str]
    constants: Mapping[str, Any]
    num_warps: int = 4
    num_stages: int = 2
    multiples: tuple[str, ...] = ()


def architecture(device: torch.device) -> str:
    """Return the name by which configurations are chosen: `sm_90`, `gfx942`; `cpu` where kernels are interpreted."""
    if device.type != "cuda":
        return "cpu"
    properties = torch.cuda.get_device_properties(device)
    if torch.version.hip:
        return str(properties.gcnArchName).split(":")[0]
    return f"sm_{properties.major}{properties.minor}"


def has_tf32(device: torch.device) -> bool:
    """Tell whether products of float32 may be rounded to tf32: on NVIDIA's GPUs from sm_80 on."""
    return device.type == "cuda" and not torch.version.hip and torch.cuda.get_device_capability(device) >= (8, 0)
