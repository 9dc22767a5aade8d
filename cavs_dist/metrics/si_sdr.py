"""Scale-invariant signal-to-distortion ratio (Le Roux et al., arXiv 1811.02508)."""

from torch import Tensor

# In dB: values lie between -LIMIT and LIMIT, which are those of no likeness and of no distortion.
LIMIT = 100.0
# What is left of the energy of a constant signal without its mean, by rounding in float64, lies below this share.
SILENT = 1e-20


def si_sdr(references: Tensor, estimates: Tensor) -> Tensor:
    """Return the SI-SDR of estimated waveforms in dB, [B, N] float64; both [B, N, L]. The more, the better.

    10 log10(|a s|^2 / |a s - e|^2) with a = <e, s> / |s|^2, for a reference s and an estimate e without their means.
    Neither the scale of s nor that of e matters. Finite: cut to +-100 dB; -100 where s or e is silent or constant.
    """
    s, e = references.double(), estimates.double()
    silent = _is_silent(s) | _is_silent(e)
    s, e = _without_mean(s), _without_mean(e)
    target = (_energy(s, e) / _energy(s, s).where(~silent, 1))[..., None] * s
    distortion = _energy(target - e, target - e)
    # Where there is no distortion this is infinite, and 0 where there is no likeness.
    value = 10 * (_energy(target, target) / distortion).log10()
    return value.clamp(min=-LIMIT, max=LIMIT).where(~silent, -LIMIT)


def _without_mean(signals: Tensor) -> Tensor:
    return signals - signals.mean(dim=-1, keepdim=True)


def _energy(first: Tensor, second: Tensor) -> Tensor:
    return (first * second).sum(dim=-1)


def _is_silent(signals: Tensor) -> Tensor:
    centred = _without_mean(signals)
    return _energy(centred, centred) <= SILENT * _energy(signals, signals)
