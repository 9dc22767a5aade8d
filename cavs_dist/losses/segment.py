"""Cross-entropy of frames from head features and classifier, plain and unbiased (MiB, arXiv 2002.00718)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_dist.data.clip import IGNORED
from cavs_dist.outputs import Outputs

BACKGROUND = 0


def log_probabilities(outputs: Outputs) -> Tensor:
    """Return the log-softmax of the logits, [N, K, H, W], in float32 at least."""
    logits = outputs.logits()
    return logits.log_softmax(dim=1, dtype=torch.promote_types(logits.dtype, torch.float32))


def cross_entropy(outputs: Outputs, labels: Tensor) -> Tensor:
    """Return each frame's cross-entropy, [N]: (1 / HW) sum_i -log q_i(y_i), for labels [N, H, W].

    Ignored pixels add 0 and stay in the denominator, so that a frame's loss shrinks with what is known of it
    (PLOP, arXiv 2011.11390).
    """
    return _surprise(log_probabilities(outputs), labels).mean(dim=(1, 2))


def unbiased_cross_entropy(outputs: Outputs, labels: Tensor, num_old: int) -> Tensor:
    """Return each frame's cross-entropy, [N], where background may be hiding any of the `num_old` old classes.

    As `cross_entropy`, with q~(0) = q(0) + sum of q over old classes on background pixels, because a stage's labels
    call old classes background (MiB, arXiv 2002.00718).
    """
    log_q = log_probabilities(outputs)
    hidden = log_q[:, : 1 + num_old].logsumexp(dim=1)
    return torch.where(labels == BACKGROUND, -hidden, _surprise(log_q, labels)).mean(dim=(1, 2))


def _surprise(log_q: Tensor, labels: Tensor) -> Tensor:
    """Return -log q(y) of each pixel, [N, H, W], 0 where it is ignored."""
    return F.nll_loss(log_q, labels, ignore_index=IGNORED, reduction="none")
