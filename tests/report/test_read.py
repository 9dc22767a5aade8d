from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.errors import InputError
from cavs_dist.report.read import only_task, read_run, setting

MakeRun = Callable[..., Path]


def test_a_run_says_what_it_is_in_the_words_of_its_config(make_run: MakeRun) -> None:
    run = read_run(make_run(method="plop"))
    assert (run.method, run.seed, run.data) == ("plop", "0123", "made/up")
    assert run.environment == {"packages.torch": "2.14", "ranks": "1"}
    assert run.task == "segmentation"
    assert setting(run.settings, "evaluate.absent", "") == "skip"


def test_losses_are_the_training_lines_without_what_is_not_finite(make_run: MakeRun) -> None:
    folder = make_run()
    with (folder / "metrics.jsonl").open("a") as file:
        file.write('{"update": 41, "stage": 1, "phase": "twin", "loss": null, "loss/pod": 0.5}\n{"update": 42, "lo')
    losses = read_run(folder).losses
    assert [line.update for line in losses] == list(range(1, 42))
    assert losses[3].terms == {"loss": 0.5, "pod": 0.125, "cross_entropy": 0.375}
    assert losses[-1].terms == {"pod": 0.5}


def test_a_folder_with_a_config_alone_is_a_run_that_has_just_begun(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("method: {name: mib}\n")
    run = read_run(tmp_path)
    assert (run.method, run.losses, run.environment) == ("mib", (), {})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "no run folder"),
        ("a: [", "not valid YAML"),
        ("just words", "no sections"),
        ("task: {name: diarisation}", "`task.name` is diarisation"),
    ],
)
def test_a_foreign_folder_is_refused(tmp_path: Path, config: str | None, said: str) -> None:
    if config is not None:
        (tmp_path / "config.yaml").write_text(config)
    with pytest.raises(InputError, match=said):
        read_run(tmp_path)


@pytest.mark.parametrize("line", ["nonsense", '{"loss": 1, "update": -1}', '{"loss": 1e999, "update": 1}'])
def test_an_edited_log_is_refused_with_the_line(make_run: MakeRun, line: str) -> None:
    folder = make_run()
    (folder / "metrics.jsonl").write_text(f'{{"event": "started"}}\n{line}\n')
    with pytest.raises(InputError, match="line 2"):
        read_run(folder)


def test_a_setting_is_found_at_any_depth_and_nothing_else_is_one() -> None:
    tree = {"seed": "1", "data": {"mix": {"rate": "8000"}, "path": ["a"]}}
    found = [setting(tree, key, "none") for key in ("seed", "data.mix.rate", "data.mix", "data.path", "seed.a", "b.c")]
    assert found == ["1", "8000", "none", "none", "none", "none"]


def test_runs_of_two_tasks_have_no_report(tmp_path: Path) -> None:
    for name in ("segmentation", "separation"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "config.yaml").write_text(f"task: {{name: {name}}}\n")
    first, second = (read_run(tmp_path / name) for name in ("segmentation", "separation"))
    assert only_task([second, second]) == "separation"
    with pytest.raises(InputError, match=r"is a run of segmentation and .* one of separation"):
        only_task([first, second])
