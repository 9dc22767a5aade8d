"""AVSBench's F-score (arXiv 2301.13190): by frame and class, averaged over frames, with beta^2 = 0.3."""

from torch import Tensor

from cavs_dist.metrics.iou import FrameAreas, sums_over_frames

BETA_SQUARED = 0.3


def frame_fscores(areas: FrameAreas) -> Tensor:
    """Return each frame's F-score of each class, [N, K] float64; 0 where nothing was predicted rightly.

    F = (1 + b) P R / (b P + R) with precision P, recall R and b = beta^2, which is (1 + b) |both| / (b |true| +
    |predicted|): without a division by an empty area.
    """
    weighted = BETA_SQUARED * areas.truth.double() + areas.predicted
    return (1 + BETA_SQUARED) * areas.intersection.double() / weighted.where(areas.union > 0, 1)


def avsbench_fscore_sums(areas: FrameAreas) -> Tensor:
    """Return, for each class, the sum of its frames' F-scores and the number of frames with a union, [2, K] float64."""
    return sums_over_frames(frame_fscores(areas), areas)
