import torch

from cavs_dist.curriculum import Stage
from cavs_dist.memory.rehearsal import CollisionCounter, by_old_class, collision_table, rehearsal_scalars
from cavs_dist.outputs.segmentation import Batch, Outputs

STAGE = Stage(1, new=("bird", "train"), seen=("dog", "drum", "bird", "train"))


def clip(key: str, truth: list[int], said: list[int]) -> tuple[Batch, Outputs]:
    """A clip of one frame of 1 x len(truth), of which the old model, of 2 classes, says `said`."""
    labels = torch.tensor(truth).view(1, 1, -1)
    nothing, frame = torch.zeros(1), torch.ones(1, 1, dtype=torch.bool)
    batch = Batch((key,), torch.zeros(1, dtype=torch.bool), nothing, nothing, labels, frame, frame, nothing, nothing)
    features = torch.nn.functional.one_hot(torch.tensor(said), 3).float().T.view(1, 3, 1, -1)
    return batch, Outputs((), features, features, torch.eye(3), torch.zeros(3))


CLIPS = [
    clip("a", [3, 3, 3, 3, 0, 255], [1, 1, 1, 2, 2, 2]),  # 3 of 4: dog -> bird
    clip("b", [4, 4, 4, 4, 4, 4], [1, 1, 1, 2, 2, 2]),  # a tie
    clip("c", [4, 4, 4, 4, 4, 4], [1, 1, 1, 1, 1, 2]),  # 5 of 6: dog -> train
    clip("d", [3, 0, 0, 0, 0, 0], [2, 1, 1, 1, 1, 1]),  # one pixel: drum -> bird
    clip("e", [0, 0, 255, 255, 3, 3], [1, 2, 1, 2, 0, 0]),  # nothing
    clip("f", [3, 3, 3, 3, 3, 3], [1, 1, 1, 1, 1, 0]),  # dog -> bird
]
EXPECTED = {("dog", "bird"): 2, ("dog", "train"): 1, ("drum", "bird"): 1}


def test_collisions_of_clips_by_name() -> None:
    counter = CollisionCounter(STAGE, 0.7, torch.device("cpu"))
    passed = list(counter.watch(iter(CLIPS)))
    assert [batch.keys for batch, _ in passed] == [batch.keys for batch, _ in CLIPS]
    assert counter.by_pair() == EXPECTED
    assert by_old_class(counter.by_pair()) == {"dog": 3, "drum": 1}


def test_batches_change_nothing() -> None:
    counter = CollisionCounter(STAGE, 0.7, torch.device("cpu"))
    for part in (CLIPS[:4], CLIPS[4:]):
        keys = tuple(batch.keys[0] for batch, _ in part)
        frames = torch.ones(len(part), 1, dtype=torch.bool)
        labels = torch.cat([batch.labels for batch, _ in part])
        nothing = torch.zeros(1)
        batch = Batch(keys, nothing, nothing, nothing, labels, frames, frames, nothing, nothing)
        counter.add(torch.cat([outputs.prediction() for _, outputs in part]), batch)
    assert counter.by_pair() == EXPECTED


def test_the_threshold_is_the_stage_s_own() -> None:
    counter = CollisionCounter(STAGE, 0.8, torch.device("cpu"))
    list(counter.watch(CLIPS))
    assert counter.by_pair() == {("dog", "bird"): 1, ("dog", "train"): 1, ("drum", "bird"): 1}


def test_no_collision_no_class() -> None:
    assert by_old_class({}) == {}
    assert CollisionCounter(STAGE, 0.7, torch.device("cpu")).by_pair() == {}


def test_a_table_of_collisions_starts_with_the_most_frequent_pair() -> None:
    columns, rows = collision_table({"dog": 3.5, "drum": 1}, EXPECTED)
    assert columns == ["old class", "new class", "count", "ratio", "N_a"]
    assert rows == [["dog", "bird", 2, 0.5, 3.5], ["dog", "train", 1, 0.25, 3.5], ["drum", "bird", 1, 0.25, 1]]
    assert collision_table({"dog": 0}, {})[1] == []


def test_the_track_tells_the_weights_that_draws_go_by() -> None:
    told = rehearsal_scalars({"dog": 3, "drum": 1}, {"dog": 43}, {("dog", "train"): 3})
    assert told == {"rehearse/N/dog": 3, "rehearse/weight/dog": 43, "collisions/dog -> train": 3}
