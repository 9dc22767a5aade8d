from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.errors import InputError
from cavs_dist.report.read import read_run

MakeRun = Callable[..., Path]


def test_a_run_says_what_it_is_in_the_words_of_its_config(make_run: MakeRun) -> None:
    run = read_run(make_run(method="plop"))
    assert (run.method, run.seed, run.data, run.absent) == ("plop", "0123", "made/up", "skip")
    assert run.environment == {"packages.torch": "2.14", "ranks": "1"}
    assert len(run.stages) == 2


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
    assert (run.method, run.stages, run.losses, run.environment) == ("mib", (), (), {})


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (None, "no run folder"),
        ("a: [", "not valid YAML"),
        ("just words", "no sections"),
        ("evaluate: {absent: maybe}", "absent"),
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
