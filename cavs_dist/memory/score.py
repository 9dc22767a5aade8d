"""Score clips by modality consistency: what sound adds to the segmentation (MSS, CMR arXiv 2510.17234, section 3)."""

from torch import Tensor

from cavs_dist.metrics.iou import frame_iou_sum
from cavs_dist.outputs.segmentation import Batch


def consistency(batch: Batch, audiovisual: Tensor, unimodal: Tensor, num_labels: int) -> Tensor:
    """Return Delta of each clip, [B] float64.

    Delta_i = sum over annotated frames t and classes c seen so far (background included) of
    IoU_c(f_av(i, t), y(i, t)) - IoU_c(f_v(i, t), y(i, t)); the IoU of a class in neither is 0.
    audiovisual, unimodal: [N, H, W] int64, the two models' predictions. y: the batch's labels, all ignored (255) where
    a frame is not annotated, so that such a frame adds nothing.
    """
    gain = frame_iou_sum(audiovisual, batch.labels, num_labels) - frame_iou_sum(unimodal, batch.labels, num_labels)
    return gain.view(len(batch.keys), -1).sum(dim=1)
