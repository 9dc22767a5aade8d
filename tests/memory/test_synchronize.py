import pytest

from cavs_dist.memory.admission import Admission
from cavs_dist.memory.select import Candidate
from cavs_dist.memory.synchronize import hops, synchronize


@pytest.mark.parametrize(
    ("world", "rounds"), [(1, []), (2, [1]), (3, [1, 2]), (8, [1, 2, 4]), (1024, [1 << i for i in range(10)])]
)
def test_rounds_grow_with_the_logarithm_of_the_ranks(world: int, rounds: list[int]) -> None:
    assert list(hops(world)) == rounds


@pytest.mark.parametrize("world", range(1, 40))
def test_every_rank_hears_of_every_rank(world: int) -> None:
    heard = [{rank} for rank in range(world)]
    for distance in hops(world):
        heard = [heard[rank] | heard[rank - distance] for rank in range(world)]
    assert heard == [set(range(world))] * world


def test_alone_it_chooses_what_was_admitted() -> None:
    admission = Admission("consistency", {"dog": 1, "whale": 3, "none": 0})
    for clip in (Candidate("bärbel", ("dog",), -0.25), Candidate("a", ("dog", "none"), 2.0)):
        admission.offer(clip)
    assert synchronize(admission) == {"dog": (Candidate("bärbel", ("dog",), -0.25),), "whale": (), "none": ()}
    assert synchronize(Admission("random", {"dog": 2})) == {"dog": ()}
