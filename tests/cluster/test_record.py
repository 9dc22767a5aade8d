import json
from pathlib import Path

import pytest

from cavs_dist.cluster.record import FILE, Job, add_end, add_start, add_submitted, logs_of, read_jobs


def test_what_was_noted_reads_back(tmp_path: Path) -> None:
    add_submitted(tmp_path, Job("12", until=0, log="slurm/12.log"))
    add_submitted(tmp_path, Job("13", until=1, after="12", log="slurm/13.log"))
    add_start(tmp_path, "12", 0, "node[1-2]")
    add_end(tmp_path, "12", 0, "crashed", 1, "rank 1 ended")
    add_start(tmp_path, "12", 1, "node[1,3]")
    add_start(tmp_path, "12", 2, "node[1,4]")
    add_end(tmp_path, "12", 2, "finished", 0, "all is done")
    first, second = read_jobs(tmp_path)
    assert (first.id, first.until, first.after, first.log) == ("12", 0, "", "slurm/12.log")
    assert [start.nodes for start in first.starts] == ["node[1-2]", "node[1,3]", "node[1,4]"]
    assert [start.end and start.end.ending for start in first.starts] == ["crashed", None, "finished"]
    assert first.crashes == 1
    assert (second.after, second.starts) == ("12", ())


def test_a_job_submitted_by_hand_is_known_by_its_start(tmp_path: Path) -> None:
    add_start(tmp_path, "7_3", 0, "node1")
    (job,) = read_jobs(tmp_path)
    assert (job.id, job.submitted, len(job.starts)) == ("7_3", "", 1)
    assert job.starts[0].logs(tmp_path, job.id) == logs_of(tmp_path, "7_3", 0)


def test_a_folder_without_jobs_has_none(tmp_path: Path) -> None:
    assert read_jobs(tmp_path) == ()


@pytest.mark.parametrize(
    "line",
    ["", "{", "[]", "3", '{"event": "started"}', '{"job": 3}', "[" * 100_000, '{"job": "9", "event": "started'],
)
def test_a_line_that_makes_no_sense_is_left_out(tmp_path: Path, line: str) -> None:
    add_start(tmp_path, "1", 0, "node1")
    with (tmp_path / FILE).open("a") as file:
        file.write(line + "\n")
    add_end(tmp_path, "1", 0, "finished", 0, "")
    (job,) = read_jobs(tmp_path)
    assert job.starts[0].end is not None


def test_values_of_the_wrong_kind_read_as_none(tmp_path: Path) -> None:
    lines = [
        {"event": "submitted", "job": "1", "until": "all", "after": 3},
        {"event": "started", "job": "1", "restart": True},
        {"event": "started", "job": "1", "restart": 0, "nodes": ["a"], "time": None},
        {"event": "ended", "job": "1", "restart": 0, "ending": "won"},
        {"event": "ended", "job": "1", "restart": 0, "ending": "crashed", "code": "x", "reason": "\x1b[2Jred\n"},
    ]
    (tmp_path / "slurm").mkdir()
    (tmp_path / FILE).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (job,) = read_jobs(tmp_path)
    assert (job.until, job.after) == (None, "")
    (start,) = job.starts
    assert (start.nodes, start.time) == ("", "")
    assert start.end is not None and (start.end.code, start.end.reason) == (0, " [2Jred ")
