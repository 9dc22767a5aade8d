import torch

from cavs_dist.losses.segment import cross_entropy, log_probabilities
from cavs_dist.outputs.segmentation import Outputs


def outputs(dtype: torch.dtype = torch.float64) -> Outputs:
    torch.manual_seed(0)
    features, weight, bias = (torch.randn(shape).to(dtype) for shape in ((2, 3, 3, 5), (4, 3), (4,)))
    return Outputs((), features, features, weight, bias)


def test_cross_entropy_is_a_mean_over_all_pixels_of_a_frame() -> None:
    labels = torch.tensor([0, 1, 2, 3, 255]).repeat(6).view(2, 3, 5)
    ours = outputs()
    total = torch.zeros(2, dtype=torch.float64)
    for n, y, x in (labels != 255).nonzero().tolist():
        exps = ours.logits()[n, :, y, x].exp()
        total[n] -= (exps[labels[n, y, x]] / exps.sum()).log() / 15
    torch.testing.assert_close(cross_entropy(ours, labels), total)


def test_half_precision_heads_give_float32_losses() -> None:
    ours = outputs(torch.bfloat16)
    assert cross_entropy(ours, torch.zeros(2, 3, 5, dtype=torch.int64)).dtype == torch.float32
    assert log_probabilities(ours).dtype == torch.float32
    torch.testing.assert_close(log_probabilities(ours).exp().sum(dim=1), torch.ones(2, 3, 5))
