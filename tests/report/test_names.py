from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.errors import InputError
from cavs_dist.report.names import named_runs
from cavs_dist.report.read import read_run

MakeRun = Callable[..., Path]


def test_runs_are_named_by_method_and_by_folder_where_that_is_not_enough(make_run: MakeRun) -> None:
    runs = [
        read_run(make_run("a", method="cmr")),
        read_run(make_run("b", method="cmr")),
        read_run(make_run("c", method="mib")),
        read_run(make_run("d", method="seconds")),
    ]
    assert list(named_runs(runs)) == ["a", "b", "mib", "d"]
    with pytest.raises(InputError, match="twice"):
        named_runs([runs[0], runs[0]])
