"""What moves, from the differences of neighbouring frames: for where there are no features of a video encoder."""

from torch import Tensor, nn

from cavs_dist.models.norm import Norm
from cavs_dist.models.visual import SmallEncoder


class MotionEncoder(nn.Module):
    """A residual network over differences of frames; the strongest place of its coarsest map counts."""

    def __init__(self, channels: int, norm: Norm) -> None:
        super().__init__()
        self.body = SmallEncoder(norm, (channels // 4, channels // 2, channels, channels))

    def forward(self, frames: Tensor) -> Tensor:
        """Encode [R, K, 3, H, W] frames, K at least 2: [R, C, K - 1]."""
        differences = frames[:, 1:] - frames[:, :-1]
        last = self.body(differences.flatten(0, 1))[-1]
        return last.amax(dim=(2, 3)).unflatten(0, differences.shape[:2]).transpose(1, 2)
