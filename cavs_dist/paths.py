"""Where the files that ship with the package lie."""

from importlib.util import find_spec
from pathlib import Path

from cavs_dist.errors import InputError


def folder(name: str) -> Path:
    """Return the shipped folder `configs` or `slurm`: inside an installed package, else beside it in a checkout."""
    spec = find_spec("cavs_dist")
    assert spec is not None and spec.origin is not None
    package = Path(spec.origin).parent
    inside, beside = package / name, package.parent / name
    return inside if inside.is_dir() else beside


def find_config(name: str) -> Path:
    """Return the config that `name` means: a path, or a shipped one such as `segmentation/cmr`.

    Raises InputError listing the shipped configs if there is none.
    """
    shipped = folder("configs")
    for path in (Path(name), shipped / f"{name}.yaml"):
        if path.is_file():
            return path
    names = sorted(str(path.relative_to(shipped).with_suffix("")) for path in shipped.rglob("*.yaml"))
    raise InputError(f"no config {name!r}: give a file's path or one of {', '.join(names)}")
