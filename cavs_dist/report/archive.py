"""Arrays from an .npz of outside: nothing is unpickled, and nothing that would fill the memory is unpacked."""

import zipfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cavs_dist.errors import InputError

MOST_BYTES = 1 << 30


def read_arrays(path: Path, names: Collection[str], optional: Collection[str] = ()) -> dict[str, NDArray[Any]]:
    """Return the arrays `names`, and those of `optional` that there are.

    Raises InputError if one is missing, the file unpacks to more than 1 GiB, or it is no archive of plain arrays.
    """
    # A damaged archive fails in many ways, and all of them mean the same.
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(member.file_size for member in archive.infolist())
        if size > MOST_BYTES:
            raise ValueError(f"it unpacks to more than {MOST_BYTES >> 30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in (*names, *(name for name in optional if name in arrays))}
    except Exception as error:
        raise InputError(f"{path} is damaged or was not written by a run ({error})") from error
