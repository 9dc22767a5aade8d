import torch
from torch import Tensor

from cavs_dist.losses.match import matching
from cavs_dist.outputs.segmentation import Outputs


def tensors() -> list[Tensor]:
    torch.manual_seed(0)
    shapes = ((2, 3, 4, 6), (2, 3, 2, 3), (2, 3), (2, 3), (2, 4, 8, 12), (3, 4), (3,))
    return [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]


def outputs(fine: Tensor, coarse: Tensor, audio: Tensor, audio_too: Tensor, *head: Tensor) -> Outputs:
    return Outputs((fine, coarse), fine, *head, audio=(audio, audio_too))


def slow(out: Outputs) -> Tensor:
    exps = out.logits().exp()
    foreground = 1 - exps[:, 0] / exps.sum(dim=1)
    losses = []
    for n in range(len(exps)):
        total = torch.zeros((), dtype=torch.float64)
        for maps, audio in zip(out.levels, out.audio, strict=True):
            height, width = maps.shape[-2:]
            cell = exps.shape[-1] // width
            pooled = torch.zeros(maps.shape[1], dtype=torch.float64)
            for y in range(height):
                for x in range(width):
                    mask = foreground[n, y * cell : (y + 1) * cell, x * cell : (x + 1) * cell].mean()
                    pooled = pooled + mask * maps[n, :, y, x] / (height * width)
            seen, heard = pooled.exp() / pooled.exp().sum(), audio[n].exp() / audio[n].exp().sum()
            total = total + (heard * (heard / seen).log()).sum() / len(out.levels)
        losses.append(total)
    return torch.stack(losses)


def test_values_and_gradients_equal_the_formula() -> None:
    inputs = tensors()
    found, expected = matching(outputs(*inputs)), slow(outputs(*inputs))
    torch.testing.assert_close(found, expected)
    gradients = [torch.autograd.grad((loss * torch.tensor([1.0, 3.0])).sum(), inputs) for loss in (found, expected)]
    torch.testing.assert_close(gradients[0], gradients[1])


def test_sight_and_sound_that_agree_cost_nothing() -> None:
    fine, _, _, _, *head = tensors()
    head[2] = torch.tensor([-100.0, 0.0, 0.0], dtype=torch.float64)  # all is foreground
    level = fine.detach()
    audio = level.mean(dim=(2, 3))
    loss = matching(Outputs((level,), level, *head, audio=(audio + 1.5,)))
    torch.testing.assert_close(loss, torch.zeros(2, dtype=torch.float64))
