import torch
import torch.nn.functional as F

from cavs_kernels.head import Head


def test_logits_are_a_linear_layer_of_every_pixel_in_float32_at_least() -> None:
    torch.manual_seed(0)
    head = Head(torch.randn(3, 8, 5, 4), torch.randn(6, 8), torch.randn(6))
    expected = F.linear(head.features.permute(0, 2, 3, 1), head.weight, head.bias).permute(0, 3, 1, 2)
    torch.testing.assert_close(head.logits(), expected)
    assert head.logits(slice(1, 3)).equal(head.logits()[1:3])
    with torch.autocast("cpu", torch.bfloat16):
        assert head.logits().equal(head.logits()) and head.logits().dtype == torch.float32
    half = Head(head.features.bfloat16(), head.weight, head.bias)
    assert half.logits().dtype == torch.float32
    assert Head(*(part.double() for part in head)).logits().dtype == torch.float64
