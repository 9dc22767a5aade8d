"""Cross-entropy of frames, from head features and classifier."""

import torch
from torch import Tensor

from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.segmentation_loss import segmentation_terms


def log_probabilities(outputs: Outputs) -> Tensor:
    """Return the log-softmax of the logits, [N, K, H, W], in float32 at least."""
    logits = outputs.logits()
    return logits.log_softmax(dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))


def cross_entropy(outputs: Outputs, labels: Tensor) -> Tensor:
    """Return each frame's cross-entropy, [N]: (1 / HW) sum_i -log q_i(y_i), for labels [N, H, W].

    Ignored pixels add 0 and stay in the denominator, so that a frame's loss shrinks with what is known of it
    (PLOP, arXiv 2011.11390).
    """
    return segmentation_terms(outputs.head, labels).cross_entropy


def segmentation_loss(batch: Batch, outputs: Outputs) -> dict[str, Tensor]:
    """Return the one term of learning a batch's labels as they are."""
    return {"segment": (batch.label_weight * cross_entropy(outputs, batch.labels)).sum()}
