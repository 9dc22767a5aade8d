"""What is wrong with the history that led to a finished run: updates or clips lost, repeated, or out of order."""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from chaos_digest import newest_checkpoint

from cavs_dist.config import load_run
from cavs_dist.data.order import Slot, share_of_rank
from cavs_dist.data.rehearse import Plan, Rehearsal
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.memory.rehearsal import by_old_class
from cavs_dist.run_folder import read_json, read_state
from cavs_dist.setting import Setting, open_setting, places

Line = dict[str, Any]


@dataclass(frozen=True)
class Foretold:
    """What the index, the memory and the counts say that a fit reads: its plan, and what its slots number."""

    plan: Plan
    keys: Sequence[str]
    exemplars: Sequence[str]

    def lines(self, updates: int, world: int) -> list[list[tuple[list[str], list[str]]]]:
        """Return, for every update and rank, the keys of the stream and of the exemplars."""
        rehearsal = Rehearsal(self.plan)
        slots = [[slot for part in rehearsal.update(number) for slot in part] for number in range(updates)]
        return [[self._named(share_of_rank(each, rank, world)) for rank in range(world)] for each in slots]

    def _named(self, slots: Sequence[Slot]) -> tuple[list[str], list[str]]:
        stream = [self.keys[slot.clip] for slot in slots if not slot.from_memory]
        return stream, [self.exemplars[slot.clip] for slot in slots if slot.from_memory]


def updates_made(run: Path) -> int:
    """Return the updates of all fits that have left their weights."""
    weights = run.glob("stages/*/*.safetensors")
    return sum(read_json(path.with_suffix(".json"))["updates"] for path in weights)


def updates_kept(run: Path) -> int:
    """Return the updates that a run need not make again: those of finished fits, and of the newest checkpoint."""
    newest = newest_checkpoint(run / "checkpoints")
    if newest is None or (run / f"stages/{newest.stage}/{newest.role}.safetensors").exists():
        return updates_made(run)
    return updates_made(run) + newest.update


def updates_told(run: Path) -> int:
    """Return the last update that any rank told of."""
    return max((line["update"] for lines in read_history(run) for line in lines), default=0)


def read_history(run: Path) -> list[list[Line]]:
    """Return the whole lines of every rank's log of clips."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(run.glob("clips/rank-*.jsonl"))]
    return [[json.loads(line) for line in text.split("\n")[:-1]] for text in texts]


def problems(run: Path) -> list[str]:
    """Return one sentence for every fit and epoch whose history is not what it has to be."""
    setting = open_setting(load_run(str(run / "config.yaml"), [f"out={run}"]))
    ranks = read_history(run)
    made = updates_made(run)
    for number, lines in enumerate(ranks):
        if [line["update"] for line in lines] != list(range(1, made + 1)):
            return [f"rank {number} tells of {len(lines)} updates, not of each of 1 to {made} once and in order"]
    fits = groupby(zip(*ranks, strict=True), key=lambda lines: (lines[0]["stage"], lines[0]["phase"]))
    return [said for (stage, phase), lines in fits for said in _of_fit(setting, stage, phase, list(lines))]


def _of_fit(setting: Setting, stage: int, phase: str, lines: Sequence[tuple[Line, ...]]) -> Iterator[str]:
    foretold = _foretell(setting, stage, phase)
    for number, (told, expected) in enumerate(zip(lines, foretold.lines(len(lines), len(lines[0])), strict=True)):
        if [(line["keys"], line["exemplars"]) for line in told] != expected:
            yield f"stage {stage}, {phase}, update {number}: other clips than the order foretells"
    length, slots = foretold.plan.epoch_length, foretold.plan.batch - foretold.plan.memory_slots
    for epoch, start in enumerate(range(0, len(lines), length)):
        read = Counter(key for told in lines[start : start + length] for line in told for key in line["keys"])
        lost = len(foretold.keys) - len(read)
        # An epoch leaves out the clips that do not fill an update.
        if max(read.values()) > 1 or lost >= slots or not read.keys() <= set(foretold.keys):
            twice = [key for key, count in read.items() if count > 1]
            yield f"stage {stage}, {phase}, epoch {epoch}: {lost} clips not read, {twice} read more than once"


def _foretell(setting: Setting, index: int, phase: str) -> Foretold:
    stage, memory, extra = setting.stages[index], ExemplarMemory(), dict[str, int]()
    if phase == "main":
        memory = setting.memory_before(stage)
        extra = by_old_class(read_state(setting.folder.product(index, "begin.pt"))["pairs"])
    clips = setting.clips_of(stage)
    plan = setting.plan(stage, clips, memory, extra)
    return Foretold(plan, [clip.key for clip in clips.clips], [key for _, key in places(memory)])
