"""Training as SLURM jobs: `slurm/train.sbatch` filled in for a run, a chain of its stages, or an array of runs."""

import shlex
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path

from cavs_dist import paths
from cavs_dist.cluster import record, scheduler
from cavs_dist.cluster.config import refuse_unfit, refuse_unprintable
from cavs_dist.cluster.record import Job
from cavs_dist.cluster.script import container_settings, fill, log_of, log_pattern, sbatch_options
from cavs_dist.config import Run, as_tree, load_run, read_config, to_yaml
from cavs_dist.data.order import refuse_uneven
from cavs_dist.errors import InputError
from cavs_dist.run_folder import RunFolder, refuse_other_config, write_text
from cavs_dist.setting import Setting, open_setting

MOST_RUNS = 1000  # SLURM's own limit of an array, unless it is configured
ALIVE = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "STOPPED", "COMPLETING")  # states of jobs that may yet train


@dataclass(frozen=True)
class Variant:
    """One run of those that are submitted together. name: its folder's below `out`, empty for `out` itself."""

    name: str
    overrides: tuple[str, ...]


@dataclass(frozen=True)
class Step:
    """One job: its text, where its log is (`%j` its id), and the last stage that it trains, none for all."""

    script: str
    log: str
    until: int | None


def submit(config: str, variants: Sequence[Variant], chain: bool = False, dry_run: bool = False) -> list[str]:
    """Submit the runs, as one job or array, or one a stage; print where to look, and return the jobs' ids.

    dry_run: print the scripts, and what the cluster says of them if there is one. Raises InputError for what would
    fail, before anything is submitted.
    """
    out, settings = open_runs(config, variants)
    steps = plan_steps(out, settings, chain)
    if dry_run:
        print("\n".join(step.script for step in steps), end="")
    if scheduler.is_here() or not dry_run:
        said = [scheduler.test(step.script) for step in steps]
        print(f"checked: {said[0]}", file=sys.stderr)
    if dry_run:
        return []
    for setting in settings:
        refuse_submitted(setting.folder.path)
        write_text(setting.folder.path / "slurm" / "config.yaml", to_yaml(setting.run))
    jobs: list[str] = []
    for step in steps:
        jobs.append(_submit_step(out, settings, step, jobs[-1] if jobs else ""))
        what = "all stages" if step.until is None else f"until stage {step.until}"
        print(f"job {jobs[-1]}, {what}: log {log_of(step.log, jobs[-1], '*')}")
    print(f"runs in {out}; what they do: cavs-dist jobs {shlex.quote(str(out))}")
    return jobs


def variants(overrides: Sequence[str], seeds: str, sweep: Path | None) -> list[Variant]:
    """Return the runs of `--seeds 0,1,2` and of a sweep's file, every one with every one; one run without them."""
    base = tuple(overrides)
    lines = [((), "")] if sweep is None else [(line, f"sweep-{n}") for n, line in enumerate(read_sweep(sweep))]
    numbers = [((), "")] if not seeds else [((f"seed={seed}",), f"seed-{seed}") for seed in parse_seeds(seeds)]
    names = [
        ("-".join(filter(None, (name, seed_name))), (*base, *line, *seed))
        for (line, name), (seed, seed_name) in product(lines, numbers)
    ]
    return [Variant(name, chosen) for name, chosen in names]


def parse_seeds(text: str) -> list[int]:
    """Parse `0,1,2`; InputError for anything else."""
    parts = text.split(",")
    if not all(part.isascii() and part.isdigit() for part in parts) or len(set(parts)) < len(parts):
        raise InputError(f"--seeds is {text!r}; expected different whole numbers, such as 0,1,2")
    return [int(part) for part in parts]


def read_sweep(path: Path) -> list[tuple[str, ...]]:
    """Read a sweep: a line of `key=value` words a run, quoted as in a shell; `#` begins a comment."""
    try:
        lines = [tuple(shlex.split(line, comments=True)) for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as lines of key=value words: {error}") from error
    runs = [line for line in lines if line]
    if not runs:
        raise InputError(f"{path} names no run: give one a line, such as optim.lr=1e-3 seed=1")
    return runs


def open_runs(config: str, variants: Sequence[Variant]) -> tuple[Path, list[Setting]]:
    """Return the folder of all, and every run's setting; InputError for what would fail in a job."""
    if len(variants) > MOST_RUNS:
        raise InputError(f"{len(variants)} runs are more than an array of {MOST_RUNS}: submit a part at a time")
    out = Path(load_run(config, variants[0].overrides).out)
    refuse_unprintable("out", str(out))
    settings = []
    for variant in variants:
        run = load_run(config, variant.overrides)
        if variant.name:
            track = replace(run.track, group=run.track.group or out.name, name=run.track.name or variant.name)
            run = replace(run, out=str(out / variant.name), track=track)
        settings.append(open_setting(run))
        refuse_unfit(run.slurm)
        refuse_run(settings[-1])
    if any(setting.run.slurm != settings[0].run.slurm for setting in settings):
        raise InputError("the runs of an array differ in slurm.*: submit those that need other nodes by themselves")
    return out, settings


def refuse_run(setting: Setting) -> None:
    """Raise InputError where the ranks do not divide the slots, or the folder holds a run of another config."""
    run, folder = setting.run, RunFolder(Path(setting.run.out))
    for stage in setting.stages:
        slots = setting.reserved_slots(stage)
        ranks = run.slurm.nodes * run.slurm.ranks
        refuse_uneven(run.optim.batch, slots, ranks, run.optim.batch // setting.micro_batch)
    if folder.has_learned():
        refuse_other_config(read_config(folder.path / "config.yaml"), as_tree(run), folder.path)


def plan_steps(out: Path, settings: Sequence[Setting], chain: bool) -> list[Step]:
    """Return the jobs: one, or one for each stage that is not finished in every run. Pure."""
    run, stages = settings[0].run, settings[0].stages
    last: list[int | None] = [None]
    if chain:
        last = [stage.index for stage in stages if not all(is_finished(setting, stage.index) for setting in settings)]
    tasks = len(settings) if Path(run.out) != out else 0
    folders = [setting.run.out for setting in settings]
    logs = out / "slurm"
    return [
        Step(train_script(run, out, folders, tasks, until), log_pattern(logs, bool(tasks)), until) for until in last
    ]


def is_finished(setting: Setting, stage: int) -> bool:
    """Tell whether a stage of a run has left what the next one needs."""
    return setting.folder.product(stage + 1, "begin.pt").exists()


def train_script(run: Run, out: Path, folders: Sequence[str], tasks: int, until: int | None) -> str:
    """Return the text of a job that trains the runs in `folders`: `tasks` of an array, or the only one if that is 0."""
    template = (paths.folder("slurm") / "train.sbatch").read_text(encoding="utf-8")
    settings = {
        "ranks": str(run.slurm.ranks),
        "lead": str(run.slurm.lead),
        "max_restarts": str(run.slurm.max_restarts),
        "folders": folders,
        "until": "" if until is None else str(until),
        "host_python": sys.executable,
        "python": "python3" if run.slurm.container else sys.executable,
        **container_settings(run.slurm),
    }
    return fill(template, sbatch_options(run.slurm, out.name, out / "slurm", tasks), settings)


def refuse_submitted(folder: Path) -> None:
    """Raise InputError where a job of the run waits or runs already."""
    jobs = [job.id for job in record.read_jobs(folder)]
    alive = [job.id for job in scheduler.queued(jobs) if job.state in ALIVE] if jobs else []
    if alive:
        raise InputError(f"{folder} is job {', '.join(alive)} already: wait for it, or scancel it first")


def _submit_step(out: Path, settings: Sequence[Setting], step: Step, before: str) -> str:
    """Submit a job that waits for `before`, note it in the folder of every run, and return its id."""
    tasks = Path(settings[0].run.out) != out
    after = f"{'aftercorr' if tasks else 'afterok'}:{before}"
    (out / "slurm").mkdir(parents=True, exist_ok=True)
    job = scheduler.submit(step.script, *([f"--dependency={after}", "--kill-on-invalid-dep=yes"] if before else []))
    for number, setting in enumerate(settings):
        task = f"_{number}" if tasks else ""
        log = log_of(step.log, job, str(number))
        noted = Job(f"{job}{task}", until=step.until, after=f"{before}{task}" if before else "", log=log)
        record.add_submitted(setting.folder.path, noted)
    write_text(out / "slurm" / f"{job}.sbatch", step.script)
    return job
