"""What both separators keep; what each computes is in its own file."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from cavs_dist.models.co_separation import CoSeparation, CoSeparationConfig
from cavs_dist.models.iquery import IQuery, IQueryConfig
from cavs_dist.models.separator import Separated, Separator, masks_of
from cavs_dist.models.unet import UNetConfig

UNET = UNetConfig(levels=4, first=4, most=16)
IQUERY = IQueryConfig(UNET, heads=2, hidden=24, layers=3, embedding=5, objects=6, motion=7)


def iquery() -> Separator:
    return IQuery(IQUERY)


def co_separation() -> Separator:
    return CoSeparation(CoSeparationConfig(UNET, objects=6))


def fresh(make: Callable[[], Separator]) -> Separator:
    """A model of 5 classes in two stages."""
    torch.manual_seed(0)
    model = make()
    for number in (3, 2):
        model.grow(number, seed=1)
    return model


def inputs(dtype: torch.dtype, num_mixtures: int = 3) -> list[Tensor]:
    torch.manual_seed(1)
    shapes = ((num_mixtures, 1, 32, 16), (num_mixtures, 2, 3, 6), (num_mixtures, 2, 7, 4))
    spectrogram, objects, motion = (torch.randn(*shape, dtype=dtype) for shape in shapes)
    return [spectrogram.abs(), objects, motion, torch.randint(5, (num_mixtures, 2))]


def tensors(separated: Separated) -> list[Tensor]:
    """All that belongs to mixtures one by one."""
    optional = [] if separated.motion is None else [separated.motion]
    return [separated.masks, separated.audio, separated.object, *optional, separated.attention, *separated.maps]


both = pytest.mark.parametrize("make", [iquery, co_separation])


@both
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_shapes_and_dtypes(make: Callable[[], Separator], dtype: torch.dtype) -> None:
    model = fresh(make).to(dtype)
    separated = model(*inputs(dtype))
    assert separated.masks.shape == (3, 2, 32, 16)
    assert separated.masks.gt(0).all() and separated.masks.lt(1).all()
    assert separated.audio.shape == separated.object.shape == (3, 2, 16)
    assert separated.attention.shape == (3, 2, 8 if isinstance(model, IQuery) else 2)
    torch.testing.assert_close(separated.attention.sum(dim=2), torch.ones(3, 2, dtype=dtype))
    assert [len(maps) for maps in separated.maps] == [3] * 5
    assert {tensor.dtype for tensor in tensors(separated)} == {dtype}


@both
def test_all_parameters_are_trained_and_all_features_too(make: Callable[[], Separator]) -> None:
    model = fresh(make)
    spectrogram, objects, motion, classes = inputs(torch.float32)
    leaves = [spectrogram.requires_grad_(), objects.requires_grad_()]
    leaves += [motion.requires_grad_()] if isinstance(model, IQuery) else []
    separated = model(spectrogram, objects, motion, classes)
    (separated.masks.square().sum() + separated.audio.square().sum()).backward()
    named = [*model.named_parameters(), *((str(number), leaf) for number, leaf in enumerate(leaves))]
    assert not [name for name, tensor in named if tensor.grad is None or not tensor.grad.abs().max() > 1e-6]


@both
def test_a_mixture_does_not_know_the_others_of_its_batch(make: Callable[[], Separator]) -> None:
    model = fresh(make).double()
    model(*inputs(torch.float64))
    model.eval()
    everything = tensors(model(*inputs(torch.float64)))
    alone = tensors(model(*(tensor[1:2] for tensor in inputs(torch.float64))))
    for expected, found in zip(everything, alone, strict=True):
        torch.testing.assert_close(found, expected[1:2])


@both
def test_a_source_does_not_know_the_other(make: Callable[[], Separator]) -> None:
    model = fresh(make).double()
    model.train(isinstance(model, IQuery))  # the other's way up is normalised over sources
    spectrogram, objects, motion, classes = inputs(torch.float64)
    before = model(spectrogram, objects, motion, classes)
    for values in (objects, motion):
        values[:, 1] = torch.randn_like(values[:, 1])
    classes[:, 1] = 4 - classes[:, 1]
    after = model(spectrogram, objects, motion, classes)
    for name in ("masks", "audio", "object", "attention"):
        torch.testing.assert_close(getattr(after, name)[:, 0], getattr(before, name)[:, 0])
    assert not torch.allclose(after.masks[:, 1], before.masks[:, 1])


@both
def test_bfloat16_is_close_and_masks_are_float32(make: Callable[[], Separator]) -> None:
    model = fresh(make)
    expected = model(*inputs(torch.float32))
    with torch.autocast("cpu", torch.bfloat16):
        found = model(*inputs(torch.float32))
    assert found.masks.dtype == found.attention.dtype == torch.float32
    assert (found.masks - expected.masks).abs().mean() < 0.02
    assert (found.audio.float() - expected.audio).abs().mean() < 0.05 * expected.audio.abs().mean()


@both
def test_a_grown_model_loads_into_one_grown_alike(make: Callable[[], Separator]) -> None:
    model = fresh(make)
    torch.manual_seed(7)
    other = make()
    for number in (3, 2):
        other.grow(number, seed=9)
    other.load_state_dict(model.state_dict())
    for expected, found in zip(
        tensors(model(*inputs(torch.float32))), tensors(other(*inputs(torch.float32))), strict=True
    ):
        assert found.equal(expected)


@both
def test_what_makes_masks_is_returned_where_there_are_queries(make: Callable[[], Separator]) -> None:
    model = fresh(make).double()
    *given, classes = inputs(torch.float64)
    separated = model(*given, classes)
    if isinstance(model, IQuery):
        assert separated.queries.shape == (3, 2, 5, 5) and separated.sound.shape == (3, 5, 32, 16)
        own = separated.queries[torch.arange(3)[:, None], torch.arange(2), classes]
        assert masks_of(own, separated.sound).equal(separated.masks)
    else:
        assert separated.queries.shape == (3, 2, 0, 0) and not separated.sound.numel()


def test_masks_are_sigmoids_of_inner_products_in_float32_at_least() -> None:
    torch.manual_seed(0)
    queries, sound = (
        torch.randn(*shape, dtype=torch.float64, requires_grad=True) for shape in ((2, 3, 4), (2, 4, 5, 6))
    )
    found = masks_of(queries, sound)
    expected = torch.stack(
        [1 / (1 + (-(queries[b, r, :, None, None] * sound[b]).sum(dim=0)).exp()) for b in range(2) for r in range(3)]
    ).view(2, 3, 5, 6)
    torch.testing.assert_close(found, expected)
    slopes = [torch.autograd.grad((masks * masks.sin()).sum(), [queries, sound]) for masks in (found, expected)]
    torch.testing.assert_close(*slopes)
    assert masks_of(queries.bfloat16(), sound.bfloat16()).dtype == torch.float32
