import dataclasses
from typing import Any

import pytest
import torch

from cavs_dist.losses.segment import segmentation_loss
from cavs_dist.methods import METHODS, Method
from cavs_dist.outputs.segmentation import Batch, Outputs

SEGMENTATION = METHODS["segmentation"]
EVERY = [(name, method) for methods in METHODS.values() for name, method in methods.items()]


def made(name: str) -> Method:
    return SEGMENTATION[name](SEGMENTATION[name].Config(), segmentation_loss)


@pytest.mark.parametrize(("name", "method"), EVERY)
def test_a_config_carries_its_method_s_name_and_describes_every_field(name: str, method: type[Method]) -> None:
    config: Any = method.Config
    assert config().name == name
    for field in dataclasses.fields(config):
        assert f"{field.name}:" in str(config.__doc__), field.name


@pytest.mark.parametrize("name", SEGMENTATION)
def test_without_a_teacher_the_loss_is_the_task_s_own(name: str, batch: Batch, student: Outputs) -> None:
    terms, own = made(name).loss(batch, student, None), segmentation_loss(batch, student)
    assert terms.keys() == own.keys()
    torch.testing.assert_close(terms["segment"], own["segment"])


@pytest.mark.parametrize("name", [name for name, method in SEGMENTATION.items() if not method.teacher])
def test_methods_that_want_no_teacher_never_look_at_it(
    name: str, batch: Batch, student: Outputs, teacher: Outputs
) -> None:
    method = made(name)
    torch.testing.assert_close(method.loss(batch, student, teacher), method.loss(batch, student, None))
