import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cavs_dist.cluster import record
from cavs_dist.cluster.record import Job
from cavs_dist.cluster.scheduler import Queued
from cavs_dist.jobs.holder import Holder
from cavs_dist.jobs.run import read_run
from cavs_dist.jobs.state import Verdict, judge

MakeRun = Callable[..., Path]
LINES = [{"update": 5, "stage": 0, "phase": "main", "loss": 1.0, "seconds": 1.0}]


def known(job: str, state: str, reason: str = "None", nodes: str = "") -> Queued:
    return Queued(job, state, "4:00:00", "0:10", nodes, reason, "run")


def verdict(folder: Path, *queue: Queued) -> Verdict:
    return judge(read_run(folder), {job.id: job for job in queue})


@pytest.fixture
def chain(make_run: MakeRun) -> Path:
    """A run whose three jobs follow each other, of which none has started."""
    folder = make_run("chain", lines=LINES)
    for number, (job, after) in enumerate((("11", ""), ("12", "11"), ("13", "12"))):
        record.add_submitted(folder, Job(job, until=number, after=after))
    return folder


def old(folder: Path) -> Path:
    """Make the folder's log as if nobody had written to it for a day."""
    day_ago = time.time() - 86400
    os.utime(folder / "metrics.jsonl", (day_ago, day_ago))
    return folder


def test_without_slurm_a_folder_is_enough(make_run: MakeRun) -> None:
    assert verdict(old(make_run("dead", lines=LINES))).state == "dead"
    stopped = verdict(make_run("stopped", lines=LINES, files={"stopped.txt": "stopped by SIGUSR1 after update 5"}))
    assert (stopped.state, stopped.why) == ("stopped", "stopped by SIGUSR1 after update 5")
    events = '{"events": [{"stage": 0, "role": "main", "update": 5}]}'
    failed = verdict(old(make_run("failed", lines=LINES, files={"nonfinite.json": events})))
    assert failed.state == "failed" and "not finite at stage 0, main, update 5" in failed.why
    done = {"0/main": 20, "0/twin": 10}
    rests = verdict(old(make_run("rests", lines=LINES, done=done, judged=1)))
    assert rests.state == "stopped" and "ended after stage 0" in rests.why
    done |= {"1/main": 30}
    assert verdict(make_run("finished", lines=LINES, done=done, judged=2)).state == "finished"


def test_a_held_folder_runs_and_long_silence_is_told(make_run: MakeRun) -> None:
    run = replace(read_run(make_run(lines=LINES)), holder=Holder(True, "process 7 on a"))
    assert judge(run, {}) == Verdict("running", "process 7 on a", "", ())
    assert judge(replace(run, told=1800.0), {}).why == "no word in metrics.jsonl for 30 min"
    evaluating = replace(run.progress, doing="evaluating")
    assert judge(replace(run, told=1800.0, progress=evaluating), {}).why == "evaluating"


def test_a_growing_log_of_another_machine_runs(make_run: MakeRun) -> None:
    found = verdict(make_run(lines=LINES))
    assert (found.state, found.where) == ("running", "process 7 on nowhere") and "log grows" in found.why


def test_a_chain_waits_for_its_turn_and_names_who_is_before(chain: Path) -> None:
    queue = (
        known("11", "PENDING", "Priority"),
        known("12", "PENDING", "Dependency"),
        known("13", "PENDING", "Dependency"),
    )
    found = verdict(old(chain), *queue)
    assert (found.state, found.why) == ("waiting", "job 11: Priority")
    record.add_start(chain, "11", 0, "n1")
    found = verdict(chain, known("11", "RUNNING", nodes="n1"), *queue[1:])
    assert (found.state, found.where) == ("running", "n1")
    record.add_end(chain, "11", 0, "finished", 0, "")
    found = verdict(old(chain), known("11", "COMPLETED"), *queue[1:])
    assert (found.state, found.why) == ("waiting", "job 12: after job 11")
    assert [job.state for job in found.jobs] == ["finished", "PENDING", "PENDING"]


@pytest.mark.parametrize("behind", [("PENDING", "DependencyNeverSatisfied"), ("CANCELLED", "Dependency")])
def test_a_failed_stage_stops_its_chain_and_says_why(chain: Path, behind: tuple[str, str]) -> None:
    record.add_start(chain, "11", 0, "n1")
    record.add_end(chain, "11", 0, "refused", 2, "stage 0 has no clip")
    found = verdict(old(chain), known("11", "FAILED", "NonZeroExitCode"), known("12", *behind), known("13", *behind))
    assert found.state == "failed"
    assert found.why == "job 11 refused with 2: stage 0 has no clip; job 12 waited for it"
    assert found.jobs[0].why == "stage 0 has no clip"


def test_restarts_keep_their_reasons(make_run: MakeRun) -> None:
    folder = make_run(lines=LINES)
    record.add_start(folder, "11", 0, "n1")
    record.add_end(folder, "11", 0, "stopped", 75, "stopped by SIGUSR1")
    record.add_start(folder, "11", 1, "n1")
    record.add_start(folder, "11", 2, "n2")
    found = verdict(folder, known("11", "RUNNING", nodes="n2"))
    assert found.restarts == 2 and found.state == "running"
    assert found.jobs[0].reasons == ("stopped: stopped by SIGUSR1", "cut off on n1")
    record.add_end(folder, "11", 2, "crashed", 1, "rank 1 ended")
    found = verdict(old(folder), known("11", "PENDING", "BeginTime"))
    assert found.state == "waiting" and found.jobs[0].reasons[-1] == "crashed: rank 1 ended"
    assert found.why.startswith("job 11: it starts again (BeginTime)") and "crashed with 1: rank 1 ended" in found.why


def test_slurms_word_counts_where_the_job_left_none(make_run: MakeRun) -> None:
    folder = old(make_run(lines=LINES))
    record.add_start(folder, "11", 0, "n1")
    assert verdict(folder, known("11", "TIMEOUT", "TimeLimit")).why == "job 11: TIMEOUT, TimeLimit"
    assert verdict(folder).state == "dead"


def test_a_later_stop_outweighs_an_earlier_crash(make_run: MakeRun) -> None:
    folder = old(make_run(lines=LINES))
    record.add_start(folder, "11", 0, "n1")
    record.add_end(folder, "11", 0, "crashed", 1, "rank 1 ended")
    assert verdict(folder).why == "job 11 crashed with 1: rank 1 ended"
    (folder / "stopped.txt").write_text("stopped by SIGTERM")
    os.utime(folder / "stopped.txt", (time.time() + 60,) * 2)
    assert verdict(folder).why == "stopped by SIGTERM"


def test_a_run_that_was_only_submitted(tmp_path: Path) -> None:
    record.add_submitted(tmp_path, Job("11"))
    assert verdict(tmp_path, known("11", "PENDING", "Resources")).state == "waiting"
    found = verdict(tmp_path)
    assert (found.state, found.why) == ("new", "submitted, but SLURM does not know its jobs any more")
