from pathlib import Path

import pytest
import torch

from cavs_dist.config import TrainConfig
from cavs_dist.errors import InputError
from cavs_dist.nonfinite import NonFinite
from cavs_dist.run_folder import read_json

GOOD, BAD = torch.tensor(1.0), torch.tensor(float("nan"))


def policy(folder: Path, config: TrainConfig) -> NonFinite:
    return NonFinite(config, folder / "nonfinite.json", 1, "twin")


def test_it_stops_and_says_whether_it_was_a_loss(tmp_path: Path) -> None:
    stop = policy(tmp_path, TrainConfig())
    with pytest.raises(InputError, match=r"the loss \(pod\) of stage 1, twin, update 3 is not finite"):
        stop.meet(3, ["a", "b"], {"segment": GOOD, "pod": BAD})
    with pytest.raises(InputError, match=r"a gradient of stage 1, twin, update 4 is not finite .*on_nonfinite=skip"):
        stop.meet(4, ["c"], {"segment": GOOD})
    first, second = read_json(tmp_path / "nonfinite.json")["events"]
    assert first == {"stage": 1, "role": "twin", "update": 3, "ranks": [{"keys": ["a", "b"], "losses": ["pod"]}]}
    assert second["ranks"] == [{"keys": ["c"], "losses": []}]


def test_it_skips_within_its_budget(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    skip = policy(tmp_path, TrainConfig(on_nonfinite="skip", nonfinite_budget=2))
    skip.meet(0, ["a"], {"segment": BAD})
    skip.meet(5, ["b"], {"segment": BAD})
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "left out, 0 more may be" in said[1]
    with pytest.raises(InputError, match=r"3 updates of this fit were not, more than train\.nonfinite_budget=2"):
        skip.meet(6, ["c"], {"segment": BAD})


def test_an_update_that_a_resumed_run_comes_by_again_is_written_once(tmp_path: Path) -> None:
    for keys in (["a"], ["a"]):
        policy(tmp_path, TrainConfig(on_nonfinite="skip")).meet(2, keys, {"segment": BAD})
    assert len(read_json(tmp_path / "nonfinite.json")["events"]) == 1
