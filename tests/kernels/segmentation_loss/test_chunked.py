from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from cavs_kernels.segmentation_loss import chunked, segmentation_terms

ASKED = ["fine_tune", "plop", "lwf", "mib", "unbiased", "all", "all plain"]


@pytest.mark.parametrize("limit", [1, 8 * 5 * 7, 2 * 5 * 5 * 7, 2**20])
@pytest.mark.parametrize("asked", ASKED)
def test_chunks_of_any_size_give_the_reference_s_terms_and_gradients(
    monkeypatch: pytest.MonkeyPatch,
    make_case: Callable[..., Any],
    terms_and_gradients: Callable[..., Any],
    asked: str,
    limit: int,
) -> None:
    monkeypatch.setattr(chunked, "CHUNK", limit)
    case = make_case(asked)
    found = terms_and_gradients(
        segmentation_terms(case.student, case.labels, case.teacher, **case.options()), case.student
    )
    torch.testing.assert_close(found, case.expected(), rtol=1e-9, atol=1e-11, check_dtype=False)


@pytest.mark.parametrize(
    ("limit", "number"), [(1, 15), (4 * 7, 15), (4 * 7 * 2, 9), (4 * 7 * 5, 3), (4 * 7 * 10, 2), (10**6, 1)]
)
def test_every_pixel_is_in_one_chunk(monkeypatch: pytest.MonkeyPatch, limit: int, number: int) -> None:
    monkeypatch.setattr(chunked, "CHUNK", limit)
    features = torch.zeros(3, 2, 5, 7)
    parts = list(chunked.chunks(features, 4))
    for frames, rows in parts:
        features[frames, :, rows] += 1
        taken = features[frames, 0, rows].shape
        assert taken.numel() * 4 <= limit or taken[:2] == (1, 1)
    assert len(parts) == number
    assert (features == 1).all()


def test_no_frames_are_no_chunks() -> None:
    assert list(chunked.chunks(torch.zeros(0, 2, 5, 7), 4)) == []


class Largest(TorchDispatchMode):
    """Remembers the size of the largest tensor that was made."""

    numel = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in made if isinstance(made, tuple | list) else (made,):
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
        return made


@pytest.mark.parametrize("asked", ASKED)
def test_no_tensor_has_the_size_of_classes_times_pixels(
    monkeypatch: pytest.MonkeyPatch, make_case: Callable[..., Any], asked: str
) -> None:
    case = make_case(asked, size=(3, 16, 15), classes=50, old=40)
    monkeypatch.setattr(chunked, "CHUNK", 50 * 2 * 15)
    with Largest() as seen, torch.no_grad():
        terms, labels, kept = chunked.forward(case.student, case.labels, case.teacher, case.rules)
        chunked.backward(torch.ones_like(terms), case.student, labels, case.teacher, case.rules, kept)
    assert seen.numel == max(50 * 2 * 15, case.student.features.numel())
