from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cavs_dist.losses.distill import distillation, local_pod, pod_distillation, unbiased_distillation
from cavs_dist.outputs import Outputs

Loss = Callable[[Outputs, Outputs], Tensor]


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


def outputs(num_classes: int, features: Tensor | None = None) -> Outputs:
    levels = (randn(2, 3, 5, 7), randn(2, 3, 2, 2))
    return Outputs(
        levels,
        randn(2, 3, 8, 9),
        randn(2, 4, 3, 5) if features is None else features,
        randn(num_classes, 4),
        randn(num_classes),
    )


def slow_distillation(student: Outputs, teacher: Outputs, unbiased: bool) -> Tensor:
    old = teacher.num_classes
    losses = []
    for new_frame, old_frame in zip(student.logits(), teacher.logits(), strict=True):
        total = torch.zeros((), dtype=torch.float64)
        for y in range(new_frame.shape[1]):
            for x in range(new_frame.shape[2]):
                exps, old_exps = new_frame[:, y, x].exp(), old_frame[:, y, x].exp()
                for c in range(old):
                    hidden = exps[old:].sum() if unbiased and c == 0 else 0.0
                    q = (exps[c] + hidden) / (exps if unbiased else exps[:old]).sum()
                    total = total - old_exps[c] / old_exps.sum() * q.log() / old
        losses.append(total / (new_frame.shape[1] * new_frame.shape[2]))
    return torch.stack(losses)


def slow_pod(student: Tensor, teacher: Tensor) -> Tensor:
    frames, channels, height, width = student.shape
    distances = []
    for n in range(frames):
        total = torch.zeros((), dtype=torch.float64)
        for c in range(channels):
            for scale in (1, 2, 4):
                h, w = max(1, height // scale), max(1, width // scale)
                for top in range(0, height - h + 1, h):
                    for left in range(0, width - w + 1, w):
                        new, old = (m[n, c, top : top + h, left : left + w] ** 2 for m in (student, teacher))
                        total = total + sum((new[i].mean() - old[i].mean()) ** 2 for i in range(h))
                        total = total + sum((new[:, j].mean() - old[:, j].mean()) ** 2 for j in range(w))
        distances.append(total.sqrt())
    return torch.stack(distances)


def assert_same(found: Tensor, expected: Tensor, inputs: list[Tensor]) -> None:
    torch.testing.assert_close(found, expected)
    weights = torch.linspace(0.5, 1.5, len(found), dtype=torch.float64)
    gradients = [torch.autograd.grad((weights * loss).sum(), inputs) for loss in (found, expected)]
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize(("loss", "unbiased"), [(distillation, False), (unbiased_distillation, True)])
@pytest.mark.parametrize("num_old", [1, 3])
def test_distillation_equals_its_formula(loss: Loss, unbiased: bool, num_old: int) -> None:
    torch.manual_seed(num_old)
    student, teacher = outputs(num_old + 3), outputs(num_old + 1)
    inputs = [student.features, student.weight, student.bias]
    assert_same(loss(student, teacher), slow_distillation(student, teacher, unbiased), inputs)


@pytest.mark.parametrize("size", [(7, 7), (8, 8), (5, 9), (2, 3), (1, 1), (11, 4)])
def test_local_pod_equals_its_formula(size: tuple[int, int]) -> None:
    torch.manual_seed(sum(size))
    student, teacher = randn(2, 2, *size), randn(2, 2, *size)
    assert_same(local_pod(student, teacher), slow_pod(student, teacher), [student, teacher])


def test_local_pod_passes_gradcheck_and_is_flat_where_the_maps_are_equal() -> None:
    student, teacher = randn(1, 2, 5, 4), randn(1, 2, 5, 4)
    assert torch.autograd.gradcheck(local_pod, (student, teacher))
    distance = local_pod(student, student.detach())
    (gradient,) = torch.autograd.grad(distance.sum(), student)
    assert distance.item() == 0
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_pod_distillation_weighs_levels_head_map_and_folded_logits() -> None:
    torch.manual_seed(0)
    student, teacher = outputs(5), outputs(3)
    z = student.logits()
    folded = torch.stack([z[:, 0] + z[:, 3] + z[:, 4], z[:, 1], z[:, 2]], dim=1)
    maps = sum(slow_pod(s.clamp(min=0), t.clamp(min=0)) for s, t in zip(student.levels, teacher.levels, strict=True))
    maps = maps + slow_pod(student.head_map, teacher.head_map)
    expected = (0.01 * maps + 0.0005 * slow_pod(folded, teacher.logits())) / 4
    inputs = [*student.levels, student.head_map, student.features, student.weight, student.bias]
    assert_same(pod_distillation(student, teacher, 0.01, 0.0005), expected, inputs)
