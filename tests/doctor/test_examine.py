import io
import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from cavs_dist.doctor import examine as module
from cavs_dist.doctor.examine import checks, examine, made, print_json, print_table
from cavs_dist.doctor.finding import Check, Examined, Finding
from cavs_dist.errors import InputError


def some(*verdicts: str) -> Iterator[Examined]:
    for verdict in verdicts:
        yield Examined("disk", Finding(verdict, "[bold]full[/]", "free some"), 0.25)  # type: ignore[arg-type]


@pytest.mark.slow
def test_this_machine_is_examined_and_left_as_it_was(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = {one.name: one for one in examine(str(tmp_path))}
    assert list(found) == [check.name for check in checks(tmp_path, "scratch", None)]
    assert {found[name].finding.verdict for name in ("python", "run folder", "locks", "new files")} == {"ok"}
    assert not list(tmp_path.iterdir()) and capfd.readouterr() == ("", "")


def test_a_config_is_read_first_and_says_where_and_how_much(tiny: str, tmp_path: Path) -> None:
    examined = examine(tiny, [f"out={tmp_path / 'run'}", "track.wandb=offline"])
    first = next(examined)
    assert (first.name, first.finding.verdict) == ("config", "ok") and str(tmp_path / "run") in first.finding.found
    examined.close()
    refused = next(examine(tiny, ["optim.lrr=1"]))
    assert refused.finding.verdict == "failed" and "did you mean optim.lr?" in refused.finding.found


def test_a_run_folder_has_its_config(shaken: Path) -> None:
    first = next(examine(str(shaken)))
    assert first.name == "config" and first.finding.found.endswith(f"to {shaken}")


def test_what_is_neither_folder_nor_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no config 'nowhere'"):
        examine("nowhere")
    with pytest.raises(InputError, match=r"is a folder, which seed=1 says nothing about"):
        examine(str(tmp_path), ["seed=1"])


def test_a_check_that_hangs_or_breaks_is_a_finding() -> None:
    def broken() -> Finding:
        raise ZeroDivisionError("division by zero")

    def stuck() -> Finding:
        time.sleep(60)
        raise AssertionError

    assert made(Check("disk", 0.2, stuck)).found == "no answer within 0.2 s"
    finding = made(Check("disk", 5, broken))
    assert finding.verdict == "failed" and "ZeroDivisionError: division by zero" in finding.found


def test_what_a_killed_check_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def leave(scratch: Path) -> Finding:
        scratch.mkdir()
        (scratch / "large").write_bytes(bytes(1 << 20))
        time.sleep(60)
        raise AssertionError

    def only_this(folder: Path, scratch: str, needs: object) -> list[Check]:
        return [Check("disk", 0.5, lambda: leave(folder / scratch))]

    monkeypatch.setattr(module, "checks", only_this)
    (found,) = examine(str(tmp_path))
    assert found.finding.verdict == "failed" and not list(tmp_path.iterdir())


def test_checks_are_printed_as_they_are() -> None:
    console = Console(width=100, file=io.StringIO(), record=True)
    assert [one.finding.verdict for one in print_table(some("ok", "failed"), console)] == ["ok", "failed"]
    assert console.export_text().count("[bold]full[/]") == 2
    console = Console(width=20, file=io.StringIO())
    print_json(some("warning"), console)
    assert json.loads(console.file.getvalue()) == [  # type: ignore[attr-defined]
        {"name": "disk", "verdict": "warning", "found": "[bold]full[/]", "advice": "free some", "seconds": 0.25}
    ]
