"""Randomness as a function of names: the same (seed, parts) give the same numbers on every rank, worker and machine."""

import hashlib

import numpy as np


def keyed_hash(*parts: int | str) -> int:
    """Hash `parts` (their order and their boundaries count) to an unsigned 64-bit integer."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")


def generator(*parts: int | str) -> np.random.Generator:
    """Make the NumPy generator that belongs to `parts`."""
    return np.random.Generator(np.random.Philox(keyed_hash(*parts)))
