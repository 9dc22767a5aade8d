from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cavs_dist.errors import InputError
from cavs_dist.models.iquery import SMALL, IQuery, IQueryConfig, StageQueries
from cavs_dist.models.transformer import Attention, AttentionLayer, sine_map, sine_steps
from cavs_dist.models.unet import UNetConfig

TINY = IQueryConfig(
    UNetConfig(levels=4, first=4, most=16), heads=2, hidden=24, layers=4, embedding=5, objects=6, motion=7
)


def tiny(*stages: int) -> IQuery:
    torch.manual_seed(0)
    model = IQuery(TINY)
    for number in stages:
        model.grow(number, seed=1)
    return model.double()


def inputs() -> list[Tensor]:
    torch.manual_seed(1)
    spectrogram, objects, motion = (torch.rand(2, *shape).double() for shape in ((1, 32, 16), (2, 3, 6), (2, 7, 4)))
    return [spectrogram, objects, motion, torch.tensor([[0, 4], [3, 3]])]


def attend(attention: Attention, query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
    """Torch's attention of [R, C] rows with our weights, and its weights [R, P], the mean over heads."""
    values, weights = F.multi_head_attention_forward(
        query, key, value, query.shape[1], attention.heads, attention.project.weight, attention.project.bias,
        None, None, False, 0.0, attention.merge.weight, attention.merge.bias, training=False,
    )  # fmt: skip
    assert weights is not None
    return values, weights


def layer(
    ours: AttentionLayer, rows: Tensor, position: Tensor, tokens: Tensor, places: Tensor
) -> tuple[Tensor, Tensor]:
    added, weights = attend(ours.attend, rows + position, tokens + places, tokens)
    rows = ours.norm(rows + added)
    return ours.feed_norm(rows + ours.feed(rows)), weights


def direct(model: IQuery, spectrogram: Tensor, objects: Tensor, motion: Tensor, classes: Tensor) -> list[Tensor]:
    """One source after the other, all rows in all layers, as released: masks, f^a, f^o, f^m, attention, and queries."""
    found: list[list[Tensor]] = []
    queries, unet = torch.cat(list(model.queries.stages)), model.unet(spectrogram)
    places = sine_map(4, 2, 16, queries)
    for b, n in ((b, n) for b in range(2) for n in range(2)):
        audio = unet.latent[b].reshape(16, 8).T
        audio, _ = layer(model.encoder, audio, places, audio, places)
        seen = objects[b, n].max(dim=0).values @ model.object.weight.T + model.object.bias
        moves = motion[b, n].T @ model.motion.weight.T + model.motion.bias
        own = int(classes[b, n])
        rows = torch.stack([seen if row == own else torch.zeros_like(seen) for row in range(len(queries))])
        rows, _ = layer(model.watch, rows, queries, moves, sine_steps(4, 16, moves))
        for decoder in model.listen:
            rows = decoder.norm(rows + attend(decoder.mix, rows + queries, rows + queries, rows)[0])
            rows, weights = layer(decoder.attend, rows, queries, audio, places)
        asked = model.embed(model.norm(rows))
        masks = torch.einsum("qe,ehw->qhw", asked, unet.out[b]).sigmoid()
        found.append([masks[own], model.norm(rows)[own], seen, moves.mean(dim=0), weights[own], asked])
    return [torch.stack(column).unflatten(0, (2, 2)) for column in zip(*found, strict=True)]


def test_it_is_the_released_path_with_all_gradients() -> None:
    model, results = tiny(3, 2), []
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    given = [tensor.requires_grad_(tensor.is_floating_point()) for tensor in inputs()]
    separated = model(*given)
    ours = [separated.masks, separated.audio, separated.object, separated.motion, separated.attention]
    ours.append(separated.queries)
    leaves = [*given[:3], *model.parameters()]
    for values in (direct(model, *given), ours):
        weighed = sum((torch.arange(value.numel()).view_as(value).sin() * value).sum() for value in values)
        results.append([*values, *torch.autograd.grad(weighed, leaves)])
    for expected, found in zip(*results, strict=True):
        torch.testing.assert_close(found, expected)
    assert all(a is b or a.equal(b) for a, b in zip(separated.maps, model.unet(given[0]).maps, strict=True))
    assert separated.sound.equal(model.unet(given[0]).out)


def test_at_the_size_of_the_paper_it_has_its_parameters_but_those_that_never_run() -> None:
    """A released decoder layer holds attentions to rows, audio and motion, four norms and the feed-forward part."""
    norm, attention = 2 * 256, 4 * (256 * 256 + 256)
    feed = 256 * 1024 + 1024 + 1024 * 256 + 256
    attends = attention + feed + 2 * norm
    parts = {
        "unet": 30_274_178,
        "object": 512 * 256 + 256,
        "motion": 768 * 256 + 256,
        "queries": 20 * 256,
        "encoder": attends,
        "watch": attends,
        "listen": 3 * (attention + norm + attends),
        "norm": norm,
        "embed": 2 * (256 * 256 + 256) + 256 * 32 + 32,
    }
    with torch.device("meta"):
        model = IQuery(IQueryConfig())
        model.grow(20, seed=0)
    counted = {name: sum(p.numel() for p in part.parameters()) for name, part in model.named_children()}
    assert counted == parts
    idle = 2 * (attention + norm) + 3 * (attention + norm)
    assert (sum(parts.values()), idle) == (35_487_650, 1_318_400)
    assert sum(parts.values()) + idle == 36_806_050


def test_the_small_one_is_small() -> None:
    model = IQuery(SMALL)
    model.grow(20, seed=0)
    assert sum(parameter.numel() for parameter in model.parameters()) < 1_500_000
    separated = model(
        torch.rand(1, 1, 256, 128), torch.rand(1, 2, 3, 128), torch.rand(1, 2, 64, 4), torch.tensor([[0, 7]])
    )
    assert separated.masks.shape == (1, 2, 256, 128)


def test_old_queries_stay_and_new_ones_come_from_the_seed() -> None:
    def grown(*stages: int, seed: int = 1) -> Tensor:
        queries = StageQueries(64)
        for number in stages:
            queries.grow(number, seed)
        return queries()

    torch.manual_seed(1)
    rows = grown(5, 50)
    torch.manual_seed(2)
    assert rows.equal(grown(5, 50)) and rows[:5].equal(grown(5))
    assert not rows[5:].equal(grown(5, 50, seed=2)[5:]) and not rows[:5].equal(rows[5:10])
    assert abs(rows.mean()) < 0.05 and abs(rows.std() - 1) < 0.05


def test_a_grown_model_keeps_its_queries_and_its_dtype() -> None:
    model = tiny(3)
    with torch.no_grad():
        model.queries.stages[0].add_(1)
    before = model.queries().clone()
    model.grow(2, seed=1)
    assert model.queries.stages[0].equal(before) and model.queries().shape == (5, 16)
    assert model.queries.stages[1].dtype == torch.float64 and model.queries.stages[1].requires_grad


def test_classes_choose_the_query() -> None:
    model = tiny(3, 2)
    spectrogram, objects, motion, _ = inputs()
    objects, motion = objects[:, :1].expand(-1, 2, -1, -1), motion[:, :1].expand(-1, 2, -1, -1)
    masks = model(spectrogram, objects, motion, torch.tensor([[1, 1], [1, 2]])).masks
    torch.testing.assert_close(masks[0, 0], masks[0, 1])
    assert not torch.allclose(masks[1, 0], masks[1, 1])


def test_what_does_not_fit_is_refused() -> None:
    spectrogram, objects, _, classes = inputs()
    with pytest.raises(ValueError, match="found no motion"):
        tiny(5)(spectrogram, objects, None, classes)
    with pytest.raises(InputError, match="16 channels, expected a multiple of 4 and of the 3 heads"):
        IQuery(replace(TINY, heads=3))
    with pytest.raises(InputError, match="layers=1 is too few"):
        IQuery(replace(TINY, layers=1))
