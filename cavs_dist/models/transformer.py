"""Post-norm transformer layers in which positions enter queries and keys, never values (DETR, arXiv 2005.12872)."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention (Vaswani et al., arXiv 1706.03762) of [G, R, C] rows to [G, P, C] tokens."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project = nn.Linear(channels, 3 * channels)  # of queries, keys and values
        self.merge = nn.Linear(channels, channels)
        nn.init.zeros_(self.project.bias)
        nn.init.zeros_(self.merge.bias)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Return [G, R, C]."""
        rows, tokens, values = self._heads(query, 0), self._heads(key, 1), self._heads(value, 2)
        return self.merge(F.scaled_dot_product_attention(rows, tokens, values).transpose(1, 2).flatten(2))

    def weights(self, query: Tensor, key: Tensor) -> Tensor:
        """Return how each row spreads over the tokens, the mean over heads, [G, R, P]; rows sum to 1."""
        rows, tokens = self._heads(query, 0), self._heads(key, 1)
        logits = rows @ tokens.transpose(2, 3) / math.sqrt(rows.shape[-1])
        return logits.to(torch.promote_types(logits.dtype, torch.float32)).softmax(dim=-1).mean(dim=1)

    def _heads(self, tokens: Tensor, part: int) -> Tensor:
        """Project [G, P, C] tokens as queries (part 0), keys (1) or values (2): [G, heads, P, C / heads]."""
        weight, bias = self.project.weight.chunk(3)[part], self.project.bias.chunk(3)[part]
        return F.linear(tokens, weight, bias).view(*tokens.shape[:2], self.heads, -1).transpose(1, 2)


class AttentionLayer(nn.Module):
    """x = LN(x + attention(x + p, t + p_t, t)), then LN(x + W_2 relu(W_1 x)); an encoder layer where t = x."""

    def __init__(self, channels: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.attend = Attention(channels, heads)
        self.norm = nn.LayerNorm(channels)
        self.feed = nn.Sequential(nn.Linear(channels, hidden), nn.ReLU(), nn.Linear(hidden, channels))
        self.feed_norm = nn.LayerNorm(channels)

    def forward(self, rows: Tensor, position: Tensor, tokens: Tensor, token_position: Tensor) -> Tensor:
        """Let [G, R, C] rows attend to [G, P, C] tokens; positions are [R, C] and [P, C], or of each group too."""
        rows = self.norm(rows + self.attend(rows + position, tokens + token_position, tokens))
        return self.feed_norm(rows + self.feed(rows))


class DecoderLayer(nn.Module):
    """Self-attention among rows, x = LN(x + attention(x + p, x + p, x)), then an attention layer to tokens.

    The two halves are `among` and `attend`: a caller that wants few rows in the end takes them in between.
    """

    def __init__(self, channels: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.mix = Attention(channels, heads)
        self.norm = nn.LayerNorm(channels)
        self.attend = AttentionLayer(channels, heads, hidden)

    def among(self, rows: Tensor, position: Tensor) -> Tensor:
        """Let [G, R, C] rows with positions [R, C] attend to each other."""
        placed = rows + position
        return self.norm(rows + self.mix(placed, placed, rows))

    def forward(self, rows: Tensor, position: Tensor, tokens: Tensor, token_position: Tensor) -> Tensor:
        """Decode [G, R, C] rows from [G, P, C] tokens."""
        return self.attend(self.among(rows, position), position, tokens, token_position)


def xavier(*modules: nn.Module) -> None:
    """Draw every matrix of `modules` from Xavier's uniform distribution."""
    for module in modules:
        for parameter in module.parameters():
            if parameter.dim() > 1:
                nn.init.xavier_uniform_(parameter)


def sine(places: Tensor, channels: int) -> Tensor:
    """Return sine positions [P, channels] of `places` [P]: sin and cos of place / 10000^(2 i / channels) in turn."""
    powers = torch.arange(0, channels, 2, dtype=places.dtype, device=places.device) / channels
    angles = places[:, None] * 10000.0**-powers
    return torch.stack((angles.sin(), angles.cos()), dim=-1).flatten(1)


def sine_steps(steps: int, channels: int, like: Tensor) -> Tensor:
    """Return the positions [steps, channels] of steps 0, 1, ... in the device and dtype of `like`."""
    return sine(torch.arange(steps, dtype=torch.float64, device=like.device), channels).to(like.dtype)


def sine_map(height: int, width: int, channels: int, like: Tensor) -> Tensor:
    """Return the positions [height width, channels] of a map's places, row by row (DETR, arXiv 2005.12872).

    The first half of the channels tells the row, the second the column, as 2 pi (i + 1) / number.
    """
    rows, columns = (
        sine(2 * math.pi * torch.arange(1, side + 1, dtype=torch.float64, device=like.device) / side, channels // 2)
        for side in (height, width)
    )
    return torch.cat((rows.repeat_interleave(width, dim=0), columns.repeat(height, 1)), dim=1).to(like.dtype)
