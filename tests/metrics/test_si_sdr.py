import math

import torch

from cavs_dist.metrics.si_sdr import si_sdr


def signals(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64)


def test_it_equals_the_formula() -> None:
    torch.manual_seed(0)
    references = signals(3, 2, 50) + 1
    estimates = references * torch.tensor([0.5, -3]).view(2, 1) + torch.tensor([0.01, 1, 30]).view(3, 1, 1) * signals(
        3, 2, 50
    )
    found = si_sdr(references, estimates)
    for b in range(3):
        for n in range(2):
            s, e = (x[b, n] - sum(x[b, n]) / 50 for x in (references, estimates))
            scale = sum(s * e) / sum(s * s)
            ratio = sum((scale * s) ** 2) / sum((scale * s - e) ** 2)
            assert math.isclose(found[b, n].item(), 10 * math.log10(ratio), rel_tol=1e-9)
    assert found[0].min() > 20 and found[2].max() < 0


def test_neither_scale_nor_mean_matters() -> None:
    torch.manual_seed(0)
    references, estimates = signals(1, 1, 40), signals(1, 1, 40)
    torch.testing.assert_close(si_sdr(1e-3 * references - 2, -7e4 * estimates + 5), si_sdr(references, estimates))


def test_silence_constants_perfection_and_no_likeness_are_finite() -> None:
    phase = torch.linspace(0, 20 * math.pi, 1001, dtype=torch.float64)[:-1]
    sine, cosine, silence = phase.sin(), phase.cos(), torch.zeros_like(phase)
    # Without its mean, rounded, this is another constant: 3e-17.
    constant = torch.full_like(phase, 0.1)
    references = torch.stack([sine, silence, sine, silence, constant, constant, sine, sine])
    estimates = torch.stack([sine / 3, sine, silence, silence, constant, sine, constant, cosine])
    found = si_sdr(references[None], estimates[None])[0]
    assert found[:7].tolist() == [100, -100, -100, -100, -100, -100, -100]
    assert found[7] == -100


def test_halves_are_counted_in_float64() -> None:
    torch.manual_seed(0)
    references, estimates = signals(1, 2, 40).half(), 300 * signals(1, 2, 40).half()
    assert si_sdr(references, estimates).equal(si_sdr(references.double(), estimates.double()))
