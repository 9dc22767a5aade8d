from dataclasses import fields
from pathlib import Path

import pytest

from cavs_dist.errors import InputError
from cavs_dist.scaling.rates import SHEETS, SOURCES, ZERO_IS_UNKNOWN, Rates, read_rates, split_overrides


def test_what_is_given_goes_before_what_is_measured_before_what_is_assumed(tmp_path: Path) -> None:
    file = tmp_path / "rates.yaml"
    file.write_text("inside: 2e9\nlatency: 1e-6\n")
    known = read_rates(file, ["rates.latency=3e-6"], {"inside": 1.0, "decode": 50.0})
    assert (known.rates.inside, known.rates.latency, known.rates.decode) == (2e9, 3e-6, 50.0)
    assert known.rates.between == Rates().between
    assert known.origins["inside"] == f"given by {file}"
    assert known.origins["latency"] == "given by rates.latency=3e-6"
    assert known.origins["decode"] == "measured on this machine"
    assert known.assumptions(["node"]) == ["rates.node = 8, assumed (a DGX H100 or A100)"]


def test_another_device_has_another_sheet() -> None:
    assert read_rates(None, ["rates.device=a100"], {}).rates.flops16 == SHEETS["a100"]["flops16"] == 312e12
    assert read_rates(None, ["rates.device=a100", "rates.flops16=1"], {}).rates.flops16 == 1


def test_every_assumed_number_has_a_source() -> None:
    assumed = {item.name for item in fields(Rates) if getattr(Rates(), item.name)} - {"device"}
    assert assumed <= set(SOURCES) and set(ZERO_IS_UNKNOWN) <= {item.name for item in fields(Rates)}


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("rates.insides=1", "unknown key insides: did you mean inside?"),
        ("rates.inside=fast", "rates.inside=fast"),
        ("rates.inside=0", "rates.inside is 0.0; expected more than 0"),
        ("rates.update_seconds=-1", "rates.update_seconds is -1.0; expected 0 or more"),
        ("rates.latency=.inf", "rates.latency=.inf"),
        ("rates.node=0", "rates.node is 0; expected more than 0"),
        ("rates.device=tpu", "rates.device=tpu"),
        ("rates.inside.x=1", "rates.inside.x=1"),
    ],
)
def test_what_is_no_rate_is_refused(override: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace("?", r"\?").replace(".", r"\.")):
        read_rates(None, [override], {})


def test_overrides_of_rates_are_no_overrides_of_the_run() -> None:
    assert split_overrides(["optim.lr=1", "rates.node=4", "ratesx=1"]) == (["optim.lr=1", "ratesx=1"], ["rates.node=4"])
