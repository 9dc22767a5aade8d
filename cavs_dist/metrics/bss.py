"""BSS-eval version 3 of whole batches: SDR, SIR and SAR (Vincent, Gribonval and Fevotte, IEEE TASLP 14(4), 2006).

An estimate E is cut into its projection T on the delayed copies of its own reference (target), what its projection P on
the delayed copies of all references adds to that (interference), and the rest (artifacts), `taps` delays each:
SDR = |T|^2 / |E - T|^2, SIR = |T|^2 / |P - T|^2, SAR = |P|^2 / |E - P|^2, in dB.

Letters: B mixtures of N sources, L samples, D delays, F frequencies. The filters that project solve block Toeplitz
systems of correlations, in float64, by the block Levinson recursion: about N^3 D^2 operations, where a Cholesky factor
takes N^3 D^3. Energies are those of the signals that these filters make, not differences of inner products: what a
filter is off by enters squared.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
import torch.nn.functional as F
from scipy.optimize import linear_sum_assignment
from torch import Tensor

LIMIT = 200.0  # dB
TRUSTED = 80.0  # dB
CONDITION = 1e10
# Added to the energy of every reference, which is 1, where references cannot be told apart.
RIDGE = 1e-10
# Samples that are transformed at once, unless delays are too many: short enough for a cache.
PIECE = 2**12
# Delays in a block: larger blocks are fewer steps of more operations. Measured on 2 cores of an AMD EPYC.
BLOCK = 8
# Samples of all sources of the mixtures that are evaluated at once.
TOGETHER = 2**22


class Bss(NamedTuple):
    """What estimates are worth, [B, N] each, in the order of their references.

    sdr, sir, sar: float64, dB, within +-200. flagged: bool, where a figure is finite but not to be relied on: one is
    above 80 dB, a signal is silent, or the correlations' condition number is above 1e10. order: int64, the estimate
    that goes with each reference.
    """

    sdr: Tensor
    sir: Tensor
    sar: Tensor
    flagged: Tensor
    order: Tensor


@torch.no_grad()
def bss_eval(references: Tensor, estimates: Tensor, *, permute: bool = False, taps: int = 512) -> Bss:
    """Return SDR, SIR and SAR of estimates [B, N, L] against references [B, N, L], floats of any type, D = taps.

    Where nothing is flagged: equal to `bss_eval_sources` of mir_eval. permute: match estimates with references so that
    the mean SIR is largest, as there; else estimate n goes with reference n. A silent estimate has -200 dB, and so has
    what goes with a silent reference. Memory is bounded for any B, and for any L but for a mixture in float64.
    Raises ValueError where shapes do not fit, or a signal's energy is not finite in float64.
    """
    if references.ndim != 3 or references.shape != estimates.shape:
        shapes = f"{tuple(references.shape)} and {tuple(estimates.shape)}"
        raise ValueError(f"references and estimates have shapes {shapes}; expected the same [B, N, L] twice")
    if not len(references):
        nothing = references.new_zeros(references.shape[:2], dtype=torch.float64)
        return Bss(nothing, nothing, nothing, nothing.bool(), nothing.long())
    sources, length = references.shape[1:]
    together = max(1, TOGETHER // (sources * max(length, 2 * BLOCK * sources * taps)))
    parts = zip(torch.split(references, together), torch.split(estimates, together), strict=True)
    return Bss(*map(torch.cat, zip(*(_evaluate(*part, permute, taps) for part in parts), strict=True)))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Compute in this thread alone: sharing out thousands of small products costs more than it saves."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@_one_thread()
def _evaluate(references: Tensor, estimates: Tensor, permute: bool, taps: int) -> Bss:
    (references, hushed), (estimates, mute) = _unit(references), _unit(estimates)
    of_references, of_estimates = _correlate(references, estimates, taps)
    of_references[..., taps - 1].diagonal(dim1=1, dim2=2).add_(hushed)  # silence is made regular
    whole, doubtful = _filters(of_references, of_estimates)
    own = _own_filters(of_references, of_estimates, permute)
    target, interference, distortion, signal, artifacts = _energies(references, estimates, whole, own)
    sdr, sir = _decibels(target, distortion), _decibels(target, interference)
    sar = _decibels(signal, artifacts).expand_as(sir)
    order = _matching(sir) if permute else torch.arange(sir.shape[1], device=sir.device).expand(len(sir), -1)
    if permute:
        sdr, sir, sar = (each.gather(1, order[:, None])[:, 0] for each in (sdr, sir, sar))
    else:
        sdr, sir, sar = sdr[..., 0], sir[..., 0], sar[..., 0]
    silent = hushed | mute.gather(1, order)
    sdr, sir, sar = (each.masked_fill(silent, -LIMIT) for each in (sdr, sir, sar))
    untrusted = torch.stack((sdr, sir, sar)).amax(dim=0) > TRUSTED
    return Bss(sdr, sir, sar, silent | untrusted | doubtful[:, None], order)


def _unit(signals: Tensor) -> tuple[Tensor, Tensor]:
    """Scale every signal to length 1, on which no figure depends; silence stays, and is told, [B, N] bool."""
    length = torch.linalg.vector_norm(signals, dim=2, dtype=torch.float64)
    if not length.isfinite().all():
        raise ValueError("references or estimates hold signals whose energy is not finite; expected finite samples")
    return signals / length.where(length > 0, 1.0)[..., None], length == 0


def _size(length: int, taps: int) -> int:
    """Return the FFT's length, a power of two: room for a piece and D - 1 samples before and after it."""
    return 1 << (min(max(PIECE, 8 * taps), length + 3 * taps) - 1).bit_length()


def _pieces(signals: Tensor, taps: int) -> Iterator[tuple[slice, Tensor]]:
    """Cut the time in which delayed signals [B, N, L] sound: spans, and spectra [B, N, F] with D - 1 samples around."""
    size, margin = _size(signals.shape[2], taps), taps - 1
    step = size - 2 * margin
    for start in range(0, signals.shape[2] + margin, step):
        around = signals[..., max(start - margin, 0) : start + step + margin]
        yield slice(start, start + step), torch.fft.rfft(F.pad(around, (max(margin - start, 0), 0)), size)


def _correlate(references: Tensor, estimates: Tensor, taps: int) -> tuple[Tensor, Tensor]:
    """Return sum_t x(t) s(t - delay), by x, then s: s a reference, x a reference first, then an estimate.

    The former are [B, N, N, 2 D - 1], delays from D - 1 down to 1 - D; the latter [B, N, N, D], delays from 0 up.
    """
    size = _size(references.shape[2], taps)
    batch, sources, _ = references.shape
    total = references.new_zeros(batch, 2 * sources, sources, size // 2 + 1, dtype=torch.complex128)
    for span, spectra in _pieces(references, taps):
        signals = torch.cat((references[..., span], estimates[..., span]), dim=1)
        against = torch.fft.rfft(signals, size).conj().resolve_conj()
        total.addcmul_(spectra[:, None], against[:, :, None])
    of_references, of_estimates = torch.fft.irfft(total, size).tensor_split(2, dim=1)
    return of_references[..., : 2 * taps - 1], of_estimates[..., :taps].flip(3)


def _filters(correlations: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
    """Return the filters of all references together, [B, N, N, D] by estimate and reference; what is doubtful, [B].

    Doubtful: the condition number, which also decides what is solved a second time for what the first left over, is
    above CONDITION, nearly. The inverse's norm is at least what some vector, the probe, grows by, and not often more
    than sqrt(N D) times that; in between another step of power iteration tells. The matrix's own norm is at most its
    trace, N D, as every diagonal entry is 1. Correlations that cannot be solved get RIDGE, in place.
    """
    batch, sources, _, taps = products.shape
    size = sources * taps
    probe = torch.arange(size, device=products.device).double().square().sin().view(1, 1, sources, taps)
    right = torch.cat((products, probe.expand(batch, -1, -1, -1)), dim=1)
    found, failed = _solve(correlations, right)
    if failed.any():
        correlations[..., taps - 1].diagonal(dim1=1, dim2=2).add_(RIDGE * failed[:, None])
        found[failed] = _solve(correlations[failed], right[failed])[0]
    grown = found[:, -1].norm(dim=(1, 2)) / probe.norm()
    again = grown * size**1.5 >= CONDITION
    if again.any():
        known, first = correlations[again], found[again]
        left = right[again] - _products(known, first)
        left[:, -1] = first[:, -1]
        second, _ = _solve(known, left)
        found[again] += second
        grown[again] = second[:, -1].norm(dim=(1, 2)) / first[:, -1].norm(dim=(1, 2))
    return found[:, :-1], failed | (grown * size >= CONDITION)


def _products(correlations: Tensor, filters: Tensor) -> Tensor:
    """Return the products of all delayed references with the signals that filters make, both [B, X, N, D]."""
    taps = filters.shape[3]
    spectra = torch.fft.rfft(filters, 3 * taps).conj()[:, :, :, None] * torch.fft.rfft(correlations, 3 * taps)[:, None]
    return torch.fft.irfft(spectra.sum(dim=2), 3 * taps)[..., :taps].flip(3)


def _own_filters(correlations: Tensor, products: Tensor, permute: bool) -> Tensor:
    """Return the filters of one reference alone: of each estimate's own, [B, N, 1, D], of all if `permute`, else."""
    batch, sources, _, taps = products.shape
    alone = correlations.diagonal(dim1=1, dim2=2).permute(0, 2, 1).reshape(batch * sources, 1, 1, -1)
    by_reference = products.transpose(1, 2) if permute else products.diagonal(dim1=1, dim2=2).permute(0, 2, 1)
    found = _solve(alone, by_reference.reshape(batch * sources, -1, 1, taps))[0]
    return found.view(batch, sources, -1, taps).transpose(1, 2) if permute else found.view(batch, sources, 1, taps)


def _solve(correlations: Tensor, products: Tensor) -> tuple[Tensor, Tensor]:
    """Return filters [B, X, N, D] of signals that have these products with all delayed references; what failed, [B].

    The block Levinson recursion (Akaike, SIAM J. Appl. Math. 24(2), 1973). A block is m delays of every source, p = N m
    unknowns. After k blocks: `forward` predicts the first of them from the others, `backward` the last, filters are
    right for the first k blocks, and `errors` are what backward and forward predictions leave, [2, B, p, p].
    """
    batch, signals, sources, taps = products.shape
    delays = math.gcd(taps, BLOCK)
    size, count = sources * delays, taps // delays
    # Of block I and block J from left to right: lag I - J from count - 1 down to 0.
    lagged = correlations[..., : taps + delays - 1].unfold(3, taps, 1).flip(3)
    lagged = lagged.reshape(batch, sources, size, count, delays).permute(0, 2, 3, 1, 4).flatten(2)
    wanted = products.reshape(batch, signals, sources, count, delays).permute(3, 0, 1, 2, 4).flatten(3)
    grown = lagged.new_zeros(batch, size + signals, count * size)
    forward, filters = grown[:, :size], grown[:, size:]
    backward = torch.zeros_like(forward)
    for each in (forward[..., :size], backward[..., -size:]):
        each.diagonal(dim1=1, dim2=2).fill_(1)
    errors = lagged[None, ..., -size:].repeat(2, 1, 1, 1)
    factors, failed = torch.linalg.cholesky_ex(errors)
    filters[..., :size] = torch.cholesky_solve(wanted[0].mT, factors[0]).mT
    for block in range(1, count):
        known = block * size
        found = grown[..., :known] @ lagged[..., -known - size : -size].mT
        missed = torch.stack((found[:, :size].mT, found[:, :size]))
        reflected = torch.cholesky_solve(missed, factors)
        change = reflected[0].mT @ backward[..., -known:]
        backward[..., -known - size : -size] -= reflected[1].mT @ forward[..., :known]
        forward[..., size : known + size] -= change
        errors = errors - missed @ reflected.flip(0)
        factors, info = torch.linalg.cholesky_ex(errors)
        failed = failed | info
        added = torch.cholesky_solve((wanted[block] - found[:, size:]).mT, factors[0])
        filters[..., : known + size] += added.mT @ backward[..., -known - size :]
    filters = filters.reshape(batch, signals, count, sources, delays).transpose(2, 3)
    return filters.reshape(products.shape), (failed > 0).any(dim=0)


def _energies(references: Tensor, estimates: Tensor, whole: Tensor, own: Tensor) -> tuple[Tensor, ...]:
    """Return |T|^2, |P - T|^2 and |E - T|^2 as `own` is, [B, N, N or 1], and |P|^2 and |E - P|^2, [B, N, 1]."""
    taps = own.shape[3]
    size = _size(references.shape[2], taps)
    whole, own = torch.fft.rfft(whole, size), torch.fft.rfft(own, size)
    totals = [references.new_zeros(*own.shape[:2], sources) for sources in (*[own.shape[2]] * 3, 1, 1)]
    for span, spectra in _pieces(references, taps):
        inside = slice(taps - 1, size - taps + 1)
        of = spectra[:, None] if own.shape[2] > 1 else spectra[:, :, None]
        target = torch.fft.irfft(own * of, size)[..., inside]
        signal = torch.fft.irfft((whole * spectra[:, None]).sum(dim=2, keepdim=True), size)[..., inside]
        estimate = estimates[:, :, None, span]
        estimate = F.pad(estimate, (0, target.shape[3] - estimate.shape[3]))
        parts = (target, signal - target, estimate - target, signal, estimate - signal)
        for total, part in zip(totals, parts, strict=True):
            total += torch.linalg.vector_norm(part, dim=3).square()
    return tuple(totals)


def _decibels(wanted: Tensor, unwanted: Tensor) -> Tensor:
    """Return the ratio in dB, within +-LIMIT; -LIMIT for what is not there at all, and for what has no solution."""
    ratio = 10 * torch.log10(wanted / unwanted)
    return torch.where(wanted > 0, ratio, -LIMIT).nan_to_num(-LIMIT).clamp(-LIMIT, LIMIT)


def _matching(sir: Tensor) -> Tensor:
    """Return [B, N]: the estimate of each reference, so that the mean SIR is largest; sir: [B, estimate, reference]."""
    order = [linear_sum_assignment(one.T, maximize=True)[1].tolist() for one in sir.cpu().numpy()]
    return torch.tensor(order, dtype=torch.int64, device=sir.device).view(len(sir), sir.shape[2])
