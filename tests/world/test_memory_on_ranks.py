"""Memory, collisions and draws on 1, 2 and 4 ranks, from scores and old label maps of one file: exactly equal."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.data.order import Slot, share_of_rank
from cavs_dist.data.rehearse import Plan, Rehearsal
from cavs_dist.memory.admission import Admission
from cavs_dist.memory.memory import ExemplarMemory
from cavs_dist.memory.online import OnlineCounts
from cavs_dist.memory.rehearsal import CollisionCounter
from cavs_dist.memory.select import Candidate, quotas
from cavs_dist.memory.synchronize import synchronize
from cavs_dist.outputs.segmentation import Batch, Outputs

CLIPS, UPDATES, EVERY, LAG = 60, 40, 4, 9
FIRST = Stage(0, new=("dog", "drum", "bell"), seen=("dog", "drum", "bell"))
SECOND = Stage(1, new=("bird", "train"), seen=(*FIRST.seen, "bird", "train"))
pytestmark = pytest.mark.world


def write_file(path: Path) -> None:
    """Scores full of ties, classes heard, truths, and what an old model says of them."""
    rng = np.random.default_rng(0)
    np.savez(
        path,
        scores=rng.choice([-1.0, -0.5, 0.0, 0.25, 0.5, 1.0], CLIPS),
        heard=rng.random((CLIPS, 3)) < 0.5,
        truth=rng.choice([0, 4, 5, 255], (CLIPS, 2, 3, 3)),
        old=rng.integers(0, 4, (CLIPS, 1, 1, 1)) * (rng.random((CLIPS, 2, 3, 3)) < 0.9),
    )


def batch_of(slots: list[Slot] | tuple[Slot, ...], file: Any) -> tuple[Batch, torch.Tensor]:
    """The batch of these clips, and the old model's maps of them."""
    clips = [slot.clip for slot in slots]
    frames, nothing = torch.ones(len(clips), 2, dtype=torch.bool), torch.zeros(0)
    labels = torch.from_numpy(file["truth"][clips]).flatten(0, 1)
    memory = torch.tensor([slot.from_memory for slot in slots])
    batch = Batch(tuple(map(str, clips)), memory, nothing, nothing, labels, frames, frames, nothing, nothing)
    return batch, torch.from_numpy(file["old"][clips]).flatten(0, 1)


def select(file: Any, rank: int, world: int) -> ExemplarMemory:
    admission = Admission("consistency", quotas(0, 13, FIRST.seen))
    mine = range(rank, CLIPS, world)
    for clip in np.random.default_rng(rank).permutation(mine).tolist():
        heard = tuple(name for name, there in zip(FIRST.seen, file["heard"][clip], strict=True) if there)
        admission.offer(Candidate(f"clip-{clip:02d}", heard, float(file["scores"][clip])))
    return ExemplarMemory().admit(synchronize(admission), 0, admission.quotas)


def count_before(file: Any, rank: int, world: int) -> dict[tuple[str, str], int]:
    counter = CollisionCounter(SECOND, 0.7, distributed.device())

    def clips() -> Iterator[tuple[Batch, Outputs]]:
        for clip in range(rank, CLIPS, world):
            batch, old = batch_of([Slot(clip, 0, 0)], file)
            said = torch.nn.functional.one_hot(old, 4).movedim(-1, 1).float()
            yield batch, Outputs((), said, said, torch.eye(4), torch.zeros(4))

    for _ in counter.watch(clips()):
        pass
    return counter.by_pair()


def rehearse(file: Any, rank: int, world: int, memory: ExemplarMemory) -> tuple[list[Any], list[Any]]:
    """Learn nothing from 40 updates, but draw for them, 2 updates further ahead on each rank, and count."""
    keys = memory.keys()
    exemplars = {name: [keys.index(clip.key) for clip in kept] for name, kept in memory.classes.items()}
    plan = Plan(3, 1, (CLIPS,), batch=16, window=20, tail="drop", memory_slots=8, exemplars=exemplars)
    online = OnlineCounts(SECOND, plan.weights, 0.7, 0.95, EVERY, LAG)
    rehearsal, drawn, counts = Rehearsal(plan, online.weights_in_force), [], []
    orders: list[list[Slot]] = []
    ahead = 2 * rank
    for update in range(UPDATES):
        while len(orders) <= min(update + ahead, UPDATES - 1):
            stream, memory_slots = rehearsal.update(len(orders))
            orders.append(share_of_rank([*stream, *memory_slots], rank, world))
        slots = orders[update]
        drawn.append([keys[slot.clip] for slot in slots if slot.from_memory])
        batch, old = batch_of([slot for slot in slots if not slot.from_memory], file)
        online.add(old, batch, update)
        online.close(update)
        counts.append((online.in_force(update), online.weights_in_force(update), online.pairs_in_force(update)))
    return drawn, counts


def run(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    if world > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/store{world}", rank=rank, world_size=world)
    file = np.load(f"{folder}/file.npz")
    memory = select(file, rank, world)
    drawn, counts = rehearse(file, rank, world, memory)
    found = {"digest": memory.digest(), "pairs": count_before(file, rank, world), "drawn": drawn, "counts": counts}
    torch.save(found, f"{folder}/{world}-{rank}.pt")
    if world > 1:
        dist.destroy_process_group()


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[dict[str, Any]]]:
    """What each rank found, by the number of ranks."""
    folder = tmp_path_factory.mktemp("ranks")
    write_file(folder / "file.npz")
    for world in (1, 2, 4):
        torch.multiprocessing.spawn(run, (world, str(folder)), nprocs=world)
    return {world: [torch.load(folder / f"{world}-{rank}.pt") for rank in range(world)] for world in (1, 2, 4)}


def test_memory_and_collisions_are_the_same_on_every_rank_of_any_world(found: dict[int, list[dict[str, Any]]]) -> None:
    [alone] = found[1]
    for ranks in found.values():
        for rank in ranks:
            assert rank["digest"] == alone["digest"]
            assert rank["pairs"] == alone["pairs"]
            assert rank["counts"] == alone["counts"]
    assert len(alone["pairs"]) == 6 and min(alone["counts"][-1][0].values()) > 1


def test_the_global_list_of_drawn_keys_is_the_same_and_ranks_draw_disjoint_parts(
    found: dict[int, list[dict[str, Any]]],
) -> None:
    [alone] = found[1]
    assert len({key for keys in alone["drawn"] for key in keys}) > 8
    for ranks in found.values():
        for update, keys in enumerate(alone["drawn"]):
            parts = [rank["drawn"][update] for rank in ranks]
            assert {len(part) for part in parts} == {8 // len(ranks)}
            assert [key for turn in zip(*parts, strict=True) for key in turn] == keys
