import inspect

import pytest
import torch
from torch import nn

from cavs_dist.tasks import TASKS
from cavs_dist.tasks.base import Task, evaluating


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_does_everything(name: str) -> None:
    assert not inspect.isabstract(TASKS[name])
    for verb in Task.__abstractmethods__:
        ours, asked = getattr(TASKS[name], verb), getattr(Task, verb)
        assert list(inspect.signature(ours).parameters) == list(inspect.signature(asked).parameters), verb


def test_a_task_is_its_configs_and_nothing_else() -> None:
    task = TASKS["segmentation"]("model", "evaluate", 3)
    assert (task.model, task.evaluate_config, task.seed) == ("model", "evaluate", 3)
    with pytest.raises(TypeError, match="abstract"):
        Task("model", "evaluate", 3)  # type: ignore[abstract]


def test_a_model_is_judged_without_dropout_or_gradients() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.5)).train()
    with evaluating(model):
        values = model(torch.ones(1, 2))
    assert not model[1].training and not values.requires_grad
    assert torch.is_grad_enabled()
