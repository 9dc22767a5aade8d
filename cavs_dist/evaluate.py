"""Judge a finished run again, from the weights it kept."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from cavs_dist import distributed
from cavs_dist.config import load_run
from cavs_dist.data.split import open_split
from cavs_dist.engine import start_world
from cavs_dist.errors import InputError
from cavs_dist.run_folder import write_text
from cavs_dist.setting import Setting, open_setting
from cavs_dist.watchdog import watching


def evaluate(folder: Path, split: str, batch: int, out: Path | None, console: Console) -> None:
    """Evaluate every finished stage of the run in `folder` on a split; print the metrics. Collective."""
    if not (folder / "config.yaml").is_file():
        raise InputError(f"{folder} is no run folder: it has no config.yaml")
    overrides = [f"out={folder}"] + ([f"evaluate.batch={batch}"] if batch else [])
    setting = open_setting(load_run(str(folder / "config.yaml"), overrides))
    start_world(setting.run.engine)
    with watching(setting.run.engine.patience):
        records = judge_kept(setting, split)
    if distributed.is_first():
        console.print(_table([record["metrics"] for record in records]))
        if out is not None:
            write_text(out, json.dumps(records))


def judge_kept(setting: Setting, split: str) -> list[dict[str, Any]]:
    """Return the records of all finished stages, with metrics. Collective."""
    judged = setting.test if split == "test" else open_split(setting.run.data, split)
    setting = replace(setting, validation=judged)
    records: list[dict[str, Any]] = []
    for stage in setting.stages:
        if not setting.folder.product(stage.index, "main.safetensors").exists():
            break
        model = setting.kept_model("main", stage)
        batches = setting.clip_by_clip(judged.clips, stage, "test", f"stage {stage.index}, evaluating")
        record = setting.task.evaluate(model, batches, stage)
        records.append(record | {"metrics": setting.task.metrics([*records, record])})
    if not records:
        raise InputError(f"{setting.folder.path} has no finished stage yet: train it first")
    return records


def _table(metrics: list[dict[str, Any]]) -> Table:
    table = Table("after stage", *(str(stage) for stage in range(len(metrics))))
    for name in metrics[0]:
        values = [stage[name] for stage in metrics]
        table.add_row(name, *("-" if value is None else f"{value:.4f}" for value in values))
    return table
