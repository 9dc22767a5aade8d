import json
import sys
from pathlib import Path

import pytest

from cavs_dist.cli import main
from cavs_dist.errors import InputError
from cavs_dist.scaling import read_numbers


def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    monkeypatch.setattr(sys, "argv", ["cavs-dist", "plan", *args])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0), *capsys.readouterr()


def test_the_paper_is_planned_without_its_data_and_weights(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    paper = ["segmentation/avsbench-ci-60-10", "model.audio_weights=vggish.pth", "--clips", "7392,1764", "--json"]
    code, out, _ = call(monkeypatch, capsys, *paper, "--gpus", "1,8,64,512", "rates.node=4")
    found = json.loads(out)
    assert code == 0 and found["parameters"] == 172_282_887 and found["known"]["rates"]["node"] == 4
    assert [row["batch"] for row in found["rows"]] == [4, 8, 64, 512]
    assert not list(tmp_path.iterdir())


def test_an_index_is_read_where_there_is_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: str
) -> None:
    code, out, _ = call(monkeypatch, capsys, tiny, "--gpus", "1,2", "--weak")
    assert code == 0 and "Where it stops" in out and "slots/s" in out


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["data.path=/nowhere"], "data.path=/nowhere is no folder: give that of the shards, or"),
        (["--clips", "10,10", "--measure"], "--measure trains on the run's own clips"),
        (["--gpus", "0"], "--gpus is '0'; expected numbers from 1"),
        (["--clips", "10,x"], "--clips is '10,x'; expected numbers"),
        (["optim.lrr=1"], "optim.lrr=1: unknown key optim.lrr"),
        (["rates.nodes=1"], "rates.nodes=1: unknown key nodes: did you mean node?"),
        (["--rates", "/nowhere.yaml"], "/nowhere.yaml cannot be read"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_exit_code_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tiny: str, args: list[str], message: str
) -> None:
    code, out, err = call(monkeypatch, capsys, tiny, *args)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {message}") and err.count("\n") == 1


@pytest.mark.parametrize("text", ["", "1,,2", "-1", "1.5", "²", "99999999999999", "1 2"])
def test_what_is_no_number_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="--gpus is"):
        read_numbers(text, "--gpus")


def test_numbers_stand_between_commas() -> None:
    assert read_numbers("1, 8,64", "--gpus") == (1, 8, 64)
