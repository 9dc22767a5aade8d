from collections import Counter
from dataclasses import replace

import pytest

from cavs_dist.data.scenes.config import CLASSES, PRESETS, ScenesConfig, partner
from cavs_dist.data.scenes.items import RATE, bank
from cavs_dist.data.scenes.plan import Scene, plan
from cavs_dist.data.scenes.sound import heard_in, source

CONFIG = ScenesConfig(size=32)


def scenes(config: ScenesConfig, split: str = "train", count: int = 1600) -> list[Scene]:
    return [plan(config, split, index) for index in range(count)]


def main(config: ScenesConfig, index: int) -> str:
    return config.names[index % len(config.names)]


def test_every_class_leads_equally_often_and_sounds() -> None:
    for index, scene in enumerate(scenes(CONFIG, count=80)):
        (lead,) = [actor for actor in scene.actors if actor.name == main(CONFIG, index)]
        assert lead.cue is not None and lead.cue.stop - lead.cue.start >= 1


@pytest.mark.parametrize(("split", "rate"), [("train", 0.8), ("val", 0.8), ("test", 0.2)])
def test_rates_are_those_asked_for(split: str, rate: float) -> None:
    config = replace(CONFIG, second=0.75, partner_train=0.8, partner_test=0.2, sounds_too=0.3)
    seen: Counter[str] = Counter()
    for index, scene in enumerate(scenes(config, split)):
        lead = main(config, index)
        for actor in scene.actors:
            if actor.name != lead:
                seen.update({"second": 1, "partner": actor.name == partner(config.names, lead)})
                seen["sounds"] += actor.cue is not None
    assert seen["second"] / 1600 == pytest.approx(0.75, abs=0.04)
    assert seen["partner"] / seen["second"] == pytest.approx(rate, abs=0.05)
    assert seen["sounds"] / seen["second"] == pytest.approx(0.3, abs=0.05)


@pytest.mark.parametrize(("second", "objects"), [(0.0, {1}), (1.0, {2})])
def test_certain_rates_are_certain(second: float, objects: set[int]) -> None:
    assert {len(scene.actors) for scene in scenes(replace(CONFIG, second=second), count=200)} == objects


def test_two_classes_are_each_others_only_company() -> None:
    config = replace(CONFIG, num_classes=2, second=1.0, partner_train=0.0)
    assert all({actor.name for actor in scene.actors} == set(config.names) for scene in scenes(config, count=50))


def test_items_come_from_the_side_of_the_split() -> None:
    config = replace(CONFIG, classes=CLASSES)
    for split, side in {"train": "train", "val": "train", "test": "test"}.items():
        for scene in scenes(config, split, 150):
            assert scene.backdrop.file in bank().backgrounds[side]
            for actor in scene.actors:
                shelf = bank().shelves[actor.name, side]
                assert actor.picture in shelf.pictures
                if actor.cue:
                    assert sorted(actor.cue.files) in [sorted(files) for files in shelf.recordings.values()]


def test_one_option_leaves_the_rest_as_it_was() -> None:
    few, many = (scenes(replace(CONFIG, second=1.0, partner_train=rate), count=40) for rate in (0.0, 1.0))
    for index, (one, other) in enumerate(zip(few, many, strict=True)):
        assert one.backdrop == other.backdrop
        leads = [actor for scene in (one, other) for actor in scene.actors if actor.name == main(CONFIG, index)]
        assert leads[0] == leads[1]


def test_who_is_in_front_is_drawn() -> None:
    fronts = [
        scene.actors[-1].name == main(CONFIG, index)
        for index, scene in enumerate(scenes(replace(CONFIG, second=1.0), count=400))
    ]
    assert sum(fronts) / 400 == pytest.approx(0.5, abs=0.1)


def test_seed_and_split_are_domains_of_their_own() -> None:
    assert plan(CONFIG, "train", 3) == plan(replace(CONFIG, train=1, workers=9), "train", 3)
    assert plan(CONFIG, "train", 3) != plan(CONFIG, "val", 3)
    assert plan(CONFIG, "train", 3) != plan(replace(CONFIG, seed=1), "train", 3)


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.6, 1.0])
def test_sounds_play_throughout_at_the_rate_asked_for(rate: float) -> None:
    cues = [actor.cue for scene in scenes(replace(CONFIG, throughout=rate)) for actor in scene.actors if actor.cue]
    whole = sum((cue.start, cue.stop) == (0, 5.0) for cue in cues) / len(cues)
    assert whole == pytest.approx(rate, abs=0.0 if rate in (0, 1) else 0.05)


def test_how_often_sounds_play_throughout_leaves_all_else_as_it_was() -> None:
    for index in range(60):
        some, always = (plan(replace(CONFIG, throughout=rate), "train", index) for rate in (0.6, 1.0))
        assert some.backdrop == always.backdrop
        for one, other in zip(some.actors, always.actors, strict=True):
            assert replace(one, cue=None) == replace(other, cue=None)
            assert (one.cue is None) == (other.cue is None)
            if one.cue and other.cue:
                assert one.cue.files == other.cue.files


@pytest.mark.parametrize("split", ["train", "test"])
def test_a_solo_clip_has_one_source_heard_in_every_second(split: str) -> None:
    solo = PRESETS["scenes-solo"]
    for index in range(80):
        [(name, cue)] = [(actor.name, actor.cue) for actor in plan(solo, split, index).actors if actor.cue is not None]
        assert name == main(solo, index)
        assert heard_in(source(cue, round(solo.seconds * RATE)), solo.frames).all()


@pytest.mark.parametrize("seconds", [1.0, 1.5, 5.0, 12.3])
def test_sounds_start_and_stop_within_the_clip(seconds: float) -> None:
    cues = [actor.cue for scene in scenes(replace(CONFIG, seconds=seconds), count=100) for actor in scene.actors]
    spans = [(cue.start, cue.stop) for cue in cues if cue]
    assert all(0 <= start <= stop - 1 and stop <= seconds for start, stop in spans)
    assert (0, seconds) in spans
    assert (len(set(spans)) > 3) == (seconds > 2)
