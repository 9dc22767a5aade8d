import math

import pytest
import torch
from torch import Tensor

from cavs_kernels.head import Head
from cavs_kernels.segmentation_loss.reference import (
    Distill,
    Rules,
    accepted_counts,
    accepted_share,
    normalised_entropy,
    pixel_labels,
    segmentation_terms_reference,
)


def head(classes: int, size: tuple[int, int, int] = (2, 3, 5), channels: int = 3) -> Head:
    frames, height, width = size
    shapes = ((frames, channels, height, width), (classes, channels), (classes,))
    return Head(*(torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes))


def some_labels(*values: int) -> Tensor:
    return torch.tensor(values)[torch.randint(len(values), (2, 3, 5))]


def slow_cross_entropy(student: Head, labels: Tensor, num_old: int, hides: list[bool]) -> Tensor:
    """Evaluate the formula pixel by pixel."""
    frames, _, height, width = student.features.shape
    losses = []
    for n in range(frames):
        total = torch.zeros((), dtype=torch.float64)
        for y in range(height):
            for x in range(width):
                label = int(labels[n, y, x])
                if label != 255:
                    exps = (student.weight @ student.features[n, :, y, x] + student.bias).exp()
                    mass = exps[:num_old].sum() if label == 0 and hides[n] else exps[label]
                    total = total - (mass / exps.sum()).log()
        losses.append(total / (height * width))
    return torch.stack(losses)


def slow_distillation(student: Head, teacher: Head, unbiased: bool) -> Tensor:
    old = len(teacher.weight)
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


def slow_entropy(logits: Tensor) -> float:
    p = (logits.exp() / logits.exp().sum()).tolist()
    return -sum(value * math.log(value) for value in p if value > 0) / math.log(len(p))


def assert_same(found: Tensor, expected: Tensor, leaves: Head) -> None:
    torch.testing.assert_close(found, expected)
    weights = torch.linspace(0.5, 1.5, len(found), dtype=torch.float64)
    gradients = [torch.autograd.grad((weights * loss).sum(), list(leaves)) for loss in (found, expected)]
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("hides", [[False, False], [True, False], [True, True]])
@pytest.mark.parametrize("num_old", [1, 2, 4])
def test_cross_entropy_equals_its_formula(num_old: int, hides: list[bool]) -> None:
    torch.manual_seed(num_old)
    student, labels = head(4), some_labels(0, 1, 2, 3, 255)
    rules = Rules(num_old, hides=torch.tensor(hides) if any(hides) else None)
    found = segmentation_terms_reference(student, labels, None, rules)
    assert_same(found.cross_entropy, slow_cross_entropy(student, labels, num_old, hides), student)
    assert torch.equal(found.distillation, torch.zeros(2)) and torch.equal(found.accepted, torch.ones(2))


@pytest.mark.parametrize("distill", ["plain", "unbiased"])
@pytest.mark.parametrize(("num_old", "classes"), [(1, 4), (3, 5), (3, 3)])
def test_distillation_equals_its_formula(distill: Distill, num_old: int, classes: int) -> None:
    torch.manual_seed(num_old)
    student, teacher = head(classes), head(num_old, channels=6)
    found = segmentation_terms_reference(student, some_labels(0, 255), teacher, Rules(num_old, distill)).distillation
    assert_same(found, slow_distillation(student, teacher, distill == "unbiased"), student)


def test_ignored_pixels_add_nothing_and_stay_in_the_denominator() -> None:
    student = Head(*(torch.zeros_like(tensor, requires_grad=True) for tensor in head(4)))
    labels = torch.full((2, 3, 5), 255)
    labels[0, 0, 0] = 2
    loss = segmentation_terms_reference(student, labels, None, Rules(4)).cross_entropy
    torch.testing.assert_close(loss, torch.tensor([math.log(4) / 15, 0.0], dtype=torch.float64))


@pytest.mark.parametrize("asked", [Rules(3, "plain"), Rules(3, "unbiased", hides=torch.tensor([True]))])
def test_gradcheck(asked: Rules) -> None:
    torch.manual_seed(0)
    teacher, labels = head(3, (1, 2, 3)), torch.tensor([[[0, 1, 255], [2, 4, 0]]])

    def terms(*leaves: Tensor) -> tuple[Tensor, ...]:
        return segmentation_terms_reference(Head(*leaves), labels, teacher, asked)[:2]

    assert torch.autograd.gradcheck(terms, list(head(5, (1, 2, 3))))


@pytest.mark.parametrize("sharpness", [0.5, 2.0])
def test_a_sure_teacher_s_class_takes_the_place_of_old_labels(sharpness: float) -> None:
    torch.manual_seed(0)
    logits, labels = sharpness * torch.randn(2, 3, 3, 5, dtype=torch.float64), some_labels(0, 1, 2, 3, 4, 255)
    thresholds = torch.tensor([0.3, 0.6, 0.9])
    rules = Rules(3, thresholds=thresholds, guesses=torch.tensor([True, False]))
    found = pixel_labels(labels, logits, rules)
    assert torch.equal(found[1], labels[1])
    for y in range(3):
        for x in range(5):
            guess, expected = int(logits[0, :, y, x].argmax()), int(labels[0, y, x])
            if expected in (0, 1, 2):
                expected = guess if slow_entropy(logits[0, :, y, x]) < thresholds[guess] else 255
            assert found[0, y, x] == expected
    everything = rules._replace(thresholds=torch.full((3,), math.inf), guesses=torch.tensor([True, True]))
    guesses = torch.where(labels <= 2, logits.argmax(dim=1), labels)
    assert torch.equal(pixel_labels(labels, logits, everything), guesses)


def test_the_first_of_equal_classes_is_guessed() -> None:
    rules = Rules(3, thresholds=torch.full((3,), math.inf), guesses=torch.tensor([True]))
    logits = torch.tensor([1.0, 2.0, 2.0])[None, :, None, None].expand(1, 3, 2, 2)
    assert (pixel_labels(torch.zeros(1, 2, 2, dtype=torch.int64), logits, rules) == 1).all()


def test_a_teacher_of_one_class_is_sure() -> None:
    assert torch.equal(normalised_entropy(torch.zeros(1, 1, 2, 2)), torch.zeros(1, 2, 2))


def test_accepted_share_counts_background_only() -> None:
    labels = torch.tensor([[[0, 0, 0, 4]], [[255, 255, 3, 4]], [[0, 1, 255, 3]]])
    final = torch.tensor([[[0, 255, 1, 4]], [[255, 255, 3, 4]], [[255, 255, 255, 3]]])
    share = accepted_share(*accepted_counts(labels, final, num_old=3))
    torch.testing.assert_close(share, torch.tensor([2 / 3, 1.0, 0.0]))
