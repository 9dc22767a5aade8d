"""Agreeing on a memory of 1,000 classes x 20 exemplars over 1 to 1,024 ranks, each with a full list of its own.

python bench/memory_scale.py [most ranks]     (3 minutes and 1.5 GB on 2 cores)

The ranks are simulated one after the other, the merge is the real one: what `synchronize` would send is handed over
here. Printed: rounds, bytes that a rank sends, seconds that a rank merges. One JSON line at the end.
"""

import json
import sys
import time

import numpy as np

from cavs_dist.memory.shortlist import Shortlist
from cavs_dist.memory.synchronize import hops
from cavs_dist.randomness import generator

CLASSES, EXEMPLARS, KEY = 1_000, 20, 24


def full_list(rank: int) -> Shortlist:
    """Return a rank's shortlist with every place taken, by keys of 24 characters."""
    rng = generator("memory_scale", rank)
    quotas = np.full(CLASSES, EXEMPLARS)
    scores = np.sort(np.abs(rng.normal(size=(CLASSES, EXEMPLARS))), axis=1)
    keys = rng.integers(48, 58, (CLASSES, EXEMPLARS, KEY), np.uint8).view(f"S{KEY}")[..., 0]
    return Shortlist("consistency", quotas, scores, keys)


def agree(world: int) -> dict[str, float]:
    """Let `world` ranks agree, see that they do, and return what it took each of them."""
    held = [full_list(rank) for rank in range(world)]
    sent, start = 0, time.perf_counter()
    for distance in hops(world):
        messages = [one.to_bytes() for one in held]
        held = [one.merged(one.from_bytes(messages[rank - distance])) for rank, one in enumerate(held)]
        sent += len(messages[0])
    seconds = (time.perf_counter() - start) / world
    if len({one.digest() for one in held}) != 1:
        raise SystemExit(f"{world} ranks do not agree")
    return {"ranks": world, "rounds": len(list(hops(world))), "bytes": sent, "seconds": round(seconds, 4)}


def main(most: int = 1024) -> None:
    """Double the number of ranks until `most`, and try one that is no power of two."""
    worlds = [1 << power for power in range(most.bit_length()) if 1 << power <= most]
    found = []
    for world in sorted({*worlds, min(most, 1000)}):
        found.append(agree(world))
        print("{ranks:5} ranks: {rounds:2} rounds, {bytes:9,} bytes and {seconds:.3f} s a rank".format(**found[-1]))
    print(json.dumps({"bench": "memory_scale", "classes": CLASSES, "exemplars": EXEMPLARS, "worlds": found}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
