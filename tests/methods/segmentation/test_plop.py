import math

import torch
from torch import nn

from cavs_dist.curriculum import Stage
from cavs_dist.losses.pod import pod_distillation
from cavs_dist.losses.pseudo import median_entropies
from cavs_dist.losses.segment import segmentation_loss
from cavs_dist.methods.segmentation.plop import Plop, PlopConfig
from cavs_dist.outputs.segmentation import Batch, Outputs
from cavs_kernels.segmentation_loss.reference import Rules, segmentation_terms_reference


def begun(stage: Stage, batch: Batch, teacher: Outputs) -> Plop:
    method = Plop(PlopConfig(), segmentation_loss)
    method.begin(stage, nn.Identity(), iter([(batch, teacher)]))
    return method


def test_sure_pseudo_labels_weigh_more(stage: Stage, batch: Batch, student: Outputs, teacher: Outputs) -> None:
    loss = begun(stage, batch, teacher).loss(batch, student, teacher)["segment"]
    thresholds = median_entropies([(batch, teacher)], 2)
    rules = Rules(3, thresholds=thresholds, guesses=torch.tensor([True, True, False, False]))
    expected = segmentation_terms_reference(student.head, batch.labels, teacher.head, rules)
    assert (expected.accepted[:2] < 1).all()
    torch.testing.assert_close(loss, (expected.accepted * expected.cross_entropy)[:3].mean())


def test_local_pod_grows_with_the_classes(stage: Stage, batch: Batch, student: Outputs, teacher: Outputs) -> None:
    loss = begun(stage, batch, teacher).loss(batch, student, teacher)["pod"]
    torch.testing.assert_close(loss, math.sqrt(5 / 2) * pod_distillation(student, teacher, 0.01, 0.0005).mean())


def test_thresholds_travel_with_the_state(stage: Stage, batch: Batch, student: Outputs, teacher: Outputs) -> None:
    method, copy = begun(stage, batch, teacher), Plop(PlopConfig(), segmentation_loss)
    copy.load_state_dict(method.state_dict(), nn.Identity())
    torch.testing.assert_close(copy.loss(batch, student, teacher), method.loss(batch, student, teacher))
    first = Stage(0, new=("dog", "drum"), seen=("dog", "drum"))
    copy.begin(first, nn.Identity(), iter([]))
    assert copy.state_dict() == {}
