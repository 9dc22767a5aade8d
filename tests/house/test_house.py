"""The house keeps its shape: ceilings, a twin for every file, every method where it has to be."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from cavs_dist.methods import METHODS

HOUSE = Path(__file__).parents[2]
SOURCES = sorted([*HOUSE.glob("cavs_dist/**/*.py"), *HOUSE.glob("kernels/cavs_kernels/**/*.py")])
EXEMPT = ("__init__.py", "__main__.py")


def name_of(path: Path) -> str:
    return str(path.relative_to(HOUSE))


def twin_of(source: Path) -> Path:
    """cavs_dist/a/b.py -> tests/a/test_b.py, kernels/cavs_kernels/x/y.py -> tests/kernels/x/test_y.py."""
    package, *rooms, file = source.relative_to(HOUSE).parts
    inside = ["kernels", *rooms[1:]] if package == "kernels" else rooms
    return HOUSE.joinpath("tests", *inside, f"test_{file}")


def long_functions(source: Path, ceiling: int = 60) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert node.end_lineno is not None
            lines = node.end_lineno - node.lineno + 1
            if lines > ceiling:
                yield f"{node.name} has {lines} lines, more than {ceiling}"


@pytest.mark.parametrize("source", SOURCES, ids=name_of)
def test_a_file_is_one_idea_of_bearable_length(source: Path) -> None:
    ceiling = 500 if source.name == "kernel.py" else 400
    assert len(source.read_text(encoding="utf-8").splitlines()) <= ceiling
    assert source.name == "kernel.py" or not list(long_functions(source))


@pytest.mark.parametrize("source", [path for path in SOURCES if path.name not in EXEMPT], ids=name_of)
def test_a_file_has_its_test(source: Path) -> None:
    assert twin_of(source).is_file(), f"write {name_of(twin_of(source))}"


def test_every_method_is_registered_configured_and_told_of() -> None:
    readme = (HOUSE / "README.md").read_text(encoding="utf-8")
    rooms = HOUSE / "cavs_dist/methods"
    shared = {path.stem for path in rooms.glob("*.py")} - {"__init__", "base"}
    for task, methods in METHODS.items():
        own = {path.stem for path in (rooms / task).glob("*.py")} - {"__init__"}
        assert own <= set(methods) <= own | shared
        assert set(methods) <= {path.stem for path in (HOUSE / "configs" / task).glob("*.yaml")}
        assert not [name for name in methods if f"`{name}`" not in readme]
    assert shared <= {name for methods in METHODS.values() for name in methods}


def test_nothing_is_a_drawer_for_odds_and_ends() -> None:
    assert not [name_of(source) for source in SOURCES if source.stem in ("utils", "util", "helpers", "misc", "common")]


def test_kernels_is_a_folder_and_no_package() -> None:
    """The package index has a package `kernels`: ours must not take its name."""
    assert not (HOUSE / "kernels/__init__.py").exists()
