from collections.abc import Callable
from typing import Any

import pytest
import torch

from cavs_kernels.head import Head
from cavs_kernels.segmentation_loss import segmentation_terms


def head(classes: int = 3, channels: int = 4, size: tuple[int, int, int] = (2, 5, 7)) -> Head:
    frames, height, width = size
    return Head(torch.randn(frames, channels, height, width), torch.randn(classes, channels), torch.randn(classes))


LABELS = torch.zeros(2, 5, 7, dtype=torch.int64)


@pytest.mark.parametrize("asked", ["fine_tune", "plop", "mib", "all plain"])
def test_compiled_whole_it_gives_the_same(
    make_case: Callable[..., Any], terms_and_gradients: Callable[..., Any], asked: str
) -> None:
    case = make_case(asked, dtype=torch.float32)
    compiled = torch.compile(segmentation_terms, backend="aot_eager", fullgraph=True)
    for call in (segmentation_terms, compiled):
        terms = call(case.student, case.labels, case.teacher, **case.options())
        found = terms_and_gradients(terms, case.student)
        torch.testing.assert_close(found, case.expected(), rtol=1e-4, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("compiled", [False, True])
def test_autocast_changes_nothing(
    make_case: Callable[..., Any], terms_and_gradients: Callable[..., Any], compiled: bool
) -> None:
    case = make_case("all", dtype=torch.float32)
    call = torch.compile(segmentation_terms, backend="aot_eager", fullgraph=True) if compiled else segmentation_terms
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = call(case.student, case.labels, case.teacher, **case.options())
        found = terms_and_gradients(terms, case.student)
    torch.testing.assert_close(found, case.expected(), rtol=1e-4, atol=1e-5, check_dtype=False)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features_lose_nothing_but_their_own_gradient_s_digits(
    make_case: Callable[..., Any], terms_and_gradients: Callable[..., Any], dtype: torch.dtype
) -> None:
    case = make_case("all", dtype=dtype)
    terms = segmentation_terms(case.student, case.labels, case.teacher, **case.options())
    assert terms.cross_entropy.dtype == torch.float32
    *found, features, weight, bias = terms_and_gradients(terms, case.student)
    *expected, features_too, weight_too, bias_too = case.expected()
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6, check_dtype=False)
    for ours, theirs in ((features, features_too), (weight, weight_too), (bias, bias_too)):
        assert ours.dtype == dtype
        torch.testing.assert_close(ours.double(), theirs, rtol=torch.finfo(dtype).eps, atol=1e-6)


def test_without_labels_there_is_no_cross_entropy(make_case: Callable[..., Any]) -> None:
    case = make_case("lwf")
    terms = segmentation_terms(case.student, None, case.teacher, **case.options())
    expected = segmentation_terms(case.student, case.labels, case.teacher, **case.options())
    assert torch.equal(terms.cross_entropy, torch.zeros(3)) and torch.equal(terms.accepted, torch.ones(3))
    torch.testing.assert_close(terms.distillation, expected.distillation)


def test_the_teacher_and_the_accepted_share_have_no_gradient(make_case: Callable[..., Any]) -> None:
    case = make_case("all")
    for tensor in case.teacher:
        tensor.requires_grad_()
    terms = segmentation_terms(case.student, case.labels, case.teacher, **case.options())
    assert not terms.accepted.requires_grad
    (terms.cross_entropy + terms.distillation).sum().backward()
    assert all(tensor.grad is None for tensor in case.teacher)
    assert all(tensor.grad is not None for tensor in case.student)


@pytest.mark.parametrize(
    ("message", "options"),
    [
        (r"student's features have shape \(5, 7\)", {"student": Head(torch.zeros(5, 7), *head()[1:])}),
        (r"\(3, 5\) and \(3,\); expected \[K, 4\]", {"student": Head(head().features, *head(channels=5)[1:])}),
        (r"labels have shape \(2, 5, 6\)", {"labels": LABELS[..., 1:]}),
        (r"keep has shape \(3,\); expected \(2,\)", {"keep": torch.ones(3, dtype=torch.bool)}),
        ("distill is 'all'", {"distill": "all"}),
        ("need a teacher", {"distill": "plain"}),
        ("need a teacher", {"unbiased": True}),
        ("need a teacher", {"thresholds": torch.zeros(3)}),
        (r"teacher has frames, height and width \(2, 5, 6\)", {"teacher": head(size=(2, 5, 6))}),
        ("teacher has 4 classes, more than the student's 3", {"teacher": head(4)}),
        ("student has 256 classes; expected at most 255", {"student": head(256)}),
        (r"thresholds have shape \(3,\); expected \(2,\)", {"teacher": head(2), "thresholds": torch.zeros(3)}),
    ],
)
def test_what_does_not_fit_is_refused(message: str, options: dict[str, Any]) -> None:
    arguments: dict[str, Any] = {"student": head(), "labels": LABELS} | options
    with pytest.raises(ValueError, match=message):
        segmentation_terms(**arguments)
