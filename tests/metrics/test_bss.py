import math
from typing import Any

import numpy as np
import pytest
import torch
from mir_eval.separation import bss_eval_sources
from torch import Tensor

from cavs_dist.metrics import bss
from cavs_dist.metrics.bss import Bss, bss_eval

# The mir_eval of today announces the end of this module.
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
TAPS = 64


def signals(batch: int, sources: int, length: int, seed: int = 0, colour: int = 30) -> Tensor:
    """Noise, each source through a filter of its own."""
    draw = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, batch * sources, length + colour - 1, generator=draw, dtype=torch.float64)
    filters = torch.randn(batch * sources, 1, colour, generator=draw, dtype=torch.float64)
    return torch.nn.functional.conv1d(noise, filters, groups=batch * sources).view(batch, sources, length)


def separated(references: Tensor, leak: float = 0.3, noise: float = 0.1, seed: int = 1) -> Tensor:
    """Estimates that hear something of the other sources, and noise."""
    draw = torch.Generator().manual_seed(seed)
    sources = references.shape[1]
    mixing = torch.eye(sources) + leak * torch.randn(sources, sources, generator=draw)
    return mixing.double() @ references + noise * torch.randn(references.shape, generator=draw, dtype=torch.float64)


def assert_equal_to_mir_eval(found: Bss, references: Tensor, estimates: Tensor, permute: bool) -> None:
    for mixture in range(len(references)):
        pair = references[mixture].double().numpy(), estimates[mixture].double().numpy()
        *expected, order = bss_eval_sources(*pair, compute_permutation=permute)
        assert found.order[mixture].tolist() == list(order)
        for ours, theirs in zip(found[:3], expected, strict=True):
            finite = np.isfinite(theirs) & ~found.flagged[mixture].numpy()
            assert np.abs(ours[mixture].numpy() - theirs)[finite].max(initial=0) < 1e-6


@pytest.mark.parametrize("permute", [False, True])
@pytest.mark.parametrize(("batch", "sources", "length"), [(3, 2, 3001), (1, 3, 2048), (1, 2, 600)])
def test_equal_to_mir_eval(batch: int, sources: int, length: int, permute: bool) -> None:
    references = signals(batch, sources, length)
    estimates = separated(references)
    if permute:
        estimates = estimates.roll(1, dims=1)
    found = bss_eval(references, estimates, permute=permute)
    assert not found.flagged.any()
    assert_equal_to_mir_eval(found, references, estimates, permute)


def delayed(signals: Tensor, taps: int) -> Tensor:
    """Return the delayed copies of signals [N, L] as columns, [L + D - 1, N D]."""
    copies = [torch.nn.functional.pad(signals, (delay, taps - 1 - delay)) for delay in range(taps)]
    return torch.stack(copies, dim=1).flatten(0, 1).T


def directly(references: Tensor, estimates: Tensor, taps: int) -> Tensor:
    """Return SDR, SIR and SAR, [3, N], of one mixture by orthonormal bases of what is projected on."""
    found = []
    for reference, estimate in zip(references, torch.nn.functional.pad(estimates, (0, taps - 1)), strict=True):
        own, whole = (torch.linalg.qr(delayed(of, taps))[0] for of in (reference[None], references))
        target, signal = own @ (own.T @ estimate), whole @ (whole.T @ estimate)
        ratios = (target, estimate - target), (target, signal - target), (signal, estimate - signal)
        found.append(torch.stack([20 * torch.log10(wanted.norm() / rest.norm()) for wanted, rest in ratios]))
    return torch.stack(found, dim=1)


@pytest.mark.parametrize("taps", [1, 5, 12, 64])
@pytest.mark.parametrize("sources", [2, 4])
def test_equal_to_projections_for_any_number_of_taps(sources: int, taps: int) -> None:
    references = signals(2, sources, 700)
    estimates = separated(references)
    found = torch.stack(bss_eval(references, estimates, taps=taps)[:3], dim=1)
    expected = torch.stack([directly(*pair, taps) for pair in zip(references, estimates, strict=True)])
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)


def test_what_nearly_identical_references_lose_is_given_back() -> None:
    references = signals(1, 1, 3000, colour=1).expand(-1, 2, -1) + 1e-4 * signals(1, 2, 3000, seed=5, colour=1)
    estimates = separated(references)
    found = torch.stack(bss_eval(references, estimates)[:3])[:, 0]
    torch.testing.assert_close(found, directly(references[0], estimates[0], 512), rtol=0, atol=1e-6)


@pytest.mark.parametrize("noise", [1e-2, 1e-6])
def test_flagged_where_the_condition_number_is_large(noise: float) -> None:
    references = signals(1, 2, 3000, colour=1).cumsum(dim=2).cumsum(dim=2)
    references = references / references.std() + noise * signals(1, 2, 3000, seed=5, colour=1)
    condition = torch.linalg.cond(delayed(references[0] / references[0].norm(dim=1, keepdim=True), TAPS)).square()
    assert condition < 1e8 or condition > 1e10
    found = bss_eval(references, separated(references), taps=TAPS)
    assert found.flagged.tolist() == [[bool(condition > 1e10)] * 2]


def test_no_gradient_is_kept_and_threads_stay_as_they_were() -> None:
    references, threads = signals(1, 2, 300), torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        bss_eval(references, references, taps=4)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)
    assert not bss_eval(references, references.clone().requires_grad_(), taps=4).sdr.requires_grad


@pytest.mark.parametrize("tone", [0.05, 0.2])
@pytest.mark.parametrize("noise", [1e-3, 1e-1])
def test_narrow_bands_are_equal_where_they_are_not_flagged(tone: float, noise: float) -> None:
    time = torch.arange(6000, dtype=torch.float64)
    references = torch.stack([torch.sin(tone * time), torch.sin((tone + 0.01) * time) * torch.cos(1e-3 * time)])[None]
    references = references + noise * signals(1, 2, 6000, colour=1)
    estimates = separated(references, noise=1e-3)
    assert_equal_to_mir_eval(bss_eval(references, estimates), references, estimates, permute=False)


def test_one_source_alone_has_no_interference() -> None:
    references = signals(1, 1, 2000)
    estimates = separated(references)
    found = bss_eval(references, estimates)
    sdr, _, sar, _ = bss_eval_sources(references[0].numpy(), estimates[0].numpy())
    assert found.sdr.item() == pytest.approx(sdr[0]) and found.sar.item() == pytest.approx(sar[0])
    assert found.sir.item() == 200 and found.flagged.all()


def test_pieces_and_batches_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    references = signals(5, 2, 4000)
    estimates = separated(references)
    whole = bss_eval(references, estimates, taps=TAPS, permute=True)
    monkeypatch.setattr(bss, "PIECE", 512)
    monkeypatch.setattr(bss, "TOGETHER", 2 * references[0].numel())
    cut = bss_eval(references, estimates, taps=TAPS, permute=True)
    for ours, theirs in zip(cut, whole, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-9)


def test_no_figure_depends_on_scale_or_type() -> None:
    references = signals(1, 2, 3000).float()
    estimates = separated(references.double()).float()
    loud = bss_eval(references * torch.tensor([1e-6, 1e6])[:, None], estimates * 1e5, taps=TAPS)
    plain = bss_eval(references, estimates, taps=TAPS)
    for ours, theirs in zip(loud[:3], plain[:3], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-3)


def corner_cases() -> dict[str, tuple[Tensor, Tensor]]:
    references = signals(1, 2, 3000)
    estimates = separated(references)
    twice = references[:, :1].expand(-1, 2, -1).clone()
    near = twice + 1e-9 * signals(1, 2, 3000, seed=5)
    mixture = references.sum(dim=1, keepdim=True).expand(-1, 2, -1)
    hushed, mute = references.clone(), estimates.clone()
    hushed[:, 1], mute[:, 1] = 0, 0
    return {
        "identical references": (twice, estimates),
        "nearly identical references": (near, estimates),
        "perfect": (references, references.clone()),
        "exact mixtures": (references, mixture),
        "a silent reference": (hushed, estimates),
        "a silent estimate": (references, mute),
        "nothing at all": (torch.zeros_like(references), torch.zeros_like(references)),
    }


@pytest.mark.parametrize("permute", [False, True])
@pytest.mark.parametrize("name", corner_cases())
def test_what_cannot_be_told_is_finite_and_flagged(name: str, permute: bool) -> None:
    found = bss_eval(*corner_cases()[name], taps=TAPS, permute=permute)
    assert all(values.isfinite().all() and (values.abs() <= 200).all() for values in found[:3])
    assert found.flagged[:, 1].all()


def test_silence_costs_its_own_source_alone() -> None:
    references = signals(1, 2, 3000)
    estimates = separated(references)
    expected = bss_eval(references, estimates, taps=TAPS)
    estimates[:, 1] = 0
    found = bss_eval(references, estimates, taps=TAPS)
    assert found.flagged.tolist() == [[False, True]]
    for ours, theirs in zip(found[:3], expected[:3], strict=True):
        assert ours[0].tolist() == [pytest.approx(theirs[0, 0].item()), -200]


def test_the_larger_mean_sir_decides_the_order() -> None:
    references = signals(2, 3, 3000)
    estimates = separated(references, leak=0.05)
    for order in ([2, 0, 1], [1, 0, 2]):
        found = bss_eval(references, estimates[:, order], taps=TAPS, permute=True)
        assert found.order.tolist() == [[order.index(source) for source in range(3)]] * 2
        torch.testing.assert_close(found.sdr, bss_eval(references, estimates, taps=TAPS).sdr)


@pytest.mark.parametrize(
    ("references", "estimates", "said"),
    [
        (torch.ones(2, 3), torch.ones(2, 3), r"shapes \(2, 3\) and \(2, 3\)"),
        (torch.ones(1, 2, 9), torch.ones(1, 3, 9), r"expected the same \[B, N, L\] twice"),
        (torch.ones(1, 2, 9), torch.full((1, 2, 9), math.nan), "not finite"),
    ],
)
def test_what_does_not_fit_is_refused(references: Any, estimates: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        bss_eval(references, estimates)


def test_no_mixtures() -> None:
    found = bss_eval(torch.zeros(0, 2, 100), torch.zeros(0, 2, 100))
    assert all(values.shape == (0, 2) for values in found)
