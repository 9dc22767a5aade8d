"""Counts what a process hands to torch.distributed, by kind of collective. Install it before DeepSpeed is imported."""

import functools
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch.distributed as dist

BYTES: Counter[str] = Counter()


def install() -> Counter[str]:
    """Count bytes from now on: summed by all-reduces, gathered by all-gathers of weights, and sent to single ranks."""
    _count("all_reduce", "reduced", lambda tensor, *_, **__: tensor.nbytes)
    for name in ("all_gather_into_tensor", "_all_gather_base"):
        _count(name, "gathered", lambda output_tensor, *_, **__: output_tensor.nbytes)
    _count("batch_isend_irecv", "sent", lambda both, *_, **__: sum(one.tensor.nbytes for one in both if _is_send(one)))
    return BYTES


def _is_send(one: Any) -> bool:
    return bool(one.op.__name__ == "isend")


def _count(name: str, kind: str, size: Callable[..., int]) -> None:
    plain = getattr(dist, name)

    @functools.wraps(plain)
    def counted(*arguments: Any, **options: Any) -> Any:
        BYTES[kind] += size(*arguments, **options)
        return plain(*arguments, **options)

    setattr(dist, name, counted)
