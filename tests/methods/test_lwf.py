import torch

from cavs_dist.losses.distill import distillation
from cavs_dist.losses.segment import cross_entropy
from cavs_dist.methods.lwf import Lwf, LwfConfig
from cavs_dist.outputs import Batch, Outputs


def test_distillation_is_added_on_all_present_frames(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    terms = Lwf(LwfConfig()).loss(batch, student, teacher)
    torch.testing.assert_close(terms["segment"], cross_entropy(student, batch.labels)[:3].mean())
    torch.testing.assert_close(terms["distill"], 100 * distillation(student, teacher).mean())


def test_the_weight_is_the_config_s(batch: Batch, student: Outputs, teacher: Outputs) -> None:
    once, twice = (Lwf(LwfConfig(distill=weight)).loss(batch, student, teacher)["distill"] for weight in (1.0, 2.0))
    torch.testing.assert_close(2 * once, twice)
