import pytest
import torch
from torch import Tensor, nn

from cavs_dist.curriculum import Stage
from cavs_dist.losses.segment import segmentation_loss
from cavs_dist.methods.base import Method, MethodConfig
from cavs_dist.outputs.segmentation import Batch, Outputs


class Least(Method[Batch, Outputs]):
    """The least that a method has to say."""

    def loss(self, batch: Batch, outputs: Outputs, teacher: Outputs | None) -> dict[str, Tensor]:
        return {"bias": outputs.bias.square().sum()}


def test_a_method_is_a_loss_and_some_defaults(stage: Stage, batch: Batch, student: Outputs, teacher: Outputs) -> None:
    method = Least(MethodConfig("least"), segmentation_loss)
    model = nn.Linear(2, 2)
    before = model.weight.clone()
    method.begin(stage, model, iter([(batch, teacher)]))
    assert method.loss(batch, student, None)["bias"] == student.bias @ student.bias
    method.end(stage, model, iter([batch]))
    method.load_state_dict(method.state_dict(), model)
    assert method.state_dict() == {} and torch.equal(model.weight, before)
    assert (method.teacher, method.head, method.scope, method.restart) == (True, "random", "stage", False)


def test_a_method_without_a_loss_is_none(batch: Batch, student: Outputs) -> None:
    with pytest.raises(NotImplementedError):
        Method(MethodConfig("none"), segmentation_loss).loss(batch, student, None)
