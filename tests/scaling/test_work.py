from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.run_folder import read_json
from cavs_dist.scaling.work import count_work, with_batch
from cavs_dist.setting import open_setting


def test_what_is_counted_is_what_a_run_does(tiny_separation: str, separated: Path) -> None:
    setting = open_setting(load_run(tiny_separation))
    work = count_work(setting)
    made = [read_json(path)["updates"] for path in sorted(separated.glob("stages/*/main.json"))]
    assert [stage.updates for stage in work.stages] == made
    memory = read_json(separated / "stages/0/memory.json")
    assert work.stages[1].exemplars == sum(len(kept) for kept in memory["classes"].values())
    assert work.clips == 2 and work.stages[1].rehearsed == 2 and work.stages[0].rehearsed == 0
    assert [stage.places for stage in work.stages] == [2, 0]


def test_twins_are_counted_where_there_are_any(tiny: str) -> None:
    first, second = count_work(open_setting(load_run(tiny))).stages
    assert first.twins == first.updates > 0 and second.twins == 0
    both = count_work(open_setting(load_run(tiny, ["memory.multimodal=twin"]))).stages[0]
    assert both.twins == 2 * first.twins
    assert count_work(open_setting(load_run(tiny, ["memory.unimodal=silence"]))).stages[0].twins == 0


def test_a_clip_is_the_mean_of_the_index(tiny: str, scenes: Path) -> None:
    setting = open_setting(load_run(tiny))
    work = count_work(setting)
    tars = sum(path.stat().st_size for path in scenes.glob("train-*.tar"))
    assert 0.5 * tars < work.clip_bytes * len(setting.train.clips) < tars
    assert work.pixels == 2 * 32 * 32 and work.clips == 1
    assert work.key == max(len(clip.key) for clip in setting.train.clips)


@pytest.mark.parametrize("mode", ["ratio", "concat"])
def test_another_batch_makes_other_updates(tiny: str, mode: str) -> None:
    setting = open_setting(load_run(tiny, [f"rehearse.mode={mode}", "memory.select=random"]))
    same, double = count_work(with_batch(setting, 4, 0)), count_work(with_batch(setting, 8, 0))
    assert same == count_work(setting)
    assert 2 * double.updates == pytest.approx(same.updates, abs=8)  # each epoch drops its own rest
    assert double.rehearsed == pytest.approx(2 * same.rehearsed) and same.rehearsed > 0
