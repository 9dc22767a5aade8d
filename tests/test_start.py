import shutil
from pathlib import Path

import pytest

from cavs_dist.config import load_run
from cavs_dist.errors import InputError
from cavs_dist.run_folder import RunFolder, read_json
from cavs_dist.setting import open_setting
from cavs_dist.start import adopt, open_start
from cavs_dist.trainer import train


def test_stage_0_is_taken_over_and_the_rest_is_trained(tiny: str, finished: Path, tmp_path: Path) -> None:
    out = tmp_path / "run"
    train(load_run(tiny, [f"out={out}", f"train.start={finished}", "method.name=lwf", "train.epochs=2"]))
    for product in ("main.safetensors", "twin.safetensors", "memory.json"):
        assert (out / "stages/0" / product).read_bytes() == (finished / "stages/0" / product).read_bytes()
    assert [read_json(out / f"stages/{stage}/main.json")["updates"] for stage in (0, 1)] == [0, 14]
    here, there = (read_json(folder / "stages/0/evaluation.json") for folder in (out, finished))
    assert here == there
    assert (out / "stages/1/main.safetensors").read_bytes() != (finished / "stages/1/main.safetensors").read_bytes()


def test_what_a_crash_has_left_to_take_over_still_is(tiny: str, finished: Path, tmp_path: Path) -> None:
    setting = open_setting(load_run(tiny, [f"out={tmp_path}", f"train.start={finished}"]))
    assert adopt(RunFolder(finished), setting.folder, "main")
    assert open_start(setting) is not None  # for the twin's sake
    shutil.copy(finished / "stages/0/memory.json", setting.folder.stage(0))
    assert open_start(setting) is None


@pytest.mark.parametrize("override", ["seed=4", "optim.lr=1e-3", "data.size=64", "train.epochs=1", "model.features=4"])
def test_another_stage_0_is_refused(tiny: str, finished: Path, override: str) -> None:
    setting = open_setting(load_run(tiny, [f"train.start={finished}", override]))
    with pytest.raises(InputError, match=f"other values of {override.partition('=')[0]}: its weights do not fit"):
        open_start(setting)


def test_method_memory_and_machine_may_differ(tiny: str, finished: Path) -> None:
    free = ["method.name=mib", "memory.per_class=1", "rehearse.weight=uniform", "engine.zero=2", "data.workers=3"]
    folder = open_start(open_setting(load_run(tiny, [f"train.start={finished}", *free])))
    assert folder is not None and folder.path == finished
    assert open_start(open_setting(load_run(tiny))) is None


def test_a_start_without_a_finished_stage_is_refused(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no finished stage 0: train that run first"):
        train(load_run(tiny, [f"out={tmp_path / 'run'}", f"train.start={tmp_path}"]))
    assert not (tmp_path / "run").exists()


def test_only_what_there_is_can_be_taken_over(finished: Path, tmp_path: Path) -> None:
    here = RunFolder(tmp_path)
    here.stage(0).mkdir(parents=True)
    assert adopt(RunFolder(finished), here, "main")
    assert not adopt(RunFolder(tmp_path), here, "twin")
    assert sorted(path.name for path in here.stage(0).iterdir()) == ["main.json", "main.safetensors"]
