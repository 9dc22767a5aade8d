"""Versions: what the package declares that it needs, against what is installed."""

import platform
from importlib.metadata import PackageNotFoundError, metadata, requires, version

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from cavs_dist.doctor.finding import Finding

REINSTALL = "install the package anew into this environment: pip install -e ."


def python(package: str = "cavs_dist") -> Finding:
    """Check the interpreter."""
    found = platform.python_version()
    try:
        wanted = metadata(package).json.get("requires_python", "")
    except PackageNotFoundError:
        return _unknown(package)
    if not SpecifierSet(str(wanted)).contains(found, prereleases=True):
        return Finding("failed", f"Python {found}, {wanted} is needed", "make an environment of another Python")
    return Finding("ok", f"Python {found}")


def libraries(package: str = "cavs_dist") -> Finding:
    """Check every library that the package declares."""
    try:
        declared = [Requirement(text) for text in requires(package) or ()]
    except PackageNotFoundError:
        return _unknown(package)
    needed = [item for item in declared if item.marker is None or item.marker.evaluate({"extra": ""})]
    wrong = [found for item in needed if (found := _wrong(item))]
    if wrong:
        return Finding("failed", "; ".join(wrong), REINSTALL)
    shown = ", ".join(f"{name} {version(name)}" for name in ("torch", "deepspeed", "triton", "wandb") if _has(name))
    return Finding("ok", f"{len(needed)} libraries in their ranges ({shown})" if shown else f"{len(needed)} libraries")


def _wrong(item: Requirement) -> str:
    """Return what is wrong with an installed library, empty if nothing is."""
    if not _has(item.name):
        return f"{item.name} is missing"
    found = version(item.name)
    return "" if item.specifier.contains(found, prereleases=True) else f"{item.name} is {found}, not {item.specifier}"


def _has(name: str) -> bool:
    try:
        version(name)
    except PackageNotFoundError:
        return False
    return True


def _unknown(package: str) -> Finding:
    return Finding("warning", f"{package} is not installed, so what it needs is unknown", REINSTALL)
