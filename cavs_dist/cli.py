"""The command line. What is wrong with what the user gave is one sentence and exit code 2; a stop asked for is 75."""

import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn, Optional

import typer
from rich.console import Console

from cavs_dist import stop
from cavs_dist.errors import InputError, Interrupted
from cavs_dist.last_word import leave_last_word

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
console = Console()

Config = Annotated[str, typer.Argument(help="a file, or the name of a shipped config such as segmentation/cmr")]
Overrides = Annotated[Optional[list[str]], typer.Argument(help="section.key=value ...", show_default=False)]  # noqa: UP045
RunFolders = Annotated[list[Path], typer.Argument(help="run folders")]


@app.command("train")
def train_command(
    config: Config,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="say what would be done, write nothing")] = False,
    until: Annotated[Optional[int], typer.Option(min=0, help="the last stage of this call")] = None,  # noqa: UP045
) -> None:
    """Train through all stages; the same command again goes on where it was cut off."""
    from cavs_dist.config import load_run

    run = load_run(config, overrides or ())
    if dry_run:
        from cavs_dist.dry_run import print_dry_run

        print_dry_run(run, console)
        return
    from cavs_dist.trainer import train

    train(run, until)


@app.command("submit")
def submit_command(
    config: Config,
    overrides: Overrides = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the jobs' scripts, submit nothing")] = False,
    chain: Annotated[bool, typer.Option("--chain", help="one job a stage, each after the one before")] = False,
    seeds: Annotated[str, typer.Option(help="0,1,2: one run a seed, as an array")] = "",
    sweep: Annotated[Optional[Path], typer.Option(help="file of overrides, a run a line, as an array")] = None,  # noqa: UP045
) -> None:
    """Train on a SLURM cluster: `slurm.*` says on what. The same line again goes on where it was cut off."""
    from cavs_dist.submit import submit, variants

    submit(config, variants(overrides or (), seeds, sweep), chain, dry_run)


@app.command("plan")
def plan_command(
    config: Config,
    overrides: Overrides = None,
    gpus: Annotated[str, typer.Option(help="numbers of GPUs, such as 1,8,64")] = "1,8,64,512",
    clips: Annotated[str, typer.Option(help="training clips of each stage, such as 7392,1764, for want of data")] = "",
    rates: Annotated[Optional[Path], typer.Option(help="a YAML file of rates")] = None,  # noqa: UP045
    measure: Annotated[bool, typer.Option("--measure", help="measure rates on this machine, in minutes")] = False,
    weak: Annotated[bool, typer.Option("--weak", help="let the batch grow with the GPUs")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print one JSON object")] = False,
) -> None:
    """Say what a run would need and how fast it would be on many GPUs; `rates.KEY=VALUE` says what machines do."""
    from cavs_dist.scaling import plan

    plan(config, overrides or (), gpus, clips, rates, measure, weak, as_json, console)


@app.command("evaluate")
def evaluate_command(
    run: Annotated[Path, typer.Argument(help="a run folder")],
    split: Annotated[str, typer.Option(help="val or test")] = "test",
    batch: Annotated[int, typer.Option(help="clips at once, 0 for the run's own")] = 0,
    out: Annotated[Optional[Path], typer.Option(help="write the records as JSON here too")] = None,  # noqa: UP045
) -> None:
    """Judge the weights that a run kept, after every finished stage."""
    from cavs_dist.evaluate import evaluate

    evaluate(run, split, batch, out, console)


@app.command("report")
def report_command(
    runs: RunFolders,
    out: Annotated[Optional[Path], typer.Option(help="folder of report.html and summary.json")] = None,  # noqa: UP045
    seconds: Annotated[Optional[float], typer.Option(help="wall time to state")] = None,  # noqa: UP045
) -> None:
    """Compare runs: a table here, curves and examples to see and to hear in report.html, numbers in summary.json."""
    from cavs_dist.report import write_report

    folder = out or runs[0]
    console.print(write_report(runs, folder, seconds))
    typer.echo(f"{folder / 'report.html'}\n{folder / 'summary.json'}")


@app.command("show")
def show_command(config: Config, overrides: Overrides = None) -> None:
    """Print the resolved config."""
    from cavs_dist.config import load_run, to_yaml

    sys.stdout.write(to_yaml(load_run(config, overrides or ())))


@app.command("jobs")
def jobs_command(
    folders: Annotated[Optional[list[Path]], typer.Argument(help="run folders, or what holds some; runs")] = None,  # noqa: UP045
    as_json: Annotated[bool, typer.Option("--json", help="a list of runs")] = False,
) -> None:
    """Show what runs, where, how far it is, and what became of the rest: by run folders and SLURM's queue."""
    from cavs_dist.jobs.show import print_jobs

    print_jobs(folders or (), console, as_json=as_json)


@app.command("doctor")
def doctor_command(
    target: Annotated[str, typer.Argument(help="a folder for runs, a run folder, or a config")] = "",
    overrides: Overrides = None,
    as_json: Annotated[bool, typer.Option("--json", help="a list of checks")] = False,
) -> None:
    """Check what a run needs of this machine, and say what to do; exit code 1 if a check failed."""
    from cavs_dist.doctor.examine import examine, print_json, print_table

    examined = (print_json if as_json else print_table)(examine(target, overrides or ()), console)
    if any(one.finding.verdict == "failed" for one in examined):
        raise typer.Exit(1)


def main() -> None:
    """Run the command line; exit code 2 with one sentence for what the user can mend, 75 where the run was stopped."""
    from cavs_dist.cli_data import app as data
    from cavs_dist.cli_job import app as job

    app.add_typer(data, name="data")
    app.add_typer(job, name="job", hidden=True)
    stop.unignore()
    try:
        app()
    except InputError as error:
        _leave(f"error: {error}", 2)
    except OSError as error:
        _leave(f"error: {error.filename or 'the system'}: {error.strerror or error}", 2)
    except Interrupted as interrupted:
        cause = f" (then: {interrupted.__cause__})" if interrupted.__cause__ else ""
        _leave(f"{interrupted}{cause}", stop.EXIT_CODE)
    except Exception as error:
        leave_last_word(f"{type(error).__name__}: {error}", 1)
        raise


def _leave(sentence: str, code: int) -> NoReturn:
    """Say why, and exit; a stop is told of by rank 0 alone."""
    leave_last_word(sentence, code)
    if code != stop.EXIT_CODE or os.environ.get("RANK", "0") == "0":
        print(sentence, file=sys.stderr)
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        # A process group that other ranks have left aborts the interpreter's own end.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
