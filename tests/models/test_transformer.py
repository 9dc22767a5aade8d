import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cavs_dist.models.transformer import Attention, AttentionLayer, DecoderLayer, sine_map, sine_steps, xavier

CHANNELS, HEADS = 12, 3


def noisy(module: nn.Module) -> nn.Module:
    """The module in float64 with random biases and norms: they start at 0 and 1."""
    torch.manual_seed(0)
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.4)
    return module.double()


def theirs(ours: Attention) -> nn.MultiheadAttention:
    """Torch's own module with the same weights."""
    copy = nn.MultiheadAttention(CHANNELS, HEADS, batch_first=True).double()
    copy.load_state_dict(
        {
            "in_proj_weight": ours.project.weight,
            "in_proj_bias": ours.project.bias,
            "out_proj.weight": ours.merge.weight,
            "out_proj.bias": ours.merge.bias,
        }
    )
    return copy


def inputs() -> list[Tensor]:
    """Rows [2, 4, C], their positions, tokens [2, 5, C], their positions."""
    torch.manual_seed(1)
    sizes = ((2, 4, CHANNELS), (4, CHANNELS), (2, 5, CHANNELS), (5, CHANNELS))
    return [torch.randn(*size, dtype=torch.float64, requires_grad=True) for size in sizes]


def attended(layer: AttentionLayer, rows: Tensor, position: Tensor, tokens: Tensor, token_position: Tensor) -> Tensor:
    added = theirs(layer.attend)(rows + position, tokens + token_position, tokens)[0]
    rows = F.layer_norm(rows + added, (CHANNELS,), layer.norm.weight, layer.norm.bias)
    hidden = F.relu(rows @ layer.feed[0].weight.T + layer.feed[0].bias)
    rows = rows + hidden @ layer.feed[2].weight.T + layer.feed[2].bias
    return F.layer_norm(rows, (CHANNELS,), layer.feed_norm.weight, layer.feed_norm.bias)


def test_a_decoder_layer_is_torchs_attention_twice_with_gradients() -> None:
    layer = noisy(DecoderLayer(CHANNELS, HEADS, 20))
    rows, position, *tokens = inputs()
    added = theirs(layer.mix)(rows + position, rows + position, rows)[0]
    expected = F.layer_norm(rows + added, (CHANNELS,), layer.norm.weight, layer.norm.bias)
    expected = attended(layer.attend, expected, position, *tokens)
    found = layer(rows, position, *tokens)
    torch.testing.assert_close(found, expected)
    direction, leaves = torch.randn_like(found), [rows, position, *tokens]
    for ours, wanted in zip(*(torch.autograd.grad(v, leaves, direction) for v in (found, expected)), strict=True):
        torch.testing.assert_close(ours, wanted)


def test_weights_are_torchs_mean_over_heads() -> None:
    ours = noisy(Attention(CHANNELS, HEADS))
    rows, _, tokens, _ = inputs()
    found = ours.weights(rows, tokens)
    torch.testing.assert_close(found, theirs(ours)(rows, tokens, tokens)[1])
    torch.testing.assert_close(found.sum(dim=2), torch.ones(2, 4, dtype=torch.float64))


def turns(place: float, channels: int) -> list[float]:
    angles = [place / 10_000 ** (2 * i / channels) for i in range(channels // 2)]
    return [value for angle in angles for value in (math.sin(angle), math.cos(angle))]


def test_positions_are_sines_in_turn() -> None:
    like = torch.empty(0, dtype=torch.float64)
    steps, places = sine_steps(5, 8, like), sine_map(3, 4, 8, like)
    torch.testing.assert_close(steps, torch.tensor([turns(step, 8) for step in range(5)], dtype=like.dtype))
    circle = 2 * math.pi
    expected = [turns(circle * (y + 1) / 3, 4) + turns(circle * (x + 1) / 4, 4) for y in range(3) for x in range(4)]
    torch.testing.assert_close(places, torch.tensor(expected, dtype=like.dtype))
    assert sine_steps(5, 8, like.float()).dtype == torch.float32


def test_xavier_fills_matrices_and_leaves_vectors() -> None:
    torch.manual_seed(0)
    layer = AttentionLayer(96, 8, 200)
    xavier(layer)
    for matrix in (layer.attend.project.weight, layer.attend.merge.weight, layer.feed[0].weight, layer.feed[2].weight):
        bound = math.sqrt(6 / sum(matrix.shape))
        assert 0.99 * bound < matrix.abs().max() <= bound
        assert abs(matrix.std() - bound / math.sqrt(3)) < 0.03 * bound
    assert not layer.attend.project.bias.any() and not layer.attend.merge.bias.any()
    assert layer.norm.weight.eq(1).all()
