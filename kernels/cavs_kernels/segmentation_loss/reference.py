"""Cross-entropy, pseudo-labels and distillation with all logits in memory: the formulas, each in one place.

Letters: N frames of H x W pixels, K classes, of which a teacher knows the first K_old, background 0 among them.
z: the student's logits, t: the teacher's, q and p their softmax.
"""

import math
from typing import Literal, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from cavs_kernels.head import Head

BACKGROUND, IGNORED = 0, 255
Distill = Literal["none", "plain", "unbiased"]


class Terms(NamedTuple):
    """What a frame costs, each [N], float32 at least; 0 where it was not asked for.

    accepted: the share of background whose pseudo-label was accepted; 1 without background, or without pseudo-labels.
    It has no gradient.
    """

    cross_entropy: Tensor
    distillation: Tensor
    accepted: Tensor


class Rules(NamedTuple):
    """What is computed of which frame.

    num_old: K_old (K without a teacher). distill: `plain` (LwF), `unbiased` (MiB) or `none`.
    thresholds: [K_old], or None without pseudo-labels. guesses: [N] bool, frames that take them.
    hides: [N] bool, frames whose background may be an old class; None for no frame.
    """

    num_old: int
    distill: Distill = "none"
    thresholds: Tensor | None = None
    guesses: Tensor | None = None
    hides: Tensor | None = None

    def of(self, frames: slice) -> "Rules":
        """Return the rules of some frames."""
        guesses, hides = (None if flags is None else flags[frames] for flags in (self.guesses, self.hides))
        return self._replace(guesses=guesses, hides=hides)


def segmentation_terms_reference(student: Head, labels: Tensor, teacher: Head | None, rules: Rules) -> Terms:
    """Return all terms: the means over a frame's pixels of what `pixel_terms` returns."""
    logits = student.logits()
    old_logits = None if teacher is None else teacher.logits()
    final = pixel_labels(labels, old_logits, rules)
    surprise, distillation = (pixels.mean(dim=(1, 2)) for pixels in pixel_terms(logits, old_logits, final, rules))
    accepted, background = accepted_counts(labels, final, rules.num_old)
    return Terms(surprise, distillation, accepted_share(accepted.to(surprise.dtype), background))


def normalised_entropy(log_p: Tensor) -> Tensor:
    """Return u = -sum_c p_c log p_c / ln K of [N, K, H, W] log-probabilities, [N, H, W] in [0, 1]; 0 for one class."""
    entropy = -(log_p.exp() * log_p).sum(dim=1)
    return (entropy / math.log(max(log_p.shape[1], 2))).clamp(0, 1)


def pixel_labels(labels: Tensor, old_logits: Tensor | None, rules: Rules) -> Tensor:
    """Return labels [N, H, W] with old ones replaced by c = argmax p where u < thresholds[c], else ignored.

    Infinite thresholds take every prediction. Only frames that guess change (PLOP, arXiv 2011.11390). In them old
    classes, which only a rehearsed clip's labels hold, are replaced like background, as in CMR's release (2510.17234).
    """
    if rules.thresholds is None:
        return labels
    assert old_logits is not None and rules.guesses is not None
    log_p = old_logits.log_softmax(dim=1)
    guess = log_p.max(dim=1).indices
    sure = normalised_entropy(log_p) < rules.thresholds[guess]
    open_to_guess = (labels < rules.num_old) & rules.guesses[:, None, None]
    return torch.where(open_to_guess, guess.where(sure, IGNORED), labels)


def pixel_terms(logits: Tensor, old_logits: Tensor | None, labels: Tensor, rules: Rules) -> tuple[Tensor, Tensor]:
    """Return each pixel's cross-entropy and distillation (0 where it is not asked for), [N, H, W].

    Cross-entropy: -log q(y), 0 where ignored; where background hides old classes, -log sum_{c < K_old} q(c) for y = 0
    (MiB, arXiv 2002.00718). Distillation: -(1 / K_old) sum_c p(c) log q'(c); plain: q' is the softmax over the old
    logits alone (LwF, 1606.09282); unbiased: q'(0) = q(0) + sum of q over new classes, q'(c) = q(c) (MiB).
    """
    log_q = logits.log_softmax(dim=1)
    surprise = F.nll_loss(log_q, labels, ignore_index=IGNORED, reduction="none")
    if rules.hides is not None:
        hidden = log_q[:, : rules.num_old].logsumexp(dim=1)
        surprise = torch.where((labels == BACKGROUND) & rules.hides[:, None, None], -hidden, surprise)
    if rules.distill == "none":
        return surprise, torch.zeros_like(surprise)
    assert old_logits is not None
    if rules.distill == "plain":
        seen = logits[:, : rules.num_old].log_softmax(dim=1)
    else:
        background = torch.cat([log_q[:, :1], log_q[:, rules.num_old :]], dim=1).logsumexp(dim=1, keepdim=True)
        seen = torch.cat([background, log_q[:, 1 : rules.num_old]], dim=1)
    return surprise, -(old_logits.softmax(dim=1) * seen).mean(dim=1)


def accepted_counts(labels: Tensor, final: Tensor, num_old: int) -> tuple[Tensor, Tensor]:
    """Return how many of each frame's old labels, background with them, did not become ignored, and all, [N] each."""
    background = labels < num_old
    return (background & (final != IGNORED)).sum(dim=(1, 2)), background.sum(dim=(1, 2))


def accepted_share(accepted: Tensor, background: Tensor) -> Tensor:
    """Return PLOP's adaptive factor (arXiv 2011.11390), [N]: a frame weighs less the less the teacher is sure of it."""
    return torch.where(background > 0, accepted / background.clamp(min=1), 1.0)
