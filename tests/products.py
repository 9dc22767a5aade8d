"""What a run leaves, byte for byte, to compare with another's."""

from pathlib import Path

NAMES = ("*.safetensors", "memory.json", "evaluation.json", "begin.pt", "*.tar")


def products(folder: Path, *more: str) -> dict[str, bytes]:
    """Return the products of a run folder by their names; more: patterns besides NAMES."""
    return {str(path.relative_to(folder)): path.read_bytes() for name in (*NAMES, *more) for path in folder.rglob(name)}
