"""Where a run takes place: its stages, its clips, its models and its folder, as every step of the loop needs them."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

from cavs_dist import distributed
from cavs_dist.config import Run, as_tree
from cavs_dist.curriculum import Stage, make_stages
from cavs_dist.data.order import refuse_uneven
from cavs_dist.data.pairing import refuse_one_class
from cavs_dist.data.rehearse import Plan, RehearseConfig
from cavs_dist.data.remote.file import BLOCK
from cavs_dist.data.shard import ClipEntry
from cavs_dist.data.split import Split, of_seen, of_stage, open_split
from cavs_dist.data.stream import AHEAD, StageClips, evaluation_batches
from cavs_dist.data.transform import Transform
from cavs_dist.errors import InputError
from cavs_dist.memory import payload
from cavs_dist.memory.exchange import Exchange
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.memory.online import OnlineCounts
from cavs_dist.methods import METHODS, Method
from cavs_dist.models.heads import HeadInit
from cavs_dist.outputs import Batch
from cavs_dist.progress import progress
from cavs_dist.pulse import mark
from cavs_dist.run_folder import RunFolder, flatten, load_weights, read_json
from cavs_dist.tasks import TASKS
from cavs_dist.tasks.base import LabelRole, ModelRole, Task

# Smallest and largest value of the keys that not every number suits.
RANGES: Mapping[str, tuple[float, float]] = {
    "seed": (0, 2**63 - 1), "data.size": (32, math.inf), "data.frames": (0, math.inf), "data.step": (0, math.inf),
    "data.window": (1, math.inf), "data.workers": (0, math.inf), "data.corrupt_budget": (0, math.inf),
    "data.mix.rate": (1000, math.inf), "data.mix.samples": (1024, math.inf), "data.mix.gain": (0, 1),
    "data.mix.margin": (0, math.inf), "data.remote.cache_bytes": (BLOCK, math.inf), "data.remote.attempts": (1, 100),
    "data.remote.backoff": (0, 60), "data.remote.failures": (1, math.inf), "data.remote.connect": (0.01, math.inf),
    "data.remote.read": (0.01, math.inf), "data.remote.request": (0.01, math.inf),
    "data.augment.crop": (0, 0.9), "data.augment.flip": (0, 1), "data.augment.colour": (0, 1),
    "data.augment.speed": (0, 4), "data.augment.gain": (0, 60), "data.augment.noise": (0, 1),
    "data.augment.bands": (0, 1), "model.channels": (2, math.inf), "model.features": (1, math.inf),
    "model.group": (0, math.inf), "model.spectrogram.n_fft": (64, math.inf), "model.spectrogram.hop": (16, math.inf),
    "model.spectrogram.bins": (16, math.inf), "evaluate.mixtures": (1, math.inf),
    "memory.per_class": (1, math.inf), "memory.total": (0, math.inf), "memory.cache": (0, math.inf),
    "rehearse.every": (1, math.inf), "rehearse.lag": (0, math.inf), "rehearse.half_life": (1e-3, math.inf),
    "rehearse.share": (0, 0.99), "rehearse.repeat": (1, math.inf), "rehearse.threshold": (0, 1),
    "optim.batch": (1, math.inf), "optim.lr": (0, math.inf), "optim.weight_decay": (0, math.inf),
    "optim.clip": (0, math.inf), "optim.warmup": (0, 1), "train.epochs": (1, math.inf),
    "train.checkpoint_every": (0, math.inf), "train.checkpoints": (1, math.inf),
    "train.nonfinite_budget": (0, math.inf),
    "engine.micro_batch": (0, math.inf), "engine.threads": (0, math.inf), "engine.patience": (1, math.inf),
    "evaluate.batch": (1, math.inf), "track.every": (1, math.inf), "track.patience": (1, math.inf),
    "slurm.nodes": (1, math.inf), "slurm.gpus_per_node": (0, math.inf), "slurm.ranks_per_node": (0, math.inf),
    "slurm.cpus_per_rank": (1, math.inf), "slurm.lead": (1, math.inf), "slurm.max_restarts": (0, math.inf),
}  # fmt: skip


@dataclass(frozen=True)
class Setting:
    """A run's config and what follows from it and the data's index."""

    run: Run
    task: Task
    method: Method
    stages: tuple[Stage, ...]
    train: Split
    test: Split
    validation: Split | None
    folder: RunFolder

    def clips_of(self, stage: Stage, scope: str = "stage") -> Split:
        """Return the training clips of a stage, or of all classes seen (`scope=seen`)."""
        if scope == "seen":
            return of_seen(self.train, stage)
        return of_stage(self.train, self.stages, stage.index, self.run.curriculum.protocol)

    def validation_of(self, stage: Stage) -> Split:
        """Return the validation clips of what the method learns at a stage."""
        assert self.validation is not None
        if self.method.scope == "seen":
            return of_seen(self.validation, stage)
        return of_stage(self.validation, self.stages, stage.index, self.run.curriculum.protocol)

    def learned_at(self, stage: Stage, method: Method) -> Stage:
        """Return the stage as a method sees it: joint training learns every class seen as if it were new."""
        return Stage(stage.index, stage.seen, stage.seen) if method.scope == "seen" else stage

    @property
    def exemplars(self) -> Path:
        """The folder of the exemplars that this rank stores."""
        local = self.run.memory.local if self.run.memory.payload == "exchange" else ""
        return Path(local) if local else self.folder.memory

    def held(self) -> dict[payload.Place, ClipEntry]:
        """Return where the exemplars lie that this rank holds, under `exchange`."""
        return payload.find(self.exemplars, distributed.rank(), distributed.world_size())

    def memory_before(self, stage: Stage) -> ExemplarMemory:
        """Return the memory as the stage before left it."""
        path = self.folder.product(stage.index - 1, "memory.json")
        if stage.index == 0 or self.run.memory.select == "none":
            return ExemplarMemory()
        return ExemplarMemory.from_json(read_json(path), path)

    def reserved_slots(self, stage: Stage) -> int:
        """Return how many slots of an update are drawn from memory, if there is one before `stage`."""
        rehearses = stage.index > 0 and self.run.memory.select != "none" and self.run.rehearse.mode == "ratio"
        return round(self.run.rehearse.share * self.run.optim.batch) if rehearses else 0

    def plan(self, stage: Stage, clips: Split, memory: ExemplarMemory, extra: dict[str, int]) -> Plan:
        """Return what decides the order of a fit of the main model, or of the twin, which has no memory."""
        number = {place: number for number, place in enumerate(places(memory))}
        exemplars = {
            name: tuple(number[clip.stage, clip.key] for clip in kept) for name, kept in memory.classes.items()
        }
        run = self.run
        pairing, classes = self.task.mixing(run.data, clips.clips, self.learned_at(stage, self.method))
        return Plan(
            seed=run.seed,
            stage=stage.index,
            shard_sizes=clips.shard_sizes,
            batch=run.optim.batch,
            window=run.data.window,
            tail=run.data.tail,
            mode=run.rehearse.mode,
            memory_slots=self.reserved_slots(stage) if any(memory.classes.values()) else 0,
            exemplars=exemplars,
            extra=extra,
            repeat=run.rehearse.repeat,
            pairing=pairing,
            classes=classes,
        )

    def stage_clips(self, stage: Stage, method: Method, memory: ExemplarMemory, extra: dict[str, int]) -> StageClips:
        """Return what a rank reads in a fit of `method`; InputError where the ranks do not divide the slots."""
        clips = self.clips_of(stage, method.scope)
        plan = self.plan(stage, clips, memory, extra)
        micro_batches = self.run.optim.batch // self.micro_batch
        refuse_uneven(self.run.optim.batch, plan.memory_slots, distributed.world_size(), micro_batches)
        wanted, cache = places(memory), self.run.memory.cache << 20
        frames = self.run.data.frames or self.train.frames
        sent = self.run.memory.payload == "exchange" and wanted
        exchange = Exchange(wanted, self.held(), {clip.key: clip for clip in self.train.clips}, cache) if sent else None
        return StageClips(
            plan=plan,
            clips=clips.clips,
            exemplars=payload.load(self.exemplars, wanted) if exchange is None else exchange.exemplars,
            clips_transform=self.transform(self.learned_at(stage, method), "train", frames),
            exemplars_transform=self.transform(stage, "memory", frames),
            config=self.run.data,
            cache=cache,
            deliver=None if exchange is None else exchange.deliver,
        )

    def online_counts(self, stage: Stage, plan: Plan) -> OnlineCounts | None:
        """Return the counter of a fit that counts collisions while it rehearses by `plan`, if it does."""
        config = self.run.rehearse
        if not plan.memory_slots or config.weight != "collision" or config.count != "online":
            return None
        beta = 0.5 ** (1 / (config.half_life * plan.epoch_length))
        return OnlineCounts(stage, plan.weights, config.threshold, beta, config.every, config.lag)

    @property
    def micro_batch(self) -> int:
        """Clips over all ranks that go through the model at once."""
        return self.run.engine.micro_batch or self.run.optim.batch

    @property
    def frames(self) -> int:
        """Frames that a whole clip is padded to."""
        return max(split.frames for split in (self.train, self.test, self.validation) if split is not None)

    def transform(self, stage: Stage, role: LabelRole, frames: int = 0) -> Transform:
        """Return what makes batches of a stage's clips, of `frames` frames or, if that is 0, of whole clips."""
        return self.task.transform(self.run.data, self.train.names, stage, role, frames or self.frames)

    def batches(self, clips: Sequence[ClipEntry], stage: Stage, role: LabelRole, what: str) -> Iterator[Batch]:
        """Yield this rank's part of `clips`, whole, unaugmented, on its device, with progress in clips.

        What a model says of a clip, near-ties included, is then the same on any number of ranks.
        """
        rank, world = distributed.rank(), distributed.world_size()
        clips, transform = self.task.arrange(clips, stage, role), self.transform(stage, role)
        size = self.run.evaluate.batch * transform.clips
        batches = evaluation_batches(clips, transform, self.run.data, rank, world, size)
        mine = sum(len(clips[start : start + size]) for start in range(rank * size, len(clips), world * size))
        quiet = not distributed.is_first()
        for batch in progress(batches, what, mine, quiet=quiet, amount=lambda batch: len(batch.keys)):
            mark(what)
            yield batch.to(distributed.device())

    def clip_by_clip(self, clips: Sequence[ClipEntry], stage: Stage, role: LabelRole, what: str) -> Iterator[Batch]:
        """Yield as `batches` does, each clip as a batch of its own.

        For products of other shapes round otherwise: a metric then does not depend on `evaluate.batch` either.
        """
        for batch in self.batches(clips, stage, role, what):
            for clip in batch.one_by_one():
                mark(what)
                yield clip

    def fresh_model(self, role: ModelRole, stage: Stage) -> nn.Module:
        """Build a model with the heads of all stages so far, untrained."""
        return self.task.make_model(role, self.stages[: stage.index + 1], "random")

    def kept_model(self, role: ModelRole, stage: Stage) -> nn.Module:
        """Build the model with the weights that were kept after `stage`."""
        model = self.fresh_model(role, stage)
        load_weights(self.folder.product(stage.index, f"{role}.safetensors"), model)
        return model

    def grown_model(self, role: ModelRole, stage: Stage, init: HeadInit, restart: bool) -> nn.Module:
        """Build the model that a stage starts from: the one kept before, with a head for the new classes."""
        if stage.index == 0 or restart:
            return self.fresh_model(role, stage)
        model = self.kept_model(role, self.stages[stage.index - 1])
        self.task.grow(model, stage, init)
        return model.to(distributed.device())


def open_setting(run: Run) -> Setting:
    """Read the indexes and work out everything that can be refused before any work starts."""
    refuse_out_of_range(flatten(as_tree(run)))
    train, test = open_split(run.data, "train"), open_split(run.data, "test")
    validation = open_split(run.data, "val") if run.train.keep == "best" else None
    for split in (test, validation):
        if split is not None and split.names != train.names:
            raise InputError(f"{run.data.path}: the splits disagree on the names of classes: index them with one list")
    stages = make_stages(set(train.names.values()), run.curriculum)
    task = TASKS[run.task.name](run.model, run.evaluate, run.seed)
    method = METHODS[run.task.name][run.method.name](run.method, task.loss)
    setting = Setting(run, task, method, stages, train, test, validation, RunFolder(Path(run.out)))
    refuse_impossible(setting)
    return setting


def refuse_impossible(setting: Setting) -> None:
    """Raise InputError for values that make no sense together, on as many ranks as there are."""
    run = setting.run
    rehearses = run.memory.select != "none" and run.rehearse.mode == "ratio" and run.rehearse.share > 0
    if rehearses and not round(run.rehearse.share * run.optim.batch):
        raise InputError(f"rehearse.share={run.rehearse.share} of optim.batch={run.optim.batch} is no slot: raise one")
    refuse_collisions(setting)
    if run.rehearse.count == "online" and run.rehearse.weight == "collision":
        refuse_online(run.rehearse, run.data.workers)
    if run.memory.payload == "exchange" and run.data.on_corrupt == "skip":
        raise InputError(
            "memory.payload=exchange sends exemplars before they are decoded, when no neighbour can take a bad one's "
            "place: set data.on_corrupt=error"
        )
    if run.optim.batch % setting.micro_batch:
        raise InputError(f"engine.micro_batch={setting.micro_batch} does not divide optim.batch={run.optim.batch}")
    for frames in (run.data.frames or setting.train.frames, setting.frames):
        setting.task.refuse_data(run.data, frames)
    for stage in setting.stages:
        slots = setting.reserved_slots(stage)
        refuse_uneven(run.optim.batch, slots, distributed.world_size(), run.optim.batch // setting.micro_batch)
        clips = setting.clips_of(stage, setting.method.scope).clips
        setting.task.refuse_clips(stage, clips)
        pairing, classes = setting.task.mixing(run.data, clips, setting.learned_at(stage, setting.method))
        refuse_one_class(pairing, {*classes, *(stage.old if run.memory.select != "none" else ())})
        if run.train.keep == "best":
            setting.validation_of(stage)


def refuse_collisions(setting: Setting) -> None:
    """Raise InputError where clips cannot collide: only the labels of pixels can."""
    if setting.run.rehearse.weight == "collision" and not setting.task.collides:
        raise InputError(
            f"rehearse.weight=collision counts pixels that the old model labels with old classes, and "
            f"task.name={setting.run.task.name} labels none: set rehearse.weight=uniform"
        )


def refuse_online(rehearse: RehearseConfig, workers: int) -> None:
    """Raise InputError where collisions cannot be counted while training."""
    if rehearse.mode == "concat":
        raise InputError(
            "rehearse.count=online needs rehearse.mode=ratio: under concat an epoch is laid out before it begins, "
            "from counts that are known by then"
        )
    if workers * AHEAD > rehearse.lag:
        raise InputError(
            f"data.workers={workers} draw exemplars {workers * AHEAD} updates ahead, before the collisions of "
            f"rehearse.lag={rehearse.lag} updates ago are known: lower data.workers, or raise rehearse.lag"
        )


def refuse_out_of_range(values: Mapping[str, Any]) -> None:
    """Raise InputError for a number outside of its range, or an infinite one."""
    for name, (least, most) in RANGES.items():
        if name in values and (not least <= values[name] <= most or math.isinf(values[name])):
            upper = "" if math.isinf(most) else f" and at most {most}"
            raise InputError(f"{name} is {values[name]}; expected at least {least}{upper}")


def places(memory: ExemplarMemory) -> list[payload.Place]:
    """Return the place of every exemplar, once each, in an order of their own."""
    return sorted({(clip.stage, clip.key) for clips in memory.classes.values() for clip in clips})
