"""What a linear classifier of pixels reads and is: logits that are not made yet."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor


class Head(NamedTuple):
    """Features and the classifier over them. features: [N, D, H, W]. weight: [K, D]. bias: [K]."""

    features: Tensor
    weight: Tensor
    bias: Tensor

    def logits(self, frames: slice = slice(None)) -> Tensor:
        """Return the logits of some frames, [n, K, H, W], in float32 at least: bf16 would round what is compared."""
        with torch.autocast(self.features.device.type, enabled=False):
            wide = torch.promote_types(self.features.dtype, torch.float32)
            features, weight, bias = self.features[frames].to(wide), self.weight.to(wide), self.bias.to(wide)
            if features.is_cuda:  # a convolution would be rounded to tf32 there, whatever torch is told of its products
                return (weight @ features.flatten(2) + bias[:, None]).view(
                    len(features), len(weight), *features.shape[2:]
                )
            return F.conv2d(features, weight[:, :, None, None], bias)
