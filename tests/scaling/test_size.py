from pathlib import Path

import pytest
import torch

from cavs_dist.config import load_run
from cavs_dist.scaling.made_up import made_up_setting
from cavs_dist.scaling.rates import Rates
from cavs_dist.scaling.size import measure_size, pass_through
from cavs_dist.setting import open_setting

CONFIGS = Path(__file__).parents[2] / "configs"
# Of AVSBench's scenarios, which share one model, the base stands for all; the other bases are no runs.
SHIPPED = sorted(
    str(path.relative_to(CONFIGS).with_suffix(""))
    for path in CONFIGS.rglob("*.yaml")
    if path.stem != "base" and not path.stem.startswith("avsbench-ci")
)


@pytest.mark.parametrize("config", ["tiny", "tiny_separation"])
def test_a_model_without_memory_is_as_large_as_the_real_one(config: str, request: pytest.FixtureRequest) -> None:
    setting = open_setting(load_run(request.getfixturevalue(config)))
    size = measure_size(setting)
    model = setting.fresh_model("main", setting.stages[-1])
    parameters = list(model.parameters())
    assert size.parameters == size.trained == sum(parameter.numel() for parameter in parameters)
    assert size.held == sum(tensor.nbytes for tensor in (*parameters, *model.buffers()))
    assert size.parts == {
        name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children() if [*part.parameters()]
    }


@pytest.mark.parametrize("config", ["tiny", "tiny_separation"])
def test_what_autograd_keeps_is_counted_as_on_a_real_device(config: str, request: pytest.FixtureRequest) -> None:
    setting = open_setting(load_run(request.getfixturevalue(config)))
    size = measure_size(setting)
    model = setting.fresh_model("main", setting.stages[-1])
    batch = setting.task.blank(setting.run.data, setting.run.data.frames, 1)
    saved, flop = pass_through(setting, model, batch, taught=True)
    assert (size.saved, size.flop) == (pytest.approx(saved, rel=0.1), pytest.approx(flop, rel=0.01))
    double, _ = pass_through(setting, model, setting.task.blank(setting.run.data, setting.run.data.frames, 2), True)
    assert double == pytest.approx(2 * saved, rel=0.1)


def test_flop_are_those_of_a_known_layer(tiny: str) -> None:
    setting = open_setting(load_run(tiny))
    alone, taught = (pass_through(setting, *_meta(tiny), taught=taught)[1] for taught in (False, True))
    forward = taught - alone
    assert 1.9 * forward < alone - forward < 2.1 * forward


def _meta(tiny: str) -> tuple[torch.nn.Module, object]:
    setting = open_setting(load_run(tiny))
    with torch.device("meta"):
        model = setting.fresh_model("main", setting.stages[-1])
        return model, setting.task.blank(setting.run.data, setting.run.data.frames, 1)


@pytest.mark.slow
@pytest.mark.parametrize("config", SHIPPED)
def test_every_shipped_config_has_a_size_without_weights_or_data(config: str) -> None:
    asked = ["model.audio_weights=none"] if config.startswith("segmentation/avsbench") else []
    run = load_run(config, ["data.path=none", *asked])
    first, *more = map(int, run.curriculum.split.split("-"))
    named = len(run.curriculum.order) if len(run.curriculum.order) > 1 else 70
    stages = 1 + (named - first) // more[0]
    size = measure_size(made_up_setting(run, (100,) * stages, Rates()))
    assert size.parameters > 100_000 and size.saved > 0 and size.flop > 0
