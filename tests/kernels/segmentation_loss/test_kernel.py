from collections.abc import Callable
from typing import Any

import pytest
import torch

from cavs_kernels.dispatch import reference_only
from cavs_kernels.segmentation_loss import segmentation_terms

pytestmark = pytest.mark.kernel
ASKED = ["fine_tune", "plop", "lwf", "mib", "unbiased", "all", "all plain"]
MakeCase = Callable[..., Any]
Measure = Callable[..., list[torch.Tensor]]


def run(case: Any, measure: Measure) -> list[torch.Tensor]:
    terms = segmentation_terms(case.student, case.labels, case.teacher, **case.options())
    return measure(terms, case.student)


def compare(case: Any, measure: Measure, coarse: float = 0.0) -> None:
    """Terms and gradients against float64, within 1e-5 of the largest element or of 0.05, whichever is more.

    coarse: what gradients are rounded to, if that is more.
    """
    for index, (found, expected) in enumerate(zip(run(case, measure), case.expected(), strict=True)):
        scale = float(expected.abs().amax()) if expected.numel() else 0.0
        rtol = max(1e-5, coarse if index >= 3 else 0.0)
        torch.testing.assert_close(found.double(), expected.double(), rtol=rtol, atol=1e-5 * max(scale, 0.05))


@pytest.mark.parametrize("asked", ASKED)
@pytest.mark.parametrize(
    "options",
    [
        {"size": (3, 5, 7), "classes": 5, "old": 3, "channels": 4},
        {"size": (2, 7, 11), "classes": 37, "old": 34, "channels": 17, "last": True},
    ],
    ids=["small", "several tiles"],
)
def test_values_and_all_gradients(
    make_case: MakeCase, terms_and_gradients: Measure, device: torch.device, asked: str, options: dict[str, Any]
) -> None:
    compare(make_case(asked, dtype=torch.float32, **options).to(device), terms_and_gradients)


@pytest.mark.parametrize("asked", ["plop", "all", "all plain"])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_features(
    make_case: MakeCase, terms_and_gradients: Measure, device: torch.device, dtype: torch.dtype, asked: str
) -> None:
    if dtype == torch.bfloat16 and device.type == "cpu":
        pytest.skip("Triton's interpreter is wrong about bfloat16")
    case = make_case(asked, dtype=dtype, channels=17, classes=19, old=11).to(device)
    compare(case, terms_and_gradients, coarse=torch.finfo(dtype).eps)


@pytest.mark.parametrize(("classes", "old"), [(1, 1), (2, 1), (17, 16), (16, 16)])
@pytest.mark.parametrize("asked", ["all", "all plain"])
def test_one_class_and_tiles_that_are_just_full(
    make_case: MakeCase, terms_and_gradients: Measure, device: torch.device, asked: str, classes: int, old: int
) -> None:
    compare(make_case(asked, dtype=torch.float32, classes=classes, old=old).to(device), terms_and_gradients)


@pytest.mark.parametrize("asked", ["fine_tune", "all"])
def test_frames_of_ignored_pixels_cost_and_teach_nothing(
    make_case: MakeCase, terms_and_gradients: Measure, device: torch.device, asked: str
) -> None:
    case = make_case(asked, dtype=torch.float32).to(device)
    case.labels[:] = 255
    assert run(case, terms_and_gradients)[0].tolist() == [0, 0, 0]
    compare(case, terms_and_gradients)


def test_strided_features_and_labels(make_case: MakeCase, terms_and_gradients: Measure, device: torch.device) -> None:
    case = make_case("all", dtype=torch.float32, size=(2, 6, 10)).to(device)
    student, features = case.student, case.student.features[:, :, ::2, 1::3]
    case.student = student._replace(features=features.detach().requires_grad_())
    case.teacher = case.teacher._replace(features=case.teacher.features[:, :, ::2, 1::3])
    case.labels = case.labels[:, ::2, 1::3]
    assert not case.student.features.is_contiguous()
    compare(case, terms_and_gradients)


@pytest.mark.parametrize("asked", ["fine_tune", "all"])
def test_no_frames(make_case: MakeCase, terms_and_gradients: Measure, device: torch.device, asked: str) -> None:
    case = make_case(asked, dtype=torch.float32, size=(0, 5, 7)).to(device)
    found = run(case, terms_and_gradients)
    assert [tuple(tensor.shape) for tensor in found] == [(0,), (0,), (0,), (0, 4, 5, 7), (5, 4), (5,)]
    assert not any(tensor.any() for tensor in found)


def test_logits_far_from_zero(make_case: MakeCase, terms_and_gradients: Measure, device: torch.device) -> None:
    case = make_case("all plain", dtype=torch.float32, classes=40, old=35).to(device)
    with torch.no_grad():
        case.student.bias[3], case.teacher.bias[20] = 150.0, -150.0
    compare(case, terms_and_gradients)


def test_the_first_of_equal_classes_is_guessed(
    make_case: MakeCase, terms_and_gradients: Measure, device: torch.device
) -> None:
    case = make_case("plop", dtype=torch.float32, classes=40, old=40).to(device)
    for tensor in case.teacher[1:]:
        tensor[19:] = tensor[:21].clone()
    case.thresholds[:] = 2
    compare(case, terms_and_gradients)


def test_twice_gives_the_same_bits_and_the_reference_can_be_forced(
    make_case: MakeCase, terms_and_gradients: Measure, device: torch.device
) -> None:
    case = make_case("all", dtype=torch.float32, size=(2, 11, 13)).to(device)
    first, again = run(case, terms_and_gradients), run(case, terms_and_gradients)
    assert all(torch.equal(one, other) for one, other in zip(first, again, strict=True))
    with reference_only():
        torch.testing.assert_close(run(case, terms_and_gradients), first, rtol=1e-4, atol=1e-6)


def test_compiled_whole_under_autocast(make_case: MakeCase, terms_and_gradients: Measure, device: torch.device) -> None:
    case = make_case("all", dtype=torch.float32).to(device)
    expected = run(case, terms_and_gradients)
    compiled = torch.compile(segmentation_terms, backend="aot_eager", fullgraph=True)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        terms = compiled(case.student, case.labels, case.teacher, **case.options())
        torch.testing.assert_close(terms_and_gradients(terms, case.student), expected)


def test_a_backward_outside_of_reference_only_goes_with_its_forward(make_case: MakeCase, device: torch.device) -> None:
    case = make_case("all", dtype=torch.float32, size=(2, 11, 13)).to(device)

    def slopes(elsewhere: bool) -> tuple[torch.Tensor, ...]:
        with reference_only():
            terms = segmentation_terms(case.student, case.labels, case.teacher, **case.options())
            if not elsewhere:
                return torch.autograd.grad(terms.cross_entropy.sum(), list(case.student))
        return torch.autograd.grad(terms.cross_entropy.sum(), list(case.student))

    assert all(torch.equal(*pair) for pair in zip(slopes(True), slopes(False), strict=True))


def test_parts_of_the_classifier_s_gradient_take_several_tiles(
    make_case: MakeCase, terms_and_gradients: Measure, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cavs_kernels.segmentation_loss import kernel

    monkeypatch.setattr(kernel, "SPLITS", 2)
    compare(make_case("all", dtype=torch.float32, size=(3, 11, 13)).to(device), terms_and_gradients)
