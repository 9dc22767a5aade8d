from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.data.stream import training_updates
from cavs_dist.errors import InputError
from cavs_dist.memory.memory import Exemplar, ExemplarMemory
from cavs_dist.setting import open_setting, places


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.batch=0", "optim.batch is 0; expected at least 1"),
        ("evaluate.batch=0", "evaluate.batch is 0; expected at least 1"),
        ("track.every=0", "track.every is 0; expected at least 1"),
        ("data.workers=-1", "data.workers is -1; expected at least 0"),
        ("engine.micro_batch=3", "engine.micro_batch=3 does not divide optim.batch=4"),
        ("rehearse.share=1", "rehearse.share is 1.0; expected at least 0 and at most 0.99"),
        ("optim.lr=-1", "optim.lr is -1.0; expected at least 0"),
        ("optim.lr=1e400", "optim.lr is inf; expected at least 0"),
        ("rehearse.share=0.9", "leaves no slot for the stage"),
        ("rehearse.share=0.1", "rehearse.share=0.1 of optim.batch=4 is no slot"),
        ("curriculum.order=[bell, cow, bell]", "names bell more than once"),
        ("curriculum.order=[bell, cow, train, dog]", "names dog, but the data set's classes are bell, cow"),
        ("curriculum.split=3-3", "does not come out even with 4 classes: 3-1 would"),
        ("data.path=/nowhere", "has no shards"),
        ("data.path=pipe:cat shards", "is not a plain path"),
    ],
)
def test_what_cannot_be_is_refused_before_any_work(tiny: str, tmp_path: Path, override: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        open_setting(load_run(tiny, [f"out={tmp_path / 'run'}", override]))
    assert message in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_a_stage_with_nothing_to_mix_is_refused_before_any_work(tiny_separation: str, tmp_path: Path) -> None:
    words = [f"out={tmp_path / 'run'}", "curriculum.split=2-1", "memory.select=none"]
    with pytest.raises(InputError, match=r"all clips are of class train: there is nothing to mix them with"):
        open_setting(load_run(tiny_separation, words))
    open_setting(load_run(tiny_separation, [*words[:2], "memory.select=random"]))
    open_setting(load_run(tiny_separation, [*words, "data.mix.pairing=any"]))


def test_a_stage_has_the_clips_in_which_its_classes_are_heard(tiny: str) -> None:
    setting = open_setting(load_run(tiny))
    for stage in setting.stages:
        heard = [clip.key for clip in setting.train.clips if set(clip.meta.classes) & set(stage.new)]
        assert [clip.key for clip in setting.clips_of(stage).clips] == heard
    assert len(setting.clips_of(setting.stages[1], "seen").clips) == 24


def test_slots_are_reserved_once_there_is_something_to_rehearse(tiny: str) -> None:
    first, second = (setting := open_setting(load_run(tiny))).stages
    assert (setting.reserved_slots(first), setting.reserved_slots(second)) == (0, 2)
    for override in ("memory.select=none", "rehearse.mode=concat"):
        assert open_setting(load_run(tiny, [override])).reserved_slots(second) == 0


def test_an_exemplar_of_two_classes_is_stored_once_and_drawn_for_both() -> None:
    twice, once = Exemplar("both", 0.0, 0), Exemplar("one", 0.0, 0)
    memory = ExemplarMemory({"bell": (twice, once), "cow": (twice,)})
    assert places(memory) == [(0, "both"), (0, "one")]


def test_the_plan_numbers_exemplars_by_their_places(tiny: str) -> None:
    setting = open_setting(load_run(tiny))
    stage = setting.stages[1]
    memory = ExemplarMemory({"bell": (Exemplar("b", 0.0, 0), Exemplar("a", 0.0, 0)), "cow": (Exemplar("b", 0.0, 0),)})
    plan = setting.plan(stage, setting.clips_of(stage), memory, {"cow": 3})
    assert plan.exemplars == {"bell": (1, 0), "cow": (1,)}
    assert plan.weights == {"bell": 2, "cow": 4}
    assert plan.memory_slots == 2
    assert setting.plan(stage, setting.clips_of(stage), ExemplarMemory(), {}).memory_slots == 0


def test_joint_training_reads_and_labels_all_classes_seen(tiny: str) -> None:
    setting = open_setting(load_run(tiny, ["method.name=joint", "memory.select=none", "data.frames=3"]))
    stage = setting.stages[1]
    clips = setting.stage_clips(stage, setting.method, ExemplarMemory(), {})
    updates = list(training_updates(clips, 0, clips.plan.epoch_length, 0, 1, 4))
    labels = {int(label) for update in updates for batch in update.batches for label in batch.labels.unique()}
    assert labels == {0, 1, 2, 3, 4}
    assert len({key for update in updates for batch in update.batches for key in batch.keys}) == 24


def test_a_model_grows_from_what_was_kept(tiny: str, finished: Path) -> None:
    setting = open_setting(load_run(str(finished / "config.yaml")))
    first, second = setting.stages
    kept = dict(setting.kept_model("main", first).named_parameters())
    grown = dict(setting.grown_model("main", second, "background", restart=False).named_parameters())
    anew = dict(setting.grown_model("main", second, "random", restart=True).named_parameters())
    body = [name for name in kept if not name.startswith("heads")]
    assert all(kept[name].equal(grown[name]) for name in body)
    assert not any(kept[name].equal(anew[name]) for name in body if kept[name].dim() == 4)
    assert kept.keys() < grown.keys() == anew.keys()


def test_sending_exemplars_and_skipping_corrupt_clips_exclude_each_other(tiny: str) -> None:
    open_setting(load_run(tiny, ["memory.payload=exchange"]))
    with pytest.raises(InputError, match=r"memory\.payload=exchange sends .* set data\.on_corrupt=error"):
        open_setting(load_run(tiny, ["memory.payload=exchange", "data.on_corrupt=skip"]))
