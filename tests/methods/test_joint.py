import torch

from cavs_dist.losses.segment import cross_entropy, segmentation_loss
from cavs_dist.methods.joint import Joint, JointConfig
from cavs_dist.outputs.segmentation import Batch, Outputs


def test_every_annotated_frame_counts_alike(batch: Batch, student: Outputs) -> None:
    (loss,) = Joint(JointConfig(), segmentation_loss).loss(batch, student, None).values()
    torch.testing.assert_close(loss, cross_entropy(student, batch.labels)[:3].mean())


def test_what_the_trainer_reads() -> None:
    assert (Joint.teacher, Joint.scope, Joint.restart, Joint.head) == (False, "seen", True, "random")
