"""A measurement in a process of its own, so that its peak memory is its own."""

import multiprocessing
from collections.abc import Callable


def alone(target: Callable[..., None], *arguments: object) -> dict[str, float]:
    """Run `target` in a fresh process with a queue as its last argument, and return what it puts there."""
    context = multiprocessing.get_context("spawn")
    results = context.Queue()
    process = context.Process(target=target, args=(*arguments, results))
    process.start()
    found: dict[str, float] = results.get()
    process.join()
    return found
