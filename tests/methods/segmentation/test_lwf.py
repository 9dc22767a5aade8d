import torch

from cavs_dist.losses.segment import cross_entropy, segmentation_loss
from cavs_dist.methods.segmentation.lwf import Lwf, LwfConfig
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.segmentation_loss.reference import Rules, segmentation_terms_reference


def test_distillation_is_added_on_all_present_frames(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    terms = Lwf(LwfConfig(), segmentation_loss).loss(batch, student, teacher)
    expected = segmentation_terms_reference(student.head, batch.labels, teacher.head, Rules(3, "plain"))
    torch.testing.assert_close(terms["segment"], cross_entropy(student, batch.labels)[:3].mean())
    torch.testing.assert_close(terms["distill"], 100 * expected.distillation.mean())


def test_the_weight_is_the_config_s(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    once, twice = (
        Lwf(LwfConfig(distill=weight), segmentation_loss).loss(batch, student, teacher)["distill"]
        for weight in (1.0, 2.0)
    )
    torch.testing.assert_close(2 * once, twice)
