import dataclasses

import pytest
import torch

from cavs_dist.losses.segment import cross_entropy
from cavs_dist.methods import METHODS
from cavs_dist.outputs import Batch, Outputs


@pytest.mark.parametrize("name", METHODS)
def test_a_config_carries_its_method_s_name_and_describes_every_field(name: str) -> None:
    config = METHODS[name].Config
    assert config().name == name
    for field in dataclasses.fields(config):
        assert f"{field.name}:" in str(config.__doc__), field.name


@pytest.mark.parametrize("name", METHODS)
def test_without_a_teacher_the_loss_is_cross_entropy(name: str, batch: Batch, student: Outputs) -> None:
    terms = METHODS[name](METHODS[name].Config()).loss(batch, student, None)
    expected = (batch.label_weight * cross_entropy(student, batch.labels)).sum()
    assert list(terms) == ["segment"]
    torch.testing.assert_close(terms["segment"], expected)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if not method.teacher])
def test_methods_that_want_no_teacher_never_look_at_it(
    name: str, batch: Batch, student: Outputs, teacher: Outputs
) -> None:
    method = METHODS[name](METHODS[name].Config())
    torch.testing.assert_close(method.loss(batch, student, teacher), method.loss(batch, student, None))
