"""What machines do, in numbers: given, measured, or assumed with a source, and which of these each number is."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from cavs_dist.config import parse_override, read_config, structure
from cavs_dist.errors import InputError

SECTION = "rates"


@dataclass(frozen=True)
class Rates:
    """The section `rates` of `cavs-dist plan`, in seconds, bytes and FLOP; a file of them, or `rates.KEY=VALUE`.

    device: whose data sheet answers for what nobody gave or measured. node: GPUs of a node. device_bytes: memory of a
    GPU. flops16, flops32: of a GPU a second, in bf16 and in float32. utilisation: the share of them that is reached.
    slot_seconds: of a device for a slot, forward and backward and the teacher, 0 to work it out from FLOP.
    update_seconds: of a device for what an update costs however few its slots are. inside, between: bytes that a GPU
    sends a second to others of its node, and to other nodes. latency: of one message. storage: bytes that all ranks
    together read a second. decode: clips that a worker decodes a second, 0 to work it out from `pixels`, the stored
    pixels that it decodes a second. draw: seconds in which a rank works out a slot of the order, of all ranks' slots.
    clip_bytes, clip_frames: of a clip, where no index tells.
    """

    device: Literal["h100", "a100"] = "h100"
    node: int = 8
    device_bytes: float = 80e9
    flops16: float = 989e12
    flops32: float = 67e12
    utilisation: float = 0.3
    slot_seconds: float = 0.0
    update_seconds: float = 0.0
    inside: float = 450e9
    between: float = 50e9
    latency: float = 1e-5
    storage: float = 5e9
    decode: float = 0.0
    pixels: float = 15e6
    draw: float = 7.5e-6
    clip_bytes: float = 6e5
    clip_frames: int = 10


SHEETS: Mapping[str, Mapping[str, float]] = {
    "h100": {},  # as above
    "a100": {"flops16": 312e12, "flops32": 19.5e12, "inside": 300e9, "between": 25e9},
}
SOURCES: Mapping[str, str] = {
    "node": "a DGX H100 or A100",
    "device_bytes": "NVIDIA's data sheets of H100 SXM and A100 80GB SXM",
    "flops16": "NVIDIA's data sheet: dense, H100 SXM 989, A100 312 TFLOP/s",
    "flops32": "NVIDIA's data sheet: without TF32, H100 SXM 67, A100 19.5 TFLOP/s",
    "utilisation": "no source; networks of small convolutions may reach less",
    "update_seconds": "no source: nothing but the slots costs time",
    "inside": "NVIDIA's data sheet: half of NVLink's 900 (H100) or 600 (A100) GB/s, which counts both directions",
    "between": "a network card a GPU, as in DGX: 400 Gb/s (H100), 200 Gb/s (A100)",
    "latency": "no source; the order of a message between two GPUs of neighbouring nodes",
    "storage": "no source; a small parallel file system",
    "pixels": "bench/read_speed.py in README.md: 327 clips/s of 5 x 96 x 96 on a core of an AMD EPYC",
    "draw": "docs/memory.md: 0.3 s at 40,000 slots on a core of an AMD EPYC",
    "clip_bytes": "docs/memory.md; no index was read",
    "clip_frames": "AVSBench-semantic's longest clips; no index was read",
}
ZERO_IS_UNKNOWN = ("slot_seconds", "update_seconds", "decode", "draw")


@dataclass(frozen=True)
class Known:
    """Rates, and by key where each is from: `given` or `measured`, and by whom, or `assumed` and its source."""

    rates: Rates
    origins: Mapping[str, str]

    def assumptions(self, used: Sequence[str]) -> list[str]:
        """Return a sentence for each of the keys `used`."""
        return [f"{SECTION}.{key} = {getattr(self.rates, key):g}, {self.origins[key]}" for key in used]


def split_overrides(overrides: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the overrides of the run, and those of rates."""
    ours = [text for text in overrides if text.startswith(f"{SECTION}.")]
    return [text for text in overrides if text not in ours], ours


def read_rates(file: Path | None, overrides: Sequence[str], measured: Mapping[str, float]) -> Known:
    """Lay what is given over what is measured over what is assumed.

    Raises InputError for an unknown key, a wrong type, and a number that is out of its range.
    """
    layers: list[tuple[str, Mapping[str, Any]]] = [] if file is None else [(str(file), read_config(file))]
    layers += [(text, parse_override(text)[SECTION]) for text in overrides]
    given = structure(Rates(), layers)
    found: dict[str, Any] = {**SHEETS[given.device], **measured}
    rates = structure(Rates(), [("measured", found), *layers])
    _refuse_out_of_range(rates)
    origins = {item.name: f"assumed ({SOURCES.get(item.name, 'the default')})" for item in fields(Rates)}
    origins |= dict.fromkeys(measured, "measured on this machine")
    for source, tree in layers:
        origins |= dict.fromkeys(tree, f"given by {source}")
    return Known(rates, origins)


def _refuse_out_of_range(rates: Rates) -> None:
    for item in fields(rates):
        value = getattr(rates, item.name)
        if isinstance(value, str):
            continue
        least = 0 if item.name in ZERO_IS_UNKNOWN else math.ulp(0.0)
        if not least <= value < math.inf:
            expected = "0 or more" if item.name in ZERO_IS_UNKNOWN else "more than 0"
            raise InputError(f"{SECTION}.{item.name} is {value}; expected {expected}, and finite")
