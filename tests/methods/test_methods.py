import dataclasses
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from cavs_dist.losses.segment import segmentation_loss
from cavs_dist.losses.separate import separation_loss
from cavs_dist.methods import METHODS, Method, plain
from cavs_dist.methods.base import PlainLoss
from cavs_dist.outputs import segmentation, separation

EVERY = [(task, name) for task, methods in METHODS.items() for name in methods]
# Those whose loss has more than the task's own where there is no teacher yet.
MORE = {("separation", "av_cil"), ("separation", "contavsep")}


class Case(NamedTuple):
    """What a task's methods are given, and its own loss."""

    plain: PlainLoss
    batch: Any
    student: Any
    teacher: Any


@pytest.fixture
def cases(
    batch: segmentation.Batch,
    student: segmentation.Outputs,
    teacher: segmentation.Outputs,
    mixtures: separation.Batch,
    separating_student: separation.Outputs,
    separating_teacher: separation.Outputs,
) -> dict[str, Case]:
    return {
        "segmentation": Case(segmentation_loss, batch, student, teacher),
        "separation": Case(separation_loss, mixtures, separating_student, separating_teacher),
    }


def terms(case: Case, method: type[Method], teacher: Any) -> dict[str, Tensor]:
    return method(method.Config(), case.plain).loss(case.batch, case.student, teacher)  # type: ignore[call-arg]


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_a_config_carries_its_method_s_name_and_describes_every_field(task: str, name: str) -> None:
    config: Any = METHODS[task][name].Config
    assert config().name == name
    for field in dataclasses.fields(config):
        assert f"{field.name}:" in str(config.__doc__), field.name


@pytest.mark.parametrize(("task", "name"), EVERY)
def test_without_a_teacher_the_loss_has_the_task_s_own(task: str, name: str, cases: dict[str, Case]) -> None:
    case = cases[task]
    found, own = terms(case, METHODS[task][name], None), case.plain(case.batch, case.student)
    torch.testing.assert_close({term: found[term] for term in own}, own)
    assert (found.keys() > own.keys()) == ((task, name) in MORE)


@pytest.mark.parametrize(("task", "name"), [(task, name) for task, name in EVERY if not METHODS[task][name].teacher])
def test_methods_that_want_no_teacher_never_look_at_it(task: str, name: str, cases: dict[str, Case]) -> None:
    case, method = cases[task], METHODS[task][name]
    torch.testing.assert_close(terms(case, method, case.teacher), terms(case, method, None))


def test_a_twin_is_trained_by_the_task_s_own_loss(cases: dict[str, Case]) -> None:
    for case in cases.values():
        found = plain(case.plain).loss(case.batch, case.student, case.teacher)
        torch.testing.assert_close(found, case.plain(case.batch, case.student))
