import random
from functools import partial

import pytest

from cavs_dist.data.pairs import paper_pairs
from cavs_dist.data.rehearse import Plan
from cavs_dist.data.sources.music import CLASSES

STAGES = ((1, 33, 199, 207), (2, 45, 240, 249), (3, 60, 196, 204))
TESTED = [name for name in CLASSES for _ in range(5)]


@pytest.mark.parametrize(("stage", "same_class"), [(0, 8), (1, 5), (2, 6), (3, 6)])
def test_pairs_of_the_paper(stage: int, same_class: int) -> None:
    count = 25 * (stage + 1)
    pairs = paper_pairs(count)
    assert len(pairs) == count
    assert sum(TESTED[one] == TESTED[other] for one, other in pairs) == same_class
    assert [one for one, other in pairs if one == other] == [[], [35], [21], [21]][stage]


def test_pairs_are_those_of_the_global_generator_and_leave_it_alone() -> None:
    state = random.getstate()
    pairs = paper_pairs(100)
    assert random.getstate() == state
    for one, other in pairs:
        random.seed(one)
        assert other == random.randint(0, 99)
    random.setstate(state)


@pytest.mark.parametrize(("stage", "percent", "fewest", "most"), STAGES)
def test_shares_of_memory_tell_the_sizes_of_stages(stage: int, percent: int, fewest: int, most: int) -> None:
    """One video a class, five classes a stage: the paper's rounded shares leave these numbers of new videos."""
    exemplars = {name: (number,) for number, name in enumerate(CLASSES[: 5 * stage])}
    plan = partial(Plan, 0, stage, batch=32, window=1, tail="drop", mode="concat", exemplars=exemplars, repeat=20)
    fitting = [new for new in range(1, 841) if round(100 * plan((new,)).memory_share) == percent]
    assert fitting == list(range(fewest, most + 1))
    assert not fewest <= 840 // 4 <= most  # the 840 videos are not spread evenly over the stages
