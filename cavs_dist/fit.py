"""One fit: a model learns a stage, update by update, and can be cut off after any of them."""

import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from cavs_dist import distributed, stop
from cavs_dist.checkpoint import Checkpoints, Position, read_best
from cavs_dist.config import Run
from cavs_dist.curriculum import Stage
from cavs_dist.data.stream import StageClips, Update, training_updates
from cavs_dist.engine import Engine, autocast
from cavs_dist.errors import Interrupted
from cavs_dist.health import Health
from cavs_dist.memory.online import OnlineCounts
from cavs_dist.memory.rehearsal import collision_table, rehearsal_scalars
from cavs_dist.methods import Method
from cavs_dist.nonfinite import NonFinite
from cavs_dist.outputs import Batch
from cavs_dist.profiling import traced
from cavs_dist.progress import progress
from cavs_dist.pulse import mark
from cavs_dist.randomness import keyed_hash
from cavs_dist.schedule import rate
from cavs_dist.tasks.base import ModelRole
from cavs_dist.track import Track


class Fit:
    """The training of one model over one stage.

    online: the counter of collisions, where they are counted while training. before: updates of all earlier fits of the
    run. validate: the score of a model that `train.keep=best` looks at.
    """

    def __init__(
        self, run: Run, stage: Stage, role: ModelRole, method: Method, model: nn.Module, teacher: nn.Module | None,
        clips: StageClips, online: OnlineCounts | None, checkpoints: Checkpoints, before: int,
        validate: Callable[[nn.Module], float],
    ) -> None:  # fmt: skip
        self.run, self.stage, self.role, self.method, self.model = run, stage, role, method, model
        self.teacher, self.clips, self.online, self.checkpoints = teacher, clips, online, checkpoints
        self.before, self.validate = before, validate
        self.updates = run.train.epochs * clips.plan.epoch_length
        self.best: tuple[float, dict[str, Tensor]] | None = None
        self.nonfinite = NonFinite(run.train, Path(run.out) / "nonfinite.json", stage.index, role)
        self.skipped = 0

    def train(self, track: Track) -> None:
        """Train the model to the weights that are kept, from the newest checkpoint on. Collective.

        Raises Interrupted, after a save, on all ranks where one was asked to stop.
        """
        self.engine = Engine(self.model, self.run.engine, self.run.optim)
        first, self.health, start = self._restore(), Health(), time.monotonic()
        for update in self._read(first):
            mark(f"stage {self.stage.index}, {self.role}, update {update.number + 1}")
            lr = rate(self.run.optim, update.number, self.updates)
            with self.health.learning(update, self._tells(update)):
                terms = self._learn(update, lr)
            if self.online is not None:
                self.online.close(update.number)
            learned = () if terms is None else update.batches
            track.clips(self.stage.index, self.role, self.before + update.number + 1, learned)
            if line := self._line(update, terms, lr, time.monotonic() - start):
                with distributed.together():
                    track.scalars(line)
            self._keep_best(update.number + 1)
            every = self.run.train.checkpoint_every
            if self.engine.stopped_by or (every and (update.number + 1) % every == 0):
                self._save(update.number + 1)
            if self.engine.stopped_by:
                place = f"update {update.number + 1} of stage {self.stage.index}, {self.role}"
                raise Interrupted(f"stopped by {self.engine.stopped_by} after {place}; {stop.AGAIN}")
        self.engine.close()
        if self.online is not None:
            counts, pairs = self.online.in_force(self.updates), self.online.pairs_in_force(self.updates)
            track.table(f"collisions/stage {self.stage.index}", *collision_table(counts, pairs))
        if self.best is not None:
            self.model.load_state_dict(self.best[1])

    def _read(self, first: int) -> Iterator[Update]:
        """Yield the updates that are left, with progress; time the wait for them, and trace those that are chosen."""
        micro = self.run.engine.micro_batch or self.run.optim.batch
        rank, world = distributed.rank(), distributed.world_size()
        weights = None if self.online is None else self.online.weights_in_force
        updates = training_updates(self.clips, first, self.updates, rank, world, micro, weights)
        traces = Path(self.run.out) / "profile"
        timed = traced(
            self._timed(updates), self.run.track.profile, traces, self.before + first, self.before + self.updates
        )
        what = f"stage {self.stage.index}, {self.role}"
        return progress(timed, what, self.updates, done=first, quiet=not distributed.is_first())

    def _timed(self, updates: Iterator[Update]) -> Iterator[Update]:
        while True:
            with self.health.reading():
                update = next(updates, None)
            if update is None:
                return
            self.skipped += len(update.skipped)
            yield update

    def _learn(self, update: Update, lr: float) -> dict[str, Tensor] | None:
        """Make one update and return the loss terms that this rank saw, None if the update was left out."""
        rank = distributed.rank()
        torch.manual_seed(keyed_hash("update", self.run.seed, self.stage.index, self.role, update.number, rank) % 2**63)
        self.model.train()
        self.engine.set_rate(lr)
        totals: dict[str, Tensor] = {}
        statistics = self._statistics()
        batches: list[Any] = weigh([batch.to(distributed.device()) for batch in update.batches])
        for number, batch in enumerate(batches):
            with autocast(self.run.engine):
                taught = self._teach(batch)
                with self.health.forward():
                    outputs = self.engine(batch)
                terms = self.method.loss(batch, outputs, taught)
            if self.online is not None and taught is not None:
                self.online.add(taught.head, batch, update.number)
            self.engine.backward(torch.stack([term.float() for term in terms.values()]).sum())
            for name, term in terms.items():
                totals[name] = totals.get(name, 0) + term.detach().float() / len(batches)
            if number + 1 == len(batches) and not self.engine.finite():
                keys = [key for batch in update.batches for key in batch.keys]
                self.nonfinite.meet(update.number, keys, totals)
                self.engine.drop()
                self.model.load_state_dict(statistics, strict=False)
                return None
            self.engine.step()
        return totals

    def _teach(self, batch: Batch) -> Any:
        if self.teacher is None:
            return None
        with torch.no_grad():
            return self.teacher(batch)

    def _statistics(self) -> dict[str, Tensor]:
        """Return a copy of the model's running statistics, which move before the loss is known, if they may go back."""
        if self.run.train.on_nonfinite == "stop":
            return {}
        return {name: buffer.clone() for name, buffer in self.model.named_buffers()}

    def _tells(self, update: Update) -> bool:
        """Tell whether the track has a line of the update."""
        return (update.number + 1) % self.run.track.every == 0 or update.number + 1 == self.updates

    def _line(
        self, update: Update, terms: dict[str, Tensor] | None, lr: float, seconds: float
    ) -> dict[str, float | int | str]:
        """Describe an update for the track, if it is its turn: loss terms are means over ranks. Collective."""
        place = {"update": self.before + update.number + 1, "stage": self.stage.index, "phase": self.role}
        if terms is None:
            return {"event": "nonfinite", **place}
        if not self._tells(update):
            return {}
        mine = torch.stack([*terms.values(), torch.tensor(float(self.skipped), device=distributed.device())])
        totals, rows = distributed.sums_and_rows(mine, self.health.row())
        *sums, skipped = totals.tolist()
        losses = {f"loss/{name}": value / distributed.world_size() for name, value in zip(terms, sums, strict=True)}
        return {
            **place,
            "epoch": update.number // self.clips.plan.epoch_length,
            "loss": sum(losses.values()),
            **losses,
            "lr": lr,
            "seconds": round(seconds, 3),
            "wait": round(self.health.waited, 3),
            "skipped": int(skipped),
            "gradient_norm": float(self.engine.gradient_norm),
            **self.health.scalars(rows),
            **self._rehearsed(update.number),
        }

    def _rehearsed(self, update: int) -> dict[str, float]:
        """Return by what counts the update's exemplars were drawn, where they are counted online."""
        if self.online is None:
            return {}
        weights, pairs = self.online.weights_in_force(update), self.online.pairs_in_force(update)
        return rehearsal_scalars(self.online.in_force(update), weights, pairs)

    def _keep_best(self, done: int) -> None:
        if self.run.train.keep == "last" or done % self.clips.plan.epoch_length:
            return
        score = self.validate(self.model)
        if self.best is None or score > self.best[0]:
            self.best = score, {name: value.detach().cpu().clone() for name, value in self.model.state_dict().items()}

    def _save(self, done: int) -> None:
        score, weights = self.best or (None, None)
        world, zero = distributed.world_size(), self.run.engine.zero
        rehearsal = {} if self.online is None else self.online.state(done)
        skipped = self.nonfinite.skipped
        position = Position(self.stage.index, self.role, done, world, zero, score, skipped, rehearsal)
        self.checkpoints.save(self.engine, position, weights)

    def _restore(self) -> int:
        found = self.checkpoints.newest(self.stage.index, self.role)
        if found is None:
            return 0
        position, path = found
        self.checkpoints.load(self.engine, position, path)
        self.nonfinite.skipped = position.nonfinite
        if self.online is not None:
            self.online.load_state(position.rehearsal)
        weights = read_best(path)
        if weights is not None and position.best is not None:
            self.best = position.best, weights
        return position.update


def weigh(batches: Sequence[Batch]) -> list[Batch]:
    """Scale the weights of an update's micro-batches, so that whatever counts in any rank's or micro-batch's weighs the
    same in the mean that the engine takes over both. Collective."""
    counts = torch.stack([torch.stack([getattr(batch, name).sum() for name in batch.WEIGHTS]) for batch in batches])
    totals = distributed.sum_over_ranks(counts.sum(dim=0)).clamp(min=1)
    factors = distributed.world_size() * len(batches) / totals
    return [batch.weighed(factors) for batch in batches]
