"""Heads of odd sizes, and the comparison of terms and all gradients with the reference's in float64."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from cavs_kernels.head import Head
from cavs_kernels.segmentation_loss.reference import IGNORED, Rules, Terms, segmentation_terms_reference

# What methods ask for, and all at once.
ASKED: dict[str, dict[str, Any]] = {
    "fine_tune": {},
    "plop": {"pseudo": True},
    "lwf": {"distill": "plain"},
    "mib": {"distill": "unbiased", "unbiased": True},
    "unbiased": {"unbiased": True},
    "all": {"pseudo": True, "distill": "unbiased", "unbiased": True},
    "all plain": {"pseudo": True, "distill": "plain", "unbiased": True},
}


class Case:
    """A student, a teacher and labels, with the arguments of the op and of the reference."""

    def __init__(
        self,
        asked: dict[str, Any],
        size: tuple[int, int, int] = (3, 5, 7),
        classes: int = 5,
        old: int = 3,
        channels: int = 4,
        dtype: torch.dtype = torch.float64,
        last: bool = False,
        seed: int = 0,
    ) -> None:
        torch.manual_seed(seed)
        frames, height, width = size
        self.labels = torch.randint(classes + 1, size)
        self.labels[self.labels == classes] = IGNORED

        def head(classes: int) -> Head:
            features = torch.randn(frames, channels, height, width).to(dtype)
            if last:
                features = features.contiguous(memory_format=torch.channels_last)
            return Head(features, (1.5 * torch.randn(classes, channels)).to(dtype), torch.randn(classes).to(dtype))

        self.student = Head(*(tensor.requires_grad_() for tensor in head(classes)))
        self.teacher = head(old) if asked else None
        self.keep = torch.arange(frames) % 3 == 2
        self.thresholds = 0.3 + 0.5 * torch.rand(old) if asked.get("pseudo") else None
        self.distill = asked.get("distill", "none")
        self.unbiased = bool(asked.get("unbiased"))

    def to(self, device: torch.device) -> "Case":
        """Move everything."""
        self.student = Head(*(tensor.detach().to(device).requires_grad_() for tensor in self.student))
        self.teacher = self.teacher and Head(*(tensor.to(device) for tensor in self.teacher))
        self.labels, self.keep = self.labels.to(device), self.keep.to(device)
        self.thresholds = None if self.thresholds is None else self.thresholds.to(device)
        return self

    @property
    def rules(self) -> Rules:
        """What the reference is told."""
        old = len((self.teacher or self.student).weight)
        guesses = None if self.thresholds is None else ~self.keep
        return Rules(old, self.distill, self.thresholds, guesses, ~self.keep if self.unbiased else None)

    def expected(self) -> list[Tensor]:
        """Return the reference's terms and gradients in float64."""
        student = Head(*(tensor.detach().double().requires_grad_() for tensor in self.student))
        teacher = self.teacher and Head(*(tensor.double() for tensor in self.teacher))
        return with_gradients(segmentation_terms_reference(student, self.labels, teacher, self.rules), student)

    def options(self) -> dict[str, Any]:
        """What the op is told."""
        return {
            "unbiased": self.unbiased,
            "distill": self.distill,
            "thresholds": self.thresholds,
            "keep": self.keep,
        }


def with_gradients(terms: Terms, student: Head) -> list[Tensor]:
    """Return the terms and the gradients of a weighted sum of all frames' losses."""
    total = torch.zeros((), dtype=torch.float64, device=student.bias.device)
    for power, loss in enumerate(terms[:2], start=1):
        total = total + (torch.linspace(0.5, 1.5, len(loss), device=loss.device).double() ** power * loss).sum()
    return [*(term.detach() for term in terms), *torch.autograd.grad(total, list(student))]


@pytest.fixture
def make_case() -> Callable[..., Case]:
    """Return the maker of cases: one by the name of what is asked."""
    return lambda asked="fine_tune", **options: Case(ASKED[asked], **options)


@pytest.fixture
def terms_and_gradients() -> Callable[[Terms, Head], list[Tensor]]:
    """Return `with_gradients`."""
    return with_gradients
