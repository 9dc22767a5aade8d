import pytest
import torch
from torch import Tensor

from cavs_dist.losses import pod
from cavs_dist.losses.pod import local_pod, logits_pod, pod_distillation
from cavs_dist.outputs.segmentation import Outputs


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


@pytest.mark.parametrize(("limit", "number"), [(1, 6), (15, 6), (31, 4), (45, 2), (2**20, 1)])
def test_logits_a_few_at_a_time_give_the_distance_of_all(
    monkeypatch: pytest.MonkeyPatch, limit: int, number: int
) -> None:
    torch.manual_seed(0)
    monkeypatch.setattr(pod, "CHUNK", limit)
    student, teacher = outputs(3), outputs(3)
    assert len(list(pod._chunks(student.head))) == number
    expected = local_pod(student.logits(), teacher.logits())
    assert_same(logits_pod(student.head, teacher.head), expected, list(student.head))


def test_equal_logits_have_no_distance_and_no_gradient() -> None:
    student = outputs(3)
    distance = logits_pod(student.head, student.head)
    assert torch.equal(distance, torch.zeros_like(distance))
    for gradient in torch.autograd.grad(distance.sum(), list(student.head)):
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
