import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cavs_dist.errors import InputError
from cavs_dist.report.fields import Fields
from cavs_dist.report.stages import read_each


@dataclass(frozen=True)
class Result:
    classes: tuple[str, ...]
    new: tuple[str, ...]


def read(folder: Path, fields: Fields) -> Result:
    assert folder.name == str(fields.integer("stage"))
    return Result(fields.names("classes"), fields.names("new"))


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., None]:
    def write(folder: int, **values: Any) -> None:
        (tmp_path / str(folder)).mkdir(exist_ok=True)
        record = {"format": 1, "stage": folder, **values}
        (tmp_path / str(folder) / "evaluation.json").write_text(json.dumps(record))

    return write


def test_stages_come_in_order_as_far_as_evaluated(write: Callable[..., None], tmp_path: Path) -> None:
    assert read_each(tmp_path / "nowhere", read) == ()
    names = [f"class {number}" for number in range(12)]
    for stage, name in enumerate(names):
        write(stage, classes=names[: stage + 1], new=[name])
    (tmp_path / "12").mkdir()
    assert [stage.new[0] for stage in read_each(tmp_path, read)] == names


@pytest.mark.parametrize(
    ("stage", "values", "said"),
    [
        (1, {"format": 2}, "`format` is 2"),
        (1, {"stage": 0}, "`stage` is 0"),
        (2, {}, r"stages \[0, 2\]"),
        (1, {"classes": ["b", "a"], "new": ["a"]}, "stage 1 .* different runs"),
    ],
)
def test_what_does_not_follow_is_refused(
    write: Callable[..., None], tmp_path: Path, stage: int, values: dict[str, Any], said: str
) -> None:
    write(0, classes=["a"], new=["a"])
    write(stage, **({"classes": ["a", "b"], "new": ["b"]} | values))
    with pytest.raises(InputError, match=said):
        read_each(tmp_path, read)
