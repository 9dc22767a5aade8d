from collections.abc import Iterable
from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.data.stream import training_updates
from cavs_dist.errors import InputError
from cavs_dist.memory.rehearsal import by_old_class
from cavs_dist.order import order_of_config, order_of_run
from cavs_dist.run_folder import read_state
from cavs_dist.setting import open_setting

Read = dict[tuple[int, int], tuple[list[str], list[str]]]


def read(lines: Iterable[str]) -> Read:
    """(update, rank) -> keys of the stream, keys of exemplars."""
    header, *rows = lines
    assert header.split("\t")[:3] == ["update", "rank", "keys"]
    fields = [(*row.split("\t"), "") for row in rows]
    return {(int(update), int(rank)): (keys.split(), more.split()) for update, rank, keys, more, *_ in fields}


def by_update(read: Read) -> dict[int, tuple[list[str], list[str]]]:
    updates: dict[int, tuple[list[str], list[str]]] = {}
    for (update, _), (keys, exemplars) in read.items():
        stream, memory = updates.setdefault(update, ([], []))
        stream.extend(keys)
        memory.extend(exemplars)
    return {update: (sorted(stream), sorted(memory)) for update, (stream, memory) in updates.items()}


@pytest.mark.parametrize("stage", [0, 1])
def test_any_number_of_ranks_reads_the_same_clips(tiny: str, stage: int) -> None:
    orders = [
        by_update(read(order_of_config(tiny, ["optim.batch=8"], stage, ranks, first=1, updates=5)))
        for ranks in (1, 2, 4)
    ]
    assert list(orders[0]) == [1, 2, 3, 4, 5]
    assert orders[0] == orders[1] == orders[2]
    assert all(len(stream) == (8, 4)[stage] for stream, _ in orders[0].values())


def test_the_order_is_what_training_reads(finished: Path) -> None:
    setting = open_setting(load_run(str(finished / "config.yaml")))
    for stage, worlds in zip(setting.stages, ((1, 2, 4), (1, 2)), strict=True):
        extra = by_old_class(read_state(finished / f"stages/{stage.index}/begin.pt")["pairs"])
        clips = setting.stage_clips(stage, setting.method, setting.memory_before(stage), extra)
        for world in worlds:
            told = read(order_of_run(finished, stage.index, world, 0, 4))
            for rank in range(world):
                for update in training_updates(clips, 0, 4, rank, world, 4):
                    (batch,) = update.batches
                    flags = batch.from_memory.tolist()
                    stream = [key for key, rehearsed in zip(batch.keys, flags, strict=True) if not rehearsed]
                    memory = [key for key, rehearsed in zip(batch.keys, flags, strict=True) if rehearsed]
                    assert told[update.number, rank] == (stream, memory)


def test_a_run_and_its_config_agree_on_the_stream(tiny: str, finished: Path) -> None:
    for stage in (0, 1):
        of_run = read(order_of_run(finished, stage, 2, 0, 6))
        of_config = read(order_of_config(tiny, [], stage, 2, 0, 6))
        assert {place: stream for place, (stream, _) in of_run.items()} == {
            place: stream for place, (stream, _) in of_config.items()
        }
    assert all(len(memory) == 1 for _, memory in of_run.values())


def test_what_is_not_there_is_refused(tiny: str, finished: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no stage 2: this curriculum has stages 0 to 1"):
        list(order_of_config(tiny, [], 2, 1, 0, 1))
    with pytest.raises(InputError, match="3 ranks do not divide the 4 slots"):
        list(order_of_config(tiny, [], 0, 3, 0, 1))
    (tmp_path / "config.yaml").write_text((finished / "config.yaml").read_text())
    with pytest.raises(InputError, match="has not begun stage 1"):
        list(order_of_run(tmp_path, 1, 1, 0, 1))
