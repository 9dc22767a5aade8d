"""Distillation of attention (AV-CIL, "Audio-Visual Class-Incremental Learning", arXiv 2308.11073)."""

import torch
from torch import Tensor


def attention_distillation(attention: Tensor, old_attention: Tensor) -> Tensor:
    """Return how far each source's attention is from the old model's, [B, N]: KL(old || new) over P places, in nats.

    attention, old_attention: [B, N, P] probabilities; old ones get no gradient. Those that softmax rounded to 0 count
    as the smallest normal number. AV-CIL distils what sound finds in the places and times of a video, for clips from
    memory; a separator's query looks for its source in the places of a mixture's spectrogram, and ours (only named in
    arXiv 2411.02860) distils that, for sources from memory. AV-CIL's two contrasts are `cross_sdc` of current rows of
    `audio` and `object`, at temperature 0.1, in both directions where it has sound to sight alone.
    """
    wide = torch.promote_types(attention.dtype, torch.float32)
    new, old = attention.to(wide), old_attention.detach().to(wide)
    smallest = torch.finfo(wide).tiny
    return (old * (old.clamp(min=smallest).log() - new.clamp(min=smallest).log())).sum(dim=2)
