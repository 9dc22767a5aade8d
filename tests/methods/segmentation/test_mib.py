import torch

from cavs_dist.losses.segment import cross_entropy, segmentation_loss
from cavs_dist.methods.segmentation.mib import Mib, MibConfig
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.segmentation_loss.reference import Rules, segmentation_terms_reference

EVERYWHERE = torch.ones(4, dtype=torch.bool)


def test_background_may_hide_old_classes_except_in_rehearsed_frames(
    batch: Batch, student: Outputs, teacher: Outputs
) -> None:
    terms = Mib(MibConfig(), segmentation_loss).loss(batch, student, teacher)
    unbiased = segmentation_terms_reference(student.head, batch.labels, None, Rules(3, hides=EVERYWHERE)).cross_entropy
    plain = cross_entropy(student, batch.labels)
    torch.testing.assert_close(terms["segment"], (unbiased[0] + unbiased[1] + plain[2]) / 3)
    assert (unbiased[:3] < plain[:3]).all()


def test_distillation_is_unbiased_and_weighs_10(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    distill = Mib(MibConfig(), segmentation_loss).loss(batch, student, teacher)["distill"]
    expected = segmentation_terms_reference(student.head, batch.labels, teacher.head, Rules(3, "unbiased"))
    torch.testing.assert_close(distill, 10 * expected.distillation.mean())
    assert Mib.head == "background"
