"""After a stage: judge the model on every class seen so far, and leave the record where the report finds it."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from cavs_dist import distributed
from cavs_dist.curriculum import Stage
from cavs_dist.data.stream import evaluation_batches
from cavs_dist.run_folder import read_json, write_json
from cavs_dist.setting import Setting
from cavs_dist.track import Track


def judge(setting: Setting, stage: Stage, model: nn.Module, track: Track, update: int) -> None:
    """Evaluate on the test clips, write `evaluation.json` and `examples.npz`, and track both. Collective."""
    batches = setting.clip_by_clip(setting.test.clips, stage, "test", f"stage {stage.index}, evaluating")
    record = setting.task.evaluate(model, batches, stage)
    earlier = [read_json(setting.folder.product(before, "evaluation.json")) for before in range(stage.index)]
    metrics = setting.task.metrics([*earlier, record])
    record |= {"protocol": setting.run.curriculum.protocol, "metrics": metrics}
    with distributed.together():
        if distributed.is_first():
            _save_examples(setting, stage, model)
            _tell(setting, [*earlier, record], track, update)
            write_json(setting.folder.product(stage.index, "evaluation.json"), record)  # last: the stage is judged


def _save_examples(setting: Setting, stage: Stage, model: nn.Module) -> None:
    clips = setting.task.examples(setting.test.clips, stage)
    transform = setting.transform(stage, "test")
    for batch in evaluation_batches(clips, transform, setting.run.data, 0, 1, len(clips)):
        path = setting.folder.product(stage.index, "examples.npz")
        setting.task.save_examples(model, batch.to(distributed.device()), path)


def _tell(setting: Setting, records: Sequence[Mapping[str, Any]], track: Track, update: int) -> None:
    last = records[-1]
    known = {f"test/{name}": value for name, value in last["metrics"].items() if value is not None}
    print(
        f"stage {last['stage']}: " + ", ".join(f"{name[5:]} {value:.3f}" for name, value in known.items()), flush=True
    )
    track.scalars({"event": "evaluation", "update": update, "stage": last["stage"], **known})
    setting.task.show(records, setting.folder.product(last["stage"], "examples.npz"), setting.run.data, track)
