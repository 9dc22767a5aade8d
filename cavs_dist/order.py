"""The order of a run as text: which rank reads which clips in which update, from the index alone."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from cavs_dist.config import load_run
from cavs_dist.data.order import Slot, refuse_uneven, share_of_rank
from cavs_dist.data.rehearse import Plan, Rehearsal
from cavs_dist.data.split import Split
from cavs_dist.errors import InputError
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.memory.rehearsal import by_old_class
from cavs_dist.run_folder import read_state
from cavs_dist.setting import Setting, open_setting, places


def order_of_config(
    name: str, overrides: Sequence[str], stage: int, ranks: int, first: int, updates: int
) -> Iterator[str]:
    """Yield TSV lines, `update rank keys`: the stream clips that each rank reads in `updates` updates from `first` on.

    Where a memory rehearses by `ratio`, its slots stay out: which exemplars fill them, only a run knows (and under
    `concat` which places of the order they take). What clips are mixed with stays out too: it may be an exemplar.
    """
    setting = open_setting(load_run(name, overrides))
    refuse_no_stage(setting, stage)
    clips = setting.clips_of(setting.stages[stage], setting.method.scope)
    plan = replace(
        setting.plan(setting.stages[stage], clips, ExemplarMemory(), {}),
        memory_slots=setting.reserved_slots(setting.stages[stage]),
    )
    return _lines(plan, clips, ranks, range(first, first + updates), None)


def order_of_run(folder: Path, stage: int, ranks: int, first: int, updates: int) -> Iterator[str]:
    """Yield TSV lines, `update rank keys exemplars`: as `order_of_config`, with the exemplars that a run draws.

    These stay out where collisions are counted online: which they are, only training knows. Raises InputError where the
    run has not begun the stage.
    """
    setting = open_setting(load_run(str(folder / "config.yaml"), [f"out={folder}"]))
    refuse_no_stage(setting, stage)
    begun = setting.folder.product(stage, "begin.pt")
    if not begun.exists():
        raise InputError(f"{folder} has not begun stage {stage}: which exemplars it draws is not known yet")
    clips = setting.clips_of(setting.stages[stage], setting.method.scope)
    memory, extra = setting.memory_before(setting.stages[stage]), by_old_class(read_state(begun)["pairs"])
    plan = setting.plan(setting.stages[stage], clips, memory, extra)
    known = setting.online_counts(setting.stages[stage], plan) is None
    exemplars = [key for _, key in places(memory)] if known else None
    return _lines(plan, clips, ranks, range(first, first + updates), exemplars)


def refuse_no_stage(setting: Setting, stage: int) -> None:
    """Raise InputError for a stage that the curriculum does not have."""
    if not 0 <= stage < len(setting.stages):
        raise InputError(f"there is no stage {stage}: this curriculum has stages 0 to {len(setting.stages) - 1}")


def _lines(plan: Plan, clips: Split, ranks: int, updates: range, exemplars: Sequence[str] | None) -> Iterator[str]:
    refuse_uneven(plan.batch, plan.memory_slots, ranks)
    keys, rehearsal = [clip.key for clip in clips.clips], Rehearsal(plan)
    yield "update\trank\tkeys" + ("" if exemplars is None else "\texemplars")
    for update in updates:
        stream, drawn = rehearsal.update(update)
        for rank in range(ranks):
            slots = [*stream, *drawn]
            mine = slots[rank::ranks] if exemplars is None else share_of_rank(slots, rank, ranks)
            columns = [_names((slot for slot in mine if not slot.from_memory), keys)]
            if exemplars is not None:
                columns.append(_names((slot for slot in mine if slot.from_memory), exemplars))
            yield "\t".join((str(update), str(rank), *columns))


def _names(slots: Iterator[Slot], keys: Sequence[str]) -> str:
    return " ".join(keys[slot.clip] for slot in slots)
