import torch

from cavs_dist.outputs.segmentation import Batch, Outputs


def outputs(dtype: torch.dtype = torch.float64) -> Outputs:
    torch.manual_seed(0)
    features, weight, bias = torch.randn(2, 5, 3, 4), torch.randn(7, 5), torch.randn(7)
    levels = (torch.randn(2, 6, 2, 2), torch.randn(2, 6, 1, 1))
    return Outputs(levels, torch.randn(2, 6, 3, 4), features.to(dtype), weight.to(dtype), bias.to(dtype))


def test_logits_are_the_classifier_at_every_pixel() -> None:
    ours = outputs()
    logits = ours.logits()
    assert logits.shape == (2, 7, 3, 4) and logits.dtype == torch.float64 and ours.num_classes == 7
    for n, y, x in ((0, 0, 0), (1, 2, 3)):
        torch.testing.assert_close(logits[n, :, y, x], ours.weight @ ours.features[n, :, y, x] + ours.bias)
    assert ours.prediction().equal(logits.argmax(dim=1))


def test_logits_are_float32_whatever_the_model_computes_in() -> None:
    ours = outputs(torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        found = ours.logits()
    expected = torch.einsum("kd,ndhw->nkhw", ours.weight.float(), ours.features.float())
    torch.testing.assert_close(found, expected + ours.bias.float()[:, None, None])
    assert not found.equal(found.bfloat16().float())


def test_gradients_reach_features_and_classifier() -> None:
    ours = outputs()
    leaves = [leaf.requires_grad_() for leaf in (ours.features, ours.weight, ours.bias)]
    assert torch.autograd.gradcheck(lambda f, w, b: Outputs((), f, f, w, b).logits(), leaves)


def test_maps_end_with_the_head_map() -> None:
    ours = outputs()
    assert len(ours.maps) == 3 and ours.maps[:2] == ours.levels and ours.maps[2] is ours.head_map


def test_frames_of_rehearsed_clips() -> None:
    flags, nothing = torch.tensor([False, True]), torch.zeros(6)
    batch = Batch(("a", "b"), flags, nothing, nothing, nothing, torch.ones(2, 3), torch.ones(2, 3), nothing, nothing)
    assert batch.frames_from_memory.tolist() == [False] * 3 + [True] * 3
