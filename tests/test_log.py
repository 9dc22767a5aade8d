import json
from pathlib import Path

import pytest

from cavs_dist.log import Log


def lines(path: Path) -> list[dict]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, updates: range, resume_update: int | None) -> None:
    log = Log(path, resume_update)
    for update in updates:
        assert log.write({"update": update})
    log.close()


def test_resuming_cuts_what_the_restored_state_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "log.jsonl"
    write(path, range(1, 6), None)
    write(path, range(4, 5), resume_update=3)
    assert [line["update"] for line in lines(path)] == [1, 2, 3, 4]
    write(path, range(1, 2), resume_update=None)
    assert [line["update"] for line in lines(path)] == [1]


def test_an_event_stays_with_the_update_before_it_and_a_torn_line_goes(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    text = '{"update": 1}\n{"event": "saved"}\n{"update": 2}\n{"event": "evaluated"}\n{"upd'
    path.write_text(text)
    write(path, range(0), resume_update=1)
    assert lines(path) == [{"update": 1}, {"event": "saved"}]
    path.write_text(text)
    write(path, range(0), resume_update=9)
    assert len(lines(path)) == 4


def test_a_line_is_in_the_file_at_once_and_not_twice_in_a_row_also_after_a_crash(tmp_path: Path) -> None:
    path, event = tmp_path / "log.jsonl", {"event": "evaluation", "update": 5}
    log = Log(path, None)
    assert log.write({"update": 5}) and log.write(event) and not log.write(event)
    assert lines(path) == [{"update": 5}, event]
    log.close()
    again = Log(path, 5)
    assert not again.write(event) and again.write({"update": 6})
    again.close()
    assert lines(path) == [{"update": 5}, event, {"update": 6}]


def test_what_json_has_no_word_for_is_refused(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.jsonl", None)
    with pytest.raises(ValueError, match="not JSON compliant"):
        log.write({"loss": float("nan")})
    log.close()
