import pytest
import torch
from torch import Tensor

from cavs_dist.models.motion import MotionEncoder


def made() -> MotionEncoder:
    torch.manual_seed(0)
    return MotionEncoder(16, "group").double()


def frames(*shape: int) -> Tensor:
    return torch.randn(*shape, 3, 32, 40, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def direct(model: MotionEncoder, shown: Tensor) -> Tensor:
    """One difference after the other."""
    rows = []
    for clip in shown:
        steps = [model.body((clip[k + 1] - clip[k])[None])[-1] for k in range(len(clip) - 1)]
        rows.append(torch.stack([step.flatten(2).max(dim=2).values[0] for step in steps], dim=1))
    return torch.stack(rows)


def test_it_is_the_strongest_place_of_each_difference_with_all_gradients() -> None:
    model, shown, results = made(), frames(3, 4).requires_grad_(), []
    for values in (direct(model, shown), model(shown)):
        weighed = (torch.arange(values.numel(), dtype=torch.float64).view_as(values).sin() * values).sum()
        results.append([values, *torch.autograd.grad(weighed, [shown, *model.parameters()])])
    assert results[1][0].shape == (3, 16, 3)
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)


def test_what_stands_still_does_not_count_however_it_looks() -> None:
    model, still = made(), frames(2, 1).expand(-1, 3, -1, -1, -1)
    assert model(still).equal(model(torch.zeros_like(still)))
    moving = frames(2, 3)
    torch.testing.assert_close(model(moving + still), model(moving))
    assert not torch.allclose(model(moving), model(still))


def test_two_frames_are_one_step() -> None:
    assert made()(frames(2, 2)).shape == (2, 16, 1)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_it_keeps_the_dtype_and_device_of_frames(dtype: torch.dtype) -> None:
    for device in ("cpu", "meta"):
        found = made().to(device, dtype)(frames(1, 3).to(device, dtype))
        assert found.dtype == dtype and found.device.type == device
