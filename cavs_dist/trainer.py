"""The loop: begin a stage, learn it, judge what is known, remember.

Every step leaves its product in the run folder, so a run that was cut off anywhere goes on by walking the same way and
taking over what is already there.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from torch import nn

from cavs_dist import distributed
from cavs_dist.checkpoint import Checkpoints
from cavs_dist.config import Run, as_tree
from cavs_dist.curriculum import Stage
from cavs_dist.data.rehearse import rehearsal_weights
from cavs_dist.engine import start_world
from cavs_dist.errors import InputError, Interrupted
from cavs_dist.files import writing
from cavs_dist.fit import Fit
from cavs_dist.judge import judge
from cavs_dist.lineage import keep_weights, name_shards
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.memory.rehearsal import CollisionCounter, by_old_class, collision_table, rehearsal_scalars
from cavs_dist.methods import Method, plain
from cavs_dist.outlook import leave_outlook
from cavs_dist.outputs import Batch
from cavs_dist.remember import remember, wants_hearing_twin, wants_memory, wants_twin
from cavs_dist.run_folder import (
    RunFolder,
    environment,
    load_weights,
    read_json,
    read_state,
    write_json,
    write_state,
    write_weights,
)
from cavs_dist.setting import Setting, open_setting
from cavs_dist.start import adopt, open_start
from cavs_dist.stop import deferring, listening
from cavs_dist.tasks.base import ModelRole, evaluating
from cavs_dist.track import Scalar, Track
from cavs_dist.watchdog import watching

STOPPED = "stopped.txt"  # in a run folder: the run was asked to stop, and the same command goes on


def train(run: Run, until: int | None = None) -> None:
    """Train, or go on where an earlier process of the same run was cut off. Collective.

    until: the last stage that is trained now, none for all: the same command goes on after it. InputError if there is
    no such stage. Raises Interrupted where a signal asked any rank to stop, and leaves word of it in the run folder.
    """
    start_world(run.engine)
    with listening():
        setting = open_setting(run)
        stages = up_to(until, setting.stages)
        start = open_start(setting)
        with (
            setting.folder.claimed(run, setting.train.digest),
            leaving_word(Path(run.out) / STOPPED),
            watching(run.engine.patience),
        ):
            leave_outlook(setting, start)
            Trainer(setting, start).run(stages)


@contextmanager
def leaving_word(path: Path) -> Iterator[None]:
    """Keep a file at `path` while the run stands stopped: for launchers that hide exit codes, as torchrun does."""
    if distributed.is_first():
        path.unlink(missing_ok=True)
    try:
        yield
    except Interrupted as stop:
        with suppress(OSError):  # it is but a help: the exit code says the same
            path.write_text(f"{stop}\n")  # by every rank that gets here: the first may be ended by another's word
        raise


def up_to(until: int | None, stages: Sequence[Stage]) -> Sequence[Stage]:
    """Return the stages until `until`, or all; InputError if there is no such stage."""
    if until is not None and until >= len(stages):
        raise InputError(f"there is no stage {until} to train until: the run has stages 0 to {len(stages) - 1}")
    return stages if until is None else stages[: until + 1]


class Trainer:
    """A run, stage by stage."""

    def __init__(self, setting: Setting, start: RunFolder | None) -> None:
        self.setting, self.method, self.folder, self.start = setting, setting.method, setting.folder, start
        self.checkpoints = Checkpoints(self.folder.checkpoints, setting.run.train.checkpoints)
        kept = self.updates_kept()
        with distributed.together(), writing(self.folder.path):
            told = as_tree(setting.run) | {"environment": environment()}
            self.track = Track(self.folder.path, setting.run.track, told, resume_update=kept)

    def run(self, stages: Sequence[Stage]) -> None:
        """Walk through the stages, the first ones of the curriculum. Collective."""
        with self.track:
            name_shards(self.setting, self.track)
            for stage in stages:
                model = self.setting.grown_model("main", stage, self.method.head, self.method.restart)
                extra = self.begin(stage, model)
                self.fit("main", stage, model, self.method, extra)
                self.evaluate(stage, model)
                self.remember(stage, model)
                keep_weights(self.setting, stage, self.track)
        self.checkpoints.clear()  # what is left where a crash came between a fit's weights and its own clearing

    def begin(self, stage: Stage, model: nn.Module) -> dict[str, int]:
        """Let the method prepare; return N_a, the collisions with each old class, where they are counted before."""
        product, rehearse = self.folder.product(stage.index, "begin.pt"), self.setting.run.rehearse
        if stage.index > 0:
            earlier = read_state(self.folder.product(stage.index - 1, "end.pt"))
            self.method.load_state_dict(earlier["method"], model)
        if not product.exists():
            counter = CollisionCounter(stage, rehearse.threshold, distributed.device())
            if rehearse.weight == "collision" and rehearse.count == "epoch":
                clips = counter.watch(self.taught(stage))
                self.method.begin(stage, model, clips)
                for _ in clips:  # what the method left unread still counts
                    pass
            else:
                self.method.begin(stage, model, self.taught(stage))
            pairs = counter.by_pair()
            kept = self.setting.memory_before(stage).classes
            weights = rehearsal_weights(kept, by_old_class(pairs), rehearse.repeat)
            told = rehearsal_scalars(by_old_class(pairs), weights, pairs)
            self.tell({"event": "begin", "update": self.updates_made(), "stage": stage.index, **told})
            if pairs:
                self.track.table(f"collisions/stage {stage.index}", *collision_table(by_old_class(pairs), pairs))
            write_state(product, {"method": dict(self.method.state_dict()), "pairs": pairs})
        state = read_state(product)
        self.method.load_state_dict(state["method"], model)
        return by_old_class(state["pairs"])

    @deferring()
    def fit(self, role: ModelRole, stage: Stage, model: nn.Module, method: Method, extra: dict[str, int]) -> None:
        """Bring `model` to the weights that are kept after the stage, by training unless they are already there."""
        product = self.folder.product(stage.index, f"{role}.safetensors")
        if not product.exists() and not self.adopted(role, stage):
            memory = self.setting.memory_before(stage) if role == "main" else ExemplarMemory()
            clips = self.setting.stage_clips(stage, method, memory, extra)
            online = self.setting.online_counts(stage, clips.plan)
            teacher = self.teacher(stage) if method.teacher or online is not None else None
            fit = Fit(
                self.setting.run, stage, role, method, model, teacher, clips, online, self.checkpoints,
                self.updates_made(), lambda candidate: self.validate(stage, candidate),
            )  # fmt: skip
            fit.train(self.track)
            self.end(role, stage, model, method)
            with distributed.together():
                write_json(self.folder.product(stage.index, f"{role}.json"), {"updates": fit.updates})
                write_weights(product, model)
                self.checkpoints.clear()
        taken_over = role == "main" and not self.folder.product(stage.index, "end.pt").exists()
        distributed.barrier()  # until every rank has seen the same
        load_weights(product, model)
        if taken_over:
            self.end(role, stage, model, method)

    def end(self, role: ModelRole, stage: Stage, model: nn.Module, method: Method) -> None:
        """Let the method close the stage; what the main model's computed goes with the stage."""
        method.end(stage, model, self.own_clips(stage, f"stage {stage.index}, closing"))
        if role == "main":
            write_state(self.folder.product(stage.index, "end.pt"), {"method": dict(method.state_dict())})

    def evaluate(self, stage: Stage, model: nn.Module) -> None:
        """Judge the model on all classes seen."""
        if not self.folder.product(stage.index, "evaluation.json").exists():
            judge(self.setting, stage, model, self.track, self.updates_made())
        distributed.barrier()

    def remember(self, stage: Stage, model: nn.Module) -> None:
        """Choose the stage's exemplars, once there is a twin to compare with."""
        if not wants_memory(self.setting, stage) or self.folder.product(stage.index, "memory.json").exists():
            return
        heard, twin = model, None
        if wants_hearing_twin(self.setting, stage):
            heard = self.twin("hearing_twin", stage)
        if wants_twin(self.setting, stage):
            twin = self.twin("twin", stage)
        remember(self.setting, stage, heard, twin)

    def twin(self, role: ModelRole, stage: Stage) -> nn.Module:
        """Return a twin, trained by plain cross-entropy on the stage's clips from where it was after the last stage."""
        twin = self.setting.grown_model(role, stage, "random", restart=False)
        self.fit(role, stage, twin, plain(self.setting.task.loss), {})
        return twin

    def teacher(self, stage: Stage) -> nn.Module | None:
        """Return the frozen copy of the model kept before the stage, if there is one.

        Its parameters go on requiring gradients, though it is called without: torch multiplies matrices otherwise where
        they do not, and the rounding between two equal models is all that the first gradient of POD would then follow.
        """
        if stage.index == 0:
            return None
        return self.setting.kept_model("main", self.setting.stages[stage.index - 1]).eval()

    def taught(self, stage: Stage) -> Iterator[tuple[Any, Any]]:
        """Yield this rank's part of the stage's clips with the outputs of the model kept before; nothing at stage 0."""
        if stage.index == 0:
            return
        old = self.setting.kept_model("main", self.setting.stages[stage.index - 1])
        with evaluating(old):
            for batch in self.own_clips(stage, f"stage {stage.index}, looking back"):
                yield batch, old(batch)

    def own_clips(self, stage: Stage, what: str) -> Iterator[Batch]:
        """Yield this rank's part of the stage's clips, whole and unaugmented."""
        return self.setting.batches(self.setting.clips_of(stage).clips, stage, "train", what)

    def validate(self, stage: Stage, model: nn.Module) -> float:
        """Return the score on the stage's validation clips."""
        learned = self.setting.learned_at(stage, self.method)
        batches = self.setting.clip_by_clip(self.setting.validation_of(stage).clips, learned, "val", "validating")
        return self.setting.task.validate(model, batches, learned)

    def adopted(self, role: ModelRole, stage: Stage) -> bool:
        """Take stage 0 over from the run that this one starts from. Collective."""
        if stage.index > 0 or self.start is None:
            return False
        distributed.barrier()  # until every rank has seen that the weights are not there yet
        with distributed.together():
            done = adopt(self.start, self.folder, role) if distributed.is_first() else False
        return bool(distributed.gather_objects(done)[0])

    def tell(self, values: Mapping[str, Scalar]) -> None:
        """Write a line of the track, on a disk that may not take it. Collective."""
        with distributed.together():
            self.track.scalars(values)

    def updates_kept(self) -> int:
        """Return the updates that products and the newest checkpoint hold, from which a run goes on. Collective."""
        for stage, role in self.checkpoints.fits():
            if not self.folder.product(stage, f"{role}.safetensors").exists():
                newest = self.checkpoints.newest(stage, role)
                return self.updates_made() + (newest[0].update if newest else 0)
        return self.updates_made()

    def updates_made(self) -> int:
        """Return the updates of all fits that have left their product."""
        fits = self.folder.path.glob("stages/*/*.safetensors")
        return sum(read_json(path.with_suffix(".json"))["updates"] for path in fits)
