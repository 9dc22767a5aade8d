import math

import pytest

from cavs_dist.errors import InputError
from cavs_dist.memory.admission import Admission
from cavs_dist.memory.select import Candidate

CLIPS = [
    Candidate("a", ("dog",), 0.5),
    Candidate("b", ("dog", "bird"), -0.1),
    Candidate("c", ("bird",), 0.1),
    Candidate("d", ("bird", "train"), -2.0),
    Candidate("e", ("dog",), 0.5),
]


def admit(rule: str, clips: list[Candidate], **quotas: int) -> dict[str, str]:
    admission = Admission(rule, quotas)  # type: ignore[arg-type]
    for clip in clips:
        admission.offer(clip)
        assert all(len(places) <= quotas[name] for name, places in admission.places.items())
    return {name: "".join(place.key for place in places) for name, places in admission.places.items()}


@pytest.mark.parametrize(
    ("rule", "dog", "bird"), [("consistency", "ba", "bc"), ("largest", "ae", "cb"), ("smallest", "ba", "db")]
)
def test_the_best_of_each_class_are_held(rule: str, dog: str, bird: str) -> None:
    """|Delta| of b and c are equal, so are the scores of a and e: the key decides. Nobody asked for trains."""
    assert admit(rule, CLIPS, dog=2, bird=2, whale=2) == {"dog": dog, "bird": bird, "whale": ""}
    assert admit(rule, CLIPS[::-1] + CLIPS, dog=2, bird=2, whale=2) == {"dog": dog, "bird": bird, "whale": ""}


def test_fewer_clips_than_asked_for_are_all_held_and_none_where_none_may_be() -> None:
    assert admit("smallest", CLIPS, train=9, dog=0) == {"train": "d", "dog": ""}


def test_scores_are_kept_as_they_came() -> None:
    admission = Admission("consistency", {"train": 1})
    admission.offer(CLIPS[3])
    assert [(place.key, place.score) for place in admission.places["train"]] == [("d", -2.0)]


def test_a_score_that_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="clip 'x' has a score that is no number"):
        Admission("smallest", {"dog": 1}).offer(Candidate("x", ("dog",), math.nan))
