import io
from pathlib import Path

import pytest
from rich.console import Console

from cavs_dist.config import load_run
from cavs_dist.scaling.made_up import made_up_setting
from cavs_dist.scaling.outlook import look_ahead
from cavs_dist.scaling.rates import read_rates
from cavs_dist.scaling.text import amount, gpus, number, print_outlook


def printed(tiny: str, *rates: str, gpus: tuple[int, ...] = (1, 2, 8)) -> str:
    known = read_rates(None, rates, {})
    setting = made_up_setting(load_run(tiny, ["data.path=none", "data.frames=2"]), (64, 64), known.rates)
    console = Console(width=1000, record=True, file=io.StringIO())
    print_outlook(look_ahead(setting, known, gpus, weak=False), setting, console)
    return console.export_text()


def test_every_number_names_what_it_rests_on(tiny: str) -> None:
    text = printed(tiny, "rates.storage=2e9")
    assert "rates.storage = 2e+09, given by rates.storage=2e9" in text
    assert "rates.flops16 = 9.89e+14, assumed (NVIDIA's data sheet" in text
    assert "counted on the meta device" in text
    timed = printed(tiny, "rates.slot_seconds=0.5")
    assert "rates.slot_seconds = 0.5, given by" in timed and "rates.flops16" not in timed


def test_what_does_not_fit_is_said(tiny: str) -> None:
    text = printed(tiny, gpus=(1, 8))
    assert "8 GPUs: 8 ranks do not divide the 4 slots of an update: set optim.batch to 8." in text
    assert "Its row is for optim.batch=16." in text
    assert "do not fit into" not in text
    small = printed(tiny, "rates.device_bytes=1e6")
    assert "1 GPU: " in small and "do not fit into 1 MB; nor does a slot" in small
    assert "at most 2 slots a GPU do at once: set engine.micro_batch to 2 or less" in printed(
        tiny, "rates.device_bytes=2.022e9"
    )


def test_marks_in_the_name_of_a_file_are_printed_as_they_are(tiny: str, tmp_path: Path) -> None:
    file = tmp_path / "[bold]rates[red].yaml"
    file.write_text("node: 4\n")
    known = read_rates(file, [], {})
    setting = made_up_setting(load_run(tiny, ["data.path=none", "data.frames=2"]), (64, 64), known.rates)
    console = Console(width=1000, record=True, file=io.StringIO())
    print_outlook(look_ahead(setting, known, (1,), weak=False), setting, console)
    assert f"rates.node = 4, given by {file}" in console.export_text()


def test_where_it_stops_is_said(tiny: str) -> None:
    assert "beyond, the batch ends" in printed(tiny, "rates.slot_seconds=100")
    assert "goes into read" in printed(tiny, "rates.storage=1e6")


@pytest.mark.parametrize(
    ("size", "text"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1 KB"), (40_320, "40.3 KB"), (2e9, "2 GB"), (3e16, "3e+04 TB")],
)
def test_bytes_have_three_digits_and_a_unit(size: float, text: str) -> None:
    assert amount(size) == text


def test_numbers_read_well() -> None:
    assert (number(0.0123), number(99.44), number(12_345.6)) == ("0.0123", "99.4", "12,346")
    assert (gpus(1), gpus(1024)) == ("1 GPU", "1,024 GPUs")
