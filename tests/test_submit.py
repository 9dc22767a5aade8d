"""What a cluster makes of it is in tests/slurm; here, what is decided before one is asked."""

from pathlib import Path

import pytest

from cavs_dist.cluster.record import Job, add_submitted
from cavs_dist.errors import InputError
from cavs_dist.submit import (
    Variant,
    open_runs,
    parse_seeds,
    plan_steps,
    read_sweep,
    refuse_submitted,
    submit,
    train_script,
    variants,
)

RECORDED = Path(__file__).parent / "recorded"
ON = ("slurm.gpus_per_node=0",)


def test_without_seeds_or_a_sweep_there_is_one_run() -> None:
    assert variants(["a=1"], "", None) == [Variant("", ("a=1",))]


def test_seeds_and_a_sweep_make_every_pair(tmp_path: Path) -> None:
    (tmp_path / "sweep").write_text('# rates\noptim.lr=1e-3 "curriculum.order=[bell, cow]"\n\noptim.lr=1e-4  # low\n')
    found = variants(["a=1"], "0,7", tmp_path / "sweep")
    first = ("a=1", "optim.lr=1e-3", "curriculum.order=[bell, cow]")
    assert found[:2] == [Variant("sweep-0-seed-0", (*first, "seed=0")), Variant("sweep-0-seed-7", (*first, "seed=7"))]
    assert found[3] == Variant("sweep-1-seed-7", ("a=1", "optim.lr=1e-4", "seed=7"))
    assert [variant.name for variant in variants([], "", tmp_path / "sweep")] == ["sweep-0", "sweep-1"]


@pytest.mark.parametrize("text", ["a", "0,", "0,0", "0-3", "-1", "1.5", "²"])
def test_seeds_are_different_whole_numbers(text: str) -> None:
    with pytest.raises(InputError, match="expected different whole numbers"):
        parse_seeds(text)


def test_a_sweep_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for text, message in (("a='1", "No closing quotation"), ("# nothing\n", "names no run")):
        (tmp_path / "sweep").write_text(text)
        with pytest.raises(InputError, match=message):
            read_sweep(tmp_path / "sweep")
    with pytest.raises(InputError, match="cannot be read"):
        read_sweep(tmp_path / "missing")


def test_runs_of_an_array_have_folders_of_their_own_and_one_group(tiny: str, tmp_path: Path) -> None:
    out, settings = open_runs(tiny, variants([*ON, f"out={tmp_path / 'study'}"], "3,4", None))
    assert out == tmp_path / "study"
    assert [setting.run.out for setting in settings] == [str(out / "seed-3"), str(out / "seed-4")]
    assert {setting.run.track.group for setting in settings} == {"study"}
    assert [setting.run.track.name for setting in settings] == ["seed-3", "seed-4"]


def test_what_would_fail_in_the_job_is_refused(tiny: str, finished: Path) -> None:
    for override, message in (
        ("slurm.ranks_per_node=3", "3 ranks do not divide"),
        ("slurm.time=soon", "slurm.time is 'soon'"),
        ("slurm.nodes=0", "slurm.nodes is 0; expected at least 1"),
        (f"out={finished}", r"another config \(optim\.lr"),
        ('out="a\\nb"', r"out is .* line breaks"),
    ):
        with pytest.raises(InputError, match=message):
            open_runs(tiny, variants([*ON, "optim.lr=1e-5", override], "", None))


def test_a_chain_is_a_job_a_stage_without_those_that_are_done(tiny: str, tmp_path: Path) -> None:
    out, settings = open_runs(tiny, variants([*ON, f"out={tmp_path}"], "", None))
    assert [step.until for step in plan_steps(out, settings, chain=False)] == [None]
    steps = plan_steps(out, settings, chain=True)
    assert [step.until for step in steps] == [0, 1]
    assert ["\nuntil=0\n" in steps[0].script, "\nuntil=1\n" in steps[1].script] == [True, True]
    (tmp_path / "stages/1").mkdir(parents=True)
    (tmp_path / "stages/1/begin.pt").touch()
    assert [step.until for step in plan_steps(out, settings, chain=True)] == [1]


@pytest.mark.parametrize(
    ("name", "overrides", "tasks"),
    [
        ("gpus", ["slurm.nodes=2", "slurm.gpus_per_node=8", "slurm.partition=long", "slurm.memory=200G"], 0),
        ("array", [*ON, "slurm.ranks_per_node=2", "slurm.cpus_per_rank=1", "slurm.name=three seeds"], 2),
        ("container", ["slurm.container=cavs dist.sif", "slurm.mounts=[/data]", "slurm.options=[--exclusive]"], 0),
    ],
)
def test_the_text_is_the_recorded_one(
    tiny: str, name: str, overrides: list[str], tasks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cavs_dist.config import load_run

    monkeypatch.setattr("sys.executable", "/opt/cavs/bin/python")
    folders = [f"runs/it's/seed-{seed}" for seed in range(tasks)] or ["runs/it's"]
    text = train_script(load_run(tiny, overrides), Path("runs/it's"), folders, tasks, None)
    assert text == (RECORDED / f"train-{name}.sbatch").read_text(encoding="utf-8")


def test_a_run_that_waits_already_is_not_submitted_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_submitted(tmp_path)
    add_submitted(tmp_path, Job("12"))
    (tmp_path / "squeue").write_text("#!/bin/sh\necho '12|PENDING|4:00|0:00||Priority|a'\n")
    (tmp_path / "squeue").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(InputError, match="is job 12 already: wait for it, or scancel it first"):
        refuse_submitted(tmp_path)


def test_where_there_is_no_slurm_a_dry_run_prints_and_nothing_else_works(
    tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    runs = variants([*ON, f"out={tmp_path / 'run'}"], "", None)
    assert submit(tiny, runs, dry_run=True) == []
    assert capsys.readouterr().out.startswith("#!/usr/bin/env bash\n")
    with pytest.raises(InputError, match="no SLURM here"):
        submit(tiny, runs)
    assert not list(tmp_path.iterdir())
