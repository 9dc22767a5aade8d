import json

import pytest

from cavs_dist.config import load_run
from cavs_dist.scaling.footprint import total
from cavs_dist.scaling.made_up import made_up_setting
from cavs_dist.scaling.outlook import Outlook, look_ahead
from cavs_dist.scaling.rates import read_rates


def look(tiny: str, *overrides: str, gpus: tuple[int, ...] = (1, 2, 8), weak: bool = False) -> Outlook:
    known = read_rates(None, ["rates.clip_frames=2"], {})
    setting = made_up_setting(load_run(tiny, ["data.path=none", "optim.batch=8", *overrides]), (64, 64), known.rates)
    return look_ahead(setting, known, gpus, weak)


def test_a_row_that_fits_keeps_the_batch_and_another_takes_the_nearest(tiny: str) -> None:
    one, two, eight = look(tiny).rows
    assert [row.batch for row in (one, two, eight)] == [8, 8, 16]
    assert [bool(row.uneven) for row in (one, two, eight)] == [False, False, True]
    assert one.updates == two.updates > eight.updates
    assert one.sent == one.merged == 0 < two.merged < eight.merged
    assert one.efficiency == 1 > two.efficiency
    assert two.memory[1]["activations"] == pytest.approx(one.memory[1]["activations"] / 2)


def test_weak_scaling_lets_the_batch_grow_from_the_first_number(tiny: str) -> None:
    outlook = look(tiny, gpus=(2, 4, 16), weak=True)
    assert [row.batch for row in outlook.rows] == [8, 16, 64]
    assert len({row.memory[1]["activations"] for row in outlook.rows}) == 1


def test_micro_batches_spare_activations(tiny: str) -> None:
    whole, cut = (look(tiny, f"engine.micro_batch={micro}").rows[0] for micro in (0, 2))
    assert cut.memory[1]["activations"] == whole.memory[1]["activations"] / 4


def test_the_most_ranks_divide_stream_and_memory_slots(tiny: str) -> None:
    assert look(tiny).most == 4
    assert look(tiny, "memory.select=none").most == 8


def test_exemplars_are_read_or_sent(tiny: str) -> None:
    read, sent = look(tiny).rows[1], look(tiny, "memory.payload=exchange").rows[1]
    assert read.rehearsed == 4 * 600_000
    assert sent.rehearsed == 600_000


def test_it_is_plain_values_for_json(tiny: str) -> None:
    outlook = look(tiny)
    tree = json.loads(json.dumps(outlook.as_tree()))
    assert tree["parameters"] == outlook.size.parameters
    assert [row["ranks"] for row in tree["rows"]] == [1, 2, 8]
    assert tree["rows"][1]["memory_total"]["1"] == total(outlook.rows[1].memory[1])
    assert tree["rows"][1]["forecast"]["throughput"] == outlook.rows[1].forecast.throughput
    assert tree["known"]["origins"]["clip_frames"] == "given by rates.clip_frames=2"
