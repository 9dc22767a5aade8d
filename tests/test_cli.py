import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cavs_dist.cli import main
from cavs_dist.config import load_run
from cavs_dist.errors import Interrupted

Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Call:
    """Call `cavs-dist *args`: exit code, standard output, standard error."""

    def call(*args: str | Path) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cavs-dist", *map(str, args)])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), *capsys.readouterr()

    return call


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optim.lrr=1", "optim.lrr=1: unknown key optim.lrr: did you mean optim.lr?"),
        ("optim.lr=quick", "optim.lr=quick: optim.lr: Value 'quick'"),
        ("method.name=plopp", "method.name=plopp: method.name is 'plopp'; expected one of fine_tune, joint"),
        ("data.path=/nowhere", "/nowhere has no shards train-000000.tar"),
        ("data.path=pipe:cat /etc/passwd", "'pipe:cat /etc/passwd' is not a plain path"),
        ("curriculum.order=[bell, bell]", "curriculum.order names bell more than once"),
        ("curriculum.split=5", "curriculum.split 5 does not come out even with 4 classes"),
        ("engine.micro_batch=3", "engine.micro_batch=3 does not divide optim.batch=4"),
        ("train.start=nowhere", "train.start=nowhere has no finished stage 0"),
        ("model.backbone=resnet1", "model.backbone='resnet1' is neither 'small' nor a timm model"),
        ("model.audio=vggish", "model.audio=vggish needs its weights"),
    ],
)
@pytest.mark.parametrize("dry", [True, False])
def test_what_is_wrong_is_one_sentence_and_exit_code_2(
    call: Call, tiny: str, tmp_path: Path, override: str, message: str, dry: bool
) -> None:
    code, out, err = call("train", tiny, override, f"out={tmp_path / 'run'}", *["--dry-run"] * dry)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}") and err.count("\n") == 1
    assert not list(tmp_path.rglob("*.safetensors"))


def test_a_stage_without_clips_is_refused(call: Call, tiny: str, tmp_path: Path) -> None:
    solo = ["data.sources=single", "curriculum.order=[bell, cow, train, violin]", "curriculum.split=1-1"]
    assert call("train", tiny, *solo, "--dry-run")[0] == 0
    code, _, err = call("train", tiny, "data.sources=multiple", "curriculum.split=1-1", f"out={tmp_path / 'run'}")
    assert code == 2 and "has no clip" in err and err.count("\n") == 1


def test_a_dry_run_writes_nothing(call: Call, tiny: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, _ = call("train", tiny, "--dry-run")
    assert code == 0 and "bell, cow" in out and "parameters" in out
    assert not list(tmp_path.iterdir())


def test_what_is_shown_reads_back(call: Call, tiny: str, tmp_path: Path) -> None:
    code, out, err = call("show", tiny, "optim.lr=1e-4", "train.start='a: b'", "out=0123")
    (tmp_path / "shown.yaml").write_text(out)
    assert (code, err) == (0, "")
    assert load_run(str(tmp_path / "shown.yaml")) == load_run(tiny, ["optim.lr=1e-4", "train.start='a: b'", "out=0123"])


def test_a_run_is_evaluated_and_reported(call: Call, finished: Path, tmp_path: Path) -> None:
    code, out, _ = call("evaluate", finished, "--batch", 5, "--out", tmp_path / "records.json")
    assert code == 0 and "old_fg" in out and (tmp_path / "records.json").is_file()
    code, out, _ = call("report", finished, "--out", tmp_path)
    assert code == 0 and (tmp_path / "report.html").is_file() and (tmp_path / "summary.json").is_file()


@pytest.mark.parametrize("command", ["evaluate", "report"])
def test_what_is_no_run_folder_is_refused(call: Call, tmp_path: Path, command: str) -> None:
    code, out, err = call(command, tmp_path)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {tmp_path} is no run folder") and err.count("\n") == 1


def test_a_run_of_another_config_is_not_touched(call: Call, tiny: str, finished: Path) -> None:
    code, _, err = call("train", tiny, f"out={finished}", "seed=4")
    assert code == 2 and "seed: 3 there, 4 now" in err


def test_a_stop_says_what_it_led_to_and_exits_with_75(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(run: Path, *options: object) -> None:
        raise Interrupted("stopped by SIGTERM; run the same") from RuntimeError("connection closed")

    monkeypatch.setattr("cavs_dist.evaluate.evaluate", stopped)
    code, _, said = call("evaluate", tmp_path)
    assert (code, said) == (75, "stopped by SIGTERM; run the same (then: connection closed)\n")
    monkeypatch.setenv("RANK", "1")  # another rank's sentence would be the first one's again
    assert call("evaluate", tmp_path)[::2] == (75, "")


def test_runs_are_listed(call: Call, finished: Path, tmp_path: Path) -> None:
    code, out, _ = call("jobs", finished, "--json")
    assert code == 0 and json.loads(out)[0]["state"] == "finished"
    code, out, err = call("jobs", tmp_path)
    assert (code, out) == (2, "") and err.startswith(f"error: there is no run in {tmp_path}")


@pytest.mark.slow
def test_a_machine_that_lacks_something_exits_with_1(
    call: Call, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GLOO_SOCKET_IFNAME", "nowhere0")
    code, out, _ = call("doctor", tmp_path, "--json")
    failed = {check["name"] for check in json.loads(out) if check["verdict"] == "failed"}
    assert code == 1 and failed >= {"interfaces"}


def test_an_unknown_command_exits_with_2(call: Call) -> None:
    code, _, err = call("trian")
    assert code == 2 and "No such command" in err
