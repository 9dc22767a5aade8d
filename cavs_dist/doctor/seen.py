"""What torch sees of this machine, asked in an interpreter of its own: `python -m cavs_dist.doctor.seen` prints it."""

import json
import sys
import warnings
from dataclasses import asdict, dataclass
from typing import Any

from cavs_dist.doctor.program import Unanswered, ask


@dataclass(frozen=True)
class Seen:
    """build: of torch, `CUDA 13.0`, `ROCm 7.1` or `CPU`. names: of its GPUs. why: its warning. nccl: the version."""

    build: str
    names: list[str]
    why: str
    nccl: str


def seen_by_torch(limit: float = 60.0) -> Seen:
    """Ask torch. Raises Unanswered where it breaks or takes longer than `limit` seconds."""
    text = ask((sys.executable, "-m", __name__), limit)
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError:
        raise Unanswered(f"torch said {text[:80]!r}") from None
    return Seen(**found)


def see() -> Seen:
    """Import torch and look."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        import torch

        num_devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
        names = [torch.cuda.get_device_name(number) for number in range(num_devices)]
    why = next((str(one.message).partition("\n")[0] for one in said if "CUDA" in str(one.message)), "")
    cuda, hip = torch.version.cuda, torch.version.hip
    build = f"CUDA {cuda}" if cuda else f"ROCm {hip}" if hip else "CPU"
    version: Any = torch.cuda.nccl.version if cuda or hip else tuple
    return Seen(build, names, why, ".".join(map(str, version())))


if __name__ == "__main__":
    print(json.dumps(asdict(see())))
