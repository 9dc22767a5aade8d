import pytest

from cavs_dist.config import load_run
from cavs_dist.errors import InputError
from cavs_dist.scaling.made_up import class_names, made_up_setting
from cavs_dist.scaling.rates import Rates


def test_stages_have_the_clips_that_were_given(tiny: str) -> None:
    run = load_run(tiny, ["data.path=none", "curriculum.order=[alphabetical]", "curriculum.split=3-2"])
    setting = made_up_setting(run, (10, 7, 2500), Rates(clip_bytes=1000.0, clip_frames=4))
    assert [len(stage.new) for stage in setting.stages] == [3, 2, 2]
    assert [len(setting.clips_of(stage).clips) for stage in setting.stages] == [10, 7, 2500]
    assert sum(setting.train.shard_sizes) == 2517 and len(setting.train.shards) == 3
    clip = setting.train.clips[0]
    assert clip.meta.frames == 4 and clip.meta.size == (32, 32) and len(clip.key) == 24
    assert sum(member.size for member in clip.members.values()) == 1000


def test_named_classes_come_first() -> None:
    assert class_names(["bell", "..."], "2-1", 2) == ["bell", "class-0001", "class-0002"]
    assert class_names(["seed"], "2", 1) == ["class-0000", "class-0001"]
    assert class_names(["a", "b", "c"], "2-1", 2) == ["a", "b", "c"]


def test_numbers_of_stages_that_the_split_does_not_have_are_refused(tiny: str) -> None:
    with pytest.raises(InputError, match=r"--clips has 2 stages, but curriculum\.split=4 has one"):
        class_names(["alphabetical"], "4", 2)
    with pytest.raises(InputError, match=r"--clips has 3 stages, which bring 6 classes .* names 4"):
        made_up_setting(load_run(tiny), (1, 2, 3), Rates())
    with pytest.raises(InputError, match=r"curriculum\.split is 'x'"):
        made_up_setting(load_run(tiny, ["curriculum.split=x", "curriculum.order=[seed]"]), (1,), Rates())
