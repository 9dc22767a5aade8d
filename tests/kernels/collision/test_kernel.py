"""The kernel counts exactly what the reference counts."""

import os

import pytest
import torch
from torch import Tensor

from cavs_kernels.collision import collisions
from cavs_kernels.collision.reference import pair_counts_reference
from cavs_kernels.dispatch import reference_only
from cavs_kernels.head import Head

pytestmark = pytest.mark.kernel

# clips, frames, height, width, channels, old labels, labels
SHAPES = [(2, 3, 7, 11, 32, 5, 9), (1, 1, 1, 1, 8, 1, 2), (3, 1, 13, 5, 17, 61, 71), (1, 2, 40, 40, 32, 40, 1000)]
SHAPES += [(0, 2, 8, 8, 32, 3, 4)]


def dyadic(*shape: int) -> Tensor:
    """Random multiples of 1/4 in -2 to 2: their products are exact in every type, so equals are equal everywhere."""
    return torch.randint(-8, 9, shape) / 4


def make(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> tuple[Head, Tensor]:
    """A head and truth with a fifth of it ignored. One feature is large somewhere, so that not all maxima are ties."""
    clips, frames, height, width, channels, old, labels = shape
    torch.manual_seed(sum(shape))
    features = dyadic(clips * frames, channels, height, width).to(device, dtype)
    truth = torch.randint(labels, (clips, frames, height, width))
    truth[torch.rand(truth.shape) < 0.2] = 255
    return Head(features, dyadic(old, channels).to(device), dyadic(old).to(device)), truth.to(device)


def kernel_counts(old: Head | Tensor, truth: Tensor, num_old: int, labels: int) -> Tensor:
    from cavs_kernels.collision.kernel import pair_counts

    return pair_counts(old, truth, num_old, labels, 255).long()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_counts_are_equal(device: torch.device, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    head, truth = make(shape, dtype, device)
    *_, num_old, labels = shape
    wide = Head(*(part.double() for part in head))
    expected = pair_counts_reference(wide, truth, num_old, labels, 255)
    assert len(truth) == 0 or labels == 2 or expected.any()
    for features in (head.features, head.features.contiguous(memory_format=torch.channels_last)):
        assert kernel_counts(head._replace(features=features), truth, num_old, labels).equal(expected)
    assert kernel_counts(wide.logits().to(torch.float32), truth, num_old, labels).equal(expected)
    said = wide.logits().max(dim=1).indices.view_as(truth)
    assert kernel_counts(said, truth, num_old, labels).equal(expected)


def test_strided_classifiers_and_wide_heads(device: torch.device) -> None:
    head, truth = make((1, 2, 5, 7, 300, 5, 9), torch.float32, device)
    expected = pair_counts_reference(head, truth, 5, 9, 255)
    strided = head._replace(weight=head.weight.T.contiguous().T, bias=head.bias.repeat_interleave(2)[::2])
    assert kernel_counts(strided, truth, 5, 9).equal(expected)


def test_labels_that_are_no_class_count_nothing(device: torch.device) -> None:
    head, truth = make(SHAPES[0], torch.float32, device)
    assert not kernel_counts(head, torch.full_like(truth, 255), 5, 9).any()
    assert not kernel_counts(head, torch.full_like(truth, 9), 5, 9).any()
    assert not kernel_counts(head, torch.full_like(truth, -3), 5, 9).any()
    assert not kernel_counts(torch.full_like(truth, 9), truth, 9, 9).any()


def test_logits_that_are_not_finite_stay_within_the_counts(device: torch.device) -> None:
    head, truth = make(SHAPES[0], torch.float32, device)
    for value in (float("nan"), float("inf"), -float("inf")):
        counts = kernel_counts(head._replace(features=torch.full_like(head.features, value)), truth, 5, 9)
        assert counts.sum() <= truth.numel()


def test_the_op_takes_the_kernel_and_compiles(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", "")  # put back at the end
    monkeypatch.delenv("TRITON_CACHE_DIR")  # its place is found under compilation too
    head, truth = make(SHAPES[0], torch.float32, device)
    with reference_only():
        expected = collisions(head, truth, 9, 0.05)
    assert expected.recorded.any()
    compiled = torch.compile(collisions, backend="aot_eager", fullgraph=True)
    found = compiled(head, truth, 9, 0.05)
    assert os.environ["TRITON_CACHE_DIR"]
    for ones in (found, collisions(head, truth, 9, 0.05)):
        assert all(ours.equal(theirs) for ours, theirs in zip(ones, expected, strict=True))
