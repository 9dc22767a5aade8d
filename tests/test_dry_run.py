import io
import re
from pathlib import Path

import pytest
from rich.console import Console

from cavs_dist.config import load_run
from cavs_dist.dry_run import expected_memory, print_dry_run
from cavs_dist.errors import InputError
from cavs_dist.run_folder import read_json
from cavs_dist.setting import open_setting


def printed(tiny: str, *overrides: str) -> str:
    console = Console(width=160, record=True, file=io.StringIO())
    print_dry_run(load_run(tiny, overrides), console)
    return console.export_text()


def rows(text: str) -> list[list[str]]:
    return [re.split(r"\s*│\s*", line.strip("│ \n")) for line in text.splitlines() if line.startswith("│")]


def test_what_is_planned_is_what_happens(tiny: str, shaken: Path, finished: Path, tmp_path: Path) -> None:
    text = printed(tiny, f"out={tmp_path / 'run'}", f"train.start={shaken}")
    setting = open_setting(load_run(str(finished / "config.yaml")))
    for stage, row in zip(setting.stages, rows(text), strict=True):
        memory = setting.memory_before(stage)
        assert row == [
            str(stage.index),
            ", ".join(stage.new),
            str(len(setting.clips_of(stage).clips)),
            str(read_json(finished / f"stages/{stage.index}/main.json")["updates"]),
            str(sum(len(kept) for kept in memory.classes.values())),
            "yes" if stage.index == 0 else "no",
        ]
    assert not (tmp_path / "run").exists()


def test_disk_is_stated_from_above(tiny: str, finished: Path) -> None:
    found = re.search(r"at most (\d+) MB of weights", printed(tiny).replace("\n", " "))
    assert found is not None
    kept = sum(path.stat().st_size for path in finished.glob("stages/*/main.safetensors"))
    assert abs(int(found[1]) - kept / 1e6) < 1


def test_concat_lengthens_an_epoch(tiny: str) -> None:
    concat = rows(printed(tiny, "rehearse.mode=concat", "optim.batch=1", "train.epochs=1"))[1]
    assert int(concat[3]) == int(concat[2]) + int(concat[4])


def test_what_would_fail_is_refused(tiny: str) -> None:
    with pytest.raises(InputError, match="no finished stage 0"):
        printed(tiny, "train.start=nowhere")
    with pytest.raises(InputError, match="near it"):
        printed(tiny, "model.backbone=resnet1")


def test_a_class_heard_in_few_clips_gives_few_exemplars(tiny: str) -> None:
    setting = open_setting(load_run(tiny, ["memory.per_class=100"]))
    memory = expected_memory(setting, setting.stages[1])
    heard = {name: sum(name in clip.meta.classes for clip in setting.train.clips) for name in ("bell", "cow")}
    assert {name: len(kept) for name, kept in memory.classes.items()} == heard
