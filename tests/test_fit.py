import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from cavs_dist.checkpoint import Checkpoints, read_best
from cavs_dist.config import load_run
from cavs_dist.errors import InputError
from cavs_dist.fit import weigh
from cavs_dist.order import order_of_config
from cavs_dist.outputs.segmentation import Batch
from cavs_dist.run_folder import read_json
from cavs_dist.setting import open_setting
from cavs_dist.trainer import train

# One stage, no memory, 6 updates.
SHORT = ["curriculum.order=[bell, cow]", "curriculum.split=2", "method.name=fine_tune", "memory.select=none"]


def make_batch(annotated: Tensor, present: Tensor) -> Batch:
    nothing = torch.zeros(0)
    flat = annotated.flatten().double(), present.flatten().double()
    return Batch(("",) * len(present), nothing, nothing, nothing, nothing, present, annotated, *flat)


def cut(batch: Batch, parts: int) -> list[Batch]:
    return [
        make_batch(annotated, present)
        for annotated, present in zip(batch.annotated.chunk(parts), batch.present.chunk(parts), strict=True)
    ]


def losses(folder: Path) -> list[float]:
    lines = map(json.loads, (folder / "metrics.jsonl").read_text().splitlines())
    return [line["loss"] for line in lines if "loss" in line]


@pytest.mark.parametrize("parts", [1, 2, 4])
def test_every_annotated_frame_weighs_the_same_however_an_update_is_cut(parts: int) -> None:
    torch.manual_seed(0)
    present = torch.arange(5) < torch.tensor([[5], [2], [4], [1]])
    annotated = present & (torch.arange(5) < torch.tensor([[1], [2], [0], [1]]))
    value = torch.rand(4, 5, dtype=torch.float64, requires_grad=True)
    batches = weigh(cut(make_batch(annotated, present), parts))
    labels, frames = torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for batch, part in zip(batches, value.chunk(parts), strict=True):
        # The engine takes the mean over micro-batches.
        labels = labels + (batch.label_weight * part.flatten()).sum() / parts
        frames = frames + (batch.frame_weight * part.flatten()).sum() / parts
    assert labels.item() == pytest.approx(value[annotated].mean().item(), abs=1e-12)
    assert frames.item() == pytest.approx(value[present].mean().item(), abs=1e-12)
    (slope,) = torch.autograd.grad(labels, value)
    assert torch.allclose(slope, annotated / annotated.sum().double(), atol=1e-12)


def test_an_update_without_a_label_weighs_nothing() -> None:
    (batch,) = weigh([make_batch(torch.zeros(2, 3, dtype=torch.bool), torch.ones(2, 3, dtype=torch.bool))])
    assert batch.label_weight.tolist() == [0] * 6
    assert batch.frame_weight.sum().item() == pytest.approx(1)


def test_a_loss_that_is_not_finite_ends_the_run_and_writes_its_clips_down(tiny: str, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"loss \(segment\) of stage 0, main, update 1 is not finite .*nonfinite\.json"
    ):
        train(load_run(tiny, [*SHORT, f"out={tmp_path}", "optim.lr=1e20", "train.checkpoint_every=1"]))
    (event,) = read_json(tmp_path / "nonfinite.json")["events"]
    assert [len(rank["keys"]) for rank in event["ranks"]] == [4]
    newest = Checkpoints(tmp_path / "checkpoints", 2).newest(0, "main")
    assert newest is not None and newest[0].update == 1
    assert not list(tmp_path.rglob("*.safetensors"))


def test_what_is_not_finite_is_left_out_within_the_budget(tiny: str, tmp_path: Path) -> None:
    run = [*SHORT, f"out={tmp_path}", "optim.lr=1e20", "train.checkpoint_every=1", "train.on_nonfinite=skip"]
    run.append("track.clips=true")
    with pytest.raises(InputError, match=r"and 3 updates of this fit were not, more than train\.nonfinite_budget=2"):
        train(load_run(tiny, [*run, "train.nonfinite_budget=2"]))
    newest = Checkpoints(tmp_path / "checkpoints", 2).newest(0, "main")
    assert newest is not None and (newest[0].update, newest[0].nonfinite) == (3, 2)
    train(load_run(tiny, run))  # a larger budget: it goes on, counting from 2
    assert [event["update"] for event in read_json(tmp_path / "nonfinite.json")["events"]] == [1, 2, 3, 4, 5]
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [(line.get("event"), line["update"]) for line in lines][:6] == [
        *(("begin", 0), (None, 1)), *(("nonfinite", update) for update in (2, 3, 4, 5)),
    ]  # fmt: skip
    clips = [json.loads(line) for line in (tmp_path / "clips/rank-0.jsonl").read_text().splitlines()]
    assert [len(line["keys"]) for line in clips][:5] == [4, 0, 0, 0, 0]  # no clip taught what was left out
    kept = load_file(tmp_path / "stages/0/main.safetensors")
    assert all(value.isfinite().all() for value in kept.values())


def test_the_best_weights_on_validation_are_kept(tiny: str, tmp_path: Path) -> None:
    scores, seen = {}, {}
    for keep in ("last", "best"):
        run = load_run(
            tiny, [*SHORT, f"out={tmp_path / keep}", f"train.keep={keep}", "train.epochs=5", "optim.lr=2e-2"]
        )
        train(run)
        setting = open_setting(replace(run, train=replace(run.train, keep="best")))
        stage = setting.stages[0]
        batches = setting.clip_by_clip(setting.validation_of(stage).clips, stage, "val", "validating")
        model = setting.kept_model("main", stage)
        scores[keep] = setting.task.validate(model, batches, stage)
        seen[keep] = losses(tmp_path / keep)
    assert seen["best"] == seen["last"]  # looking at validation clips changes nothing of the training
    assert scores["best"] >= scores["last"]


def test_the_best_weights_survive_a_crash(
    tiny: str, scenes: Path, damage: Callable[[Path, str], None], tmp_path: Path
) -> None:
    # Of 15 clips, epoch 0 (updates 0 to 2) leaves 3 out; the first of them to come later is damaged.
    overrides = [*SHORT, "train.keep=best", "train.epochs=3", "train.checkpoint_every=1"]
    lines = [line.split("\t")[2].split() for line in order_of_config(tiny, overrides, 0, 1, 0, 6)][1:]
    late = next(key for keys in lines[3:] for key in keys if key not in {key for keys in lines[:3] for key in keys})
    damage(shutil.copytree(scenes, tmp_path / "damaged"), late)
    train(load_run(tiny, [*overrides, f"out={tmp_path / 'whole'}"]))
    with pytest.raises(InputError, match=late):
        train(load_run(tiny, [*overrides, f"out={tmp_path / 'crashed'}", f"data.path={tmp_path / 'damaged'}"]))
    saved = Checkpoints(tmp_path / "crashed" / "checkpoints", 2).newest(0, "main")
    assert saved is not None and saved[0].best is not None and read_best(saved[1])
    spoil(saved[1] / "best.safetensors")  # so that the one before is used, and the track goes back as far
    train(load_run(tiny, [*overrides, f"out={tmp_path / 'crashed'}", "engine.zero=2"]))  # cut anew on its way
    whole, crashed = ((tmp_path / name / "stages/0/main.safetensors").read_bytes() for name in ("whole", "crashed"))
    assert whole == crashed
    assert losses(tmp_path / "whole") == losses(tmp_path / "crashed")


def spoil(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
