import pytest
import torch
from torch import Tensor

from cavs_kernels.av_attention import AttentionWeights, NormWeights, av_attention, av_attention_block
from cavs_kernels.av_attention.direct import av_attention_direct

TOKENS, AUDIO = torch.randn(2, 3, 4, 6, dtype=torch.float64), torch.randn(2, 3, 6, dtype=torch.float64)


def weights(channels: int = 6) -> AttentionWeights:
    inner = channels // 2
    shapes = [*[(inner, channels), (inner,)] * 3, (channels, inner), (channels,)]
    return AttentionWeights(*(torch.randn(shape, dtype=torch.float64) for shape in shapes))


@pytest.mark.parametrize(("mode", "audio"), [("dot", AUDIO), ("softmax", AUDIO), ("visual", None)])
def test_without_a_mask_all_frames_count(mode: str, audio: Tensor | None) -> None:
    ours = weights()
    everyone = torch.ones(2, 3, dtype=torch.bool)
    expected = av_attention_direct(TOKENS, audio, ours, mode, everyone)
    torch.testing.assert_close(av_attention(TOKENS, audio, ours, mode=mode), expected)


@pytest.mark.parametrize("mode", ["dot", "softmax", "visual"])
def test_what_a_masked_frame_holds_changes_no_other_frame(mode: str) -> None:
    ours, mask = weights(), torch.tensor([[True, False, True], [False, True, True]])
    audio = None if mode == "visual" else AUDIO
    before = av_attention(TOKENS, audio, ours, mode=mode, mask=mask)
    tokens = torch.where(mask[..., None, None], TOKENS, 100.0)
    heard = None if audio is None else torch.where(mask[..., None], audio, -100.0)
    torch.testing.assert_close(av_attention(tokens, heard, ours, mode=mode, mask=mask)[mask], before[mask])


@pytest.mark.parametrize(
    ("message", "tokens", "audio", "mode", "mask", "channels"),
    [
        ("mode is 'sum'", TOKENS, AUDIO, "sum", None, 6),
        ("expected \\[G, T, P, C\\]", TOKENS[0], AUDIO, "dot", None, 6),
        ("audio missing", TOKENS, None, "dot", None, 6),
        ("audio given", TOKENS, AUDIO, "visual", None, 6),
        (r"audio has shape \(2, 2, 6\)", TOKENS, AUDIO[:, :2], "dot", None, 6),
        ("weights take 8 channels", TOKENS, AUDIO, "dot", None, 8),
        (r"mask has shape \(3, 2\)", TOKENS, AUDIO, "dot", torch.ones(3, 2, dtype=torch.bool), 6),
    ],
)
def test_what_does_not_fit_is_refused(
    message: str, tokens: Tensor, audio: Tensor | None, mode: str, mask: Tensor | None, channels: int
) -> None:
    norms = NormWeights(*torch.ones(4, 6, dtype=torch.float64))
    with pytest.raises(ValueError, match=message):
        av_attention(tokens, audio, weights(channels), mode=mode, mask=mask)
    with pytest.raises(ValueError, match=message):
        av_attention_block(tokens, audio, weights(channels), norms, mode=mode, mask=mask)


def test_the_block_tells_what_it_normalised_with() -> None:
    ours, norms = weights(), NormWeights(*torch.ones(4, 6, dtype=torch.float64))
    update = av_attention(TOKENS, AUDIO, ours).flatten(0, 2)
    batch, statistics = av_attention_block(TOKENS, AUDIO, ours, norms)
    assert statistics is not None and statistics.num_tokens == 2 * 3 * 4
    torch.testing.assert_close(statistics.mean, update.mean(dim=0))
    torch.testing.assert_close(statistics.var, update.var(dim=0, correction=0))
    running, nothing = av_attention_block(TOKENS, AUDIO, ours, norms, running=statistics[1:])
    assert nothing is None
    torch.testing.assert_close(running, batch)
