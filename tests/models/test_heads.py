import torch

from cavs_dist.models.heads import StageHeads


def grown(*stages: int, init: str = "random", seed: int = 5) -> StageHeads:
    heads = StageHeads(6)
    for number in stages:
        heads.grow(number, init, seed)  # type: ignore[arg-type]
    return heads


def test_background_comes_with_the_first_head() -> None:
    heads = grown(4, 2, 1)
    weight, bias = heads()
    assert (weight.shape, bias.shape) == ((8, 6), (8,))
    assert [head.out_features for head in heads.heads] == [5, 2, 1]
    assert weight[:7].equal(grown(4, 2)()[0])


def test_rows_depend_on_the_names_and_the_stage_alone() -> None:
    torch.manual_seed(1)
    first = grown(2, 2)()[0]
    torch.manual_seed(2)
    assert grown(2, 2)()[0].equal(first)
    assert not grown(2, 2, seed=6)()[0].equal(first)
    assert not first[:2].equal(first[3:5])


def test_balanced_new_classes_share_the_background() -> None:
    """MiB (arXiv 2002.00718): what the old model gave to background is split evenly; old classes keep theirs."""
    heads = grown(3)
    torch.nn.init.normal_(heads.heads[0].bias)
    features = torch.randn(50, 6)
    old = torch.nn.functional.linear(features, *heads()).softmax(dim=1)
    heads.grow(2, "background", 5)
    new = torch.nn.functional.linear(features, *heads()).softmax(dim=1)
    torch.testing.assert_close(new[:, 1:4], old[:, 1:4])
    for row in (0, 4, 5):
        torch.testing.assert_close(new[:, row], old[:, 0] / 3)


def test_the_first_head_has_no_background_to_start_from() -> None:
    assert grown(3, init="background")()[0].equal(grown(3)()[0])


def test_every_head_is_trained() -> None:
    heads = grown(2, 1)
    weight, bias = heads()
    (weight.sum() + bias.sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.eq(1).all() for parameter in heads.parameters())
