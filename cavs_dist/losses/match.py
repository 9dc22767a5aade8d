"""AVSBench's audio-visual matching loss (arXiv 2207.05042; with many classes, arXiv 2301.13190)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_dist.losses.segment import log_probabilities
from cavs_dist.outputs.segmentation import Outputs


def matching(outputs: Outputs) -> Tensor:
    """Return how far what a frame shows is from what it sounds like, [N]: the mean over levels l of KL(a_l || v_l).

    v_l is the softmax over channels of mean_pixels(M_l Z_l), a_l that of the level's projected audio; Z_l is the map
    after attention and M_l the predicted foreground 1 - q(0), averaged down to its size. AVSBench's sum over levels is
    a mean in its code, and here. Its semantic code cuts M to 0 or 1 by argmax, which passes no gradient; ours stays
    soft, as its masks with one class are.
    """
    foreground = 1 - log_probabilities(outputs)[:, :1].exp()
    levels = [_divergence(maps, audio, foreground) for maps, audio in zip(outputs.levels, outputs.audio, strict=True)]
    return torch.stack(levels).mean(dim=0)


def _divergence(maps: Tensor, audio: Tensor, foreground: Tensor) -> Tensor:
    height, width = maps.shape[-2:]
    mask = F.adaptive_avg_pool2d(foreground, (height, width))
    seen = (maps.to(mask.dtype) * mask).mean(dim=(2, 3)).log_softmax(dim=1)
    heard = audio.to(mask.dtype).log_softmax(dim=1)
    return F.kl_div(seen, heard, reduction="none", log_target=True).sum(dim=1)
