import torch

from cavs_dist.losses.distill import unbiased_distillation
from cavs_dist.losses.segment import cross_entropy, unbiased_cross_entropy
from cavs_dist.methods.mib import Mib, MibConfig
from cavs_dist.outputs import Batch, Outputs


def test_background_may_hide_old_classes_except_in_rehearsed_frames(
    batch: Batch, student: Outputs, teacher: Outputs
) -> None:
    terms = Mib(MibConfig()).loss(batch, student, teacher)
    unbiased = unbiased_cross_entropy(student, batch.labels, num_old=2)
    plain = cross_entropy(student, batch.labels)
    torch.testing.assert_close(terms["segment"], (unbiased[0] + unbiased[1] + plain[2]) / 3)
    assert (unbiased[:3] < plain[:3]).all()


def test_distillation_is_unbiased_and_weighs_10(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    distill = Mib(MibConfig()).loss(batch, student, teacher)["distill"]
    torch.testing.assert_close(distill, 10 * unbiased_distillation(student, teacher).mean())
    assert Mib.head == "background"
