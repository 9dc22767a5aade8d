"""A W&B run to be told things."""

from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.dashboard.messages import Start


@pytest.fixture
def begin(tmp_path: Path) -> Callable[..., Start]:
    """Describe a run below the test's folder."""

    def begin(mode: str = "offline", patience: float = 60) -> Start:
        config = {"seed": 7}
        return Start(tmp_path, mode, "project", "name", "study", "train", ("cmr",), "abcd1234", config, patience)

    return begin
