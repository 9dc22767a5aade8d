import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from cavs_dist.losses.contrast import Rows, contrast_rows, cross_sdc


def rows(number: int, modalities: str = "aom", seed: int = 0) -> Rows:
    torch.manual_seed(seed)
    features = {name: torch.randn(number, 5, dtype=torch.float64, requires_grad=True) for name in modalities}
    classes = torch.randint(0, 3, (number,))
    return Rows(features, videos=2 * classes + torch.randint(0, 2, (number,)), classes=classes)


def slow_direction(x: Tensor, y: Tensor, ids: Tensor, temperature: float) -> Tensor:
    total = torch.zeros((), dtype=torch.float64)
    for i in range(len(ids)):
        logits = [(x[i] / x[i].norm()) @ (y[j] / y[j].norm()) / temperature for j in range(len(ids))]
        log_p = torch.stack(logits).log_softmax(dim=0)
        same = [j for j in range(len(ids)) if ids[i] == ids[j]]
        for j in same:
            total = total - log_p[j] / len(same) / len(ids)
    return total


def slow(rows: Rows, temperature: float = 0.05) -> tuple[Tensor, Tensor]:
    a, o, *m = rows.features.values()
    pairs = [(a, m[0]), (a, o), (m[0], o)] if m else [(a, o)]
    losses = []
    for ids in (rows.videos, rows.classes):
        both = [slow_direction(x, y, ids, temperature) + slow_direction(y, x, ids, temperature) for x, y in pairs]
        losses.append(sum(both, torch.zeros(())) / 2 / len(pairs))
    return losses[0], losses[1]


def gradients(losses: tuple[Tensor, Tensor], rows: Rows) -> tuple[Tensor, ...]:
    return torch.autograd.grad(0.1 * losses[0] + 0.3 * losses[1], list(rows.features.values()))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 7), st.sampled_from(["ao", "aom"]), st.sampled_from([0.05, 0.5]), st.integers(0, 99))
def test_values_and_gradients_equal_the_formula(number: int, modalities: str, temperature: float, seed: int) -> None:
    given = rows(number, modalities, seed)
    found, expected = cross_sdc(given, temperature), slow(given, temperature)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradients(found, given), gradients(expected, given))


def test_it_passes_gradcheck() -> None:
    given = rows(4)

    def losses(*features: Tensor) -> tuple[Tensor, Tensor]:
        named = dict(zip("aom", features, strict=True))
        return cross_sdc(Rows(named, given.videos, given.classes), temperature=0.5)

    assert torch.autograd.gradcheck(losses, tuple(given.features.values()))


def test_one_process_may_gather() -> None:
    given = rows(6)
    alone, gathered = cross_sdc(given), cross_sdc(given, gather=True)
    torch.testing.assert_close(gathered, alone)
    torch.testing.assert_close(gradients(gathered, given), gradients(alone, given))


def test_no_row_and_a_single_row_cost_nothing() -> None:
    for number in (0, 1):
        given = rows(number)
        losses = cross_sdc(given)
        assert [loss.item() for loss in losses] == [0, 0]
        for gradient in gradients(losses, given):
            torch.testing.assert_close(gradient, torch.zeros(number, 5, dtype=torch.float64))


def test_rows_are_those_of_the_current_model_and_of_the_old_one_for_memory() -> None:
    current, old = rows(4, "ao", seed=1), rows(4, "ao", seed=2)
    from_memory = torch.tensor([False, True, False, True])
    found = contrast_rows(current.features, old.features, from_memory, current.videos, current.classes)
    order = [0, 1, 2, 3, 1, 3]
    assert found.videos.equal(current.videos[order]) and found.classes.equal(current.classes[order])
    for name, vectors in found.features.items():
        assert vectors.equal(torch.cat((current.features[name], old.features[name][[1, 3]])))
    instance, of_class = cross_sdc(found)
    (instance + of_class).backward()
    assert all(vectors.grad is None for vectors in old.features.values())
    assert all((vectors.grad.abs().sum(dim=1) > 0).all() for vectors in current.features.values())


def test_without_memory_or_an_old_model_there_are_only_current_rows() -> None:
    current = rows(4, "ao", seed=1)
    for old in (None, rows(4, "ao", seed=2).features):
        found = contrast_rows(current.features, old, torch.zeros(4, dtype=torch.bool), current.videos, current.classes)
        torch.testing.assert_close(cross_sdc(found), slow(current))


def test_half_precision_is_counted_in_float32_inside_an_autocast_too() -> None:
    given = rows(6)
    halves = Rows(
        {name: 1e4 * x.detach().bfloat16() for name, x in given.features.items()}, given.videos, given.classes
    )
    exact = Rows({name: x.double() for name, x in halves.features.items()}, given.videos, given.classes)
    for x in halves.features.values():
        x.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        found = cross_sdc(halves)
    assert found[0].dtype == torch.float32
    torch.testing.assert_close(found, cross_sdc(exact), check_dtype=False, rtol=1e-5, atol=1e-5)
    assert {gradient.dtype for gradient in gradients(found, halves)} == {torch.bfloat16}


def test_opposite_rows_at_a_low_temperature_and_rows_of_zeros_stay_finite() -> None:
    x = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 0.0]], requires_grad=True)
    given = Rows({"audio": x, "object": -x.detach()}, torch.arange(3), torch.arange(3))
    losses = cross_sdc(given, temperature=1e-3)
    # Rows 0 and 1 pick each other, 2000 nats too sure; row 2 likes all three the same.
    expected = (2 * 2000 + torch.tensor(3.0).log()) / 3
    torch.testing.assert_close(losses, (expected, expected))
    (gradient,) = torch.autograd.grad(losses[0], x)
    assert gradient.isfinite().all()
