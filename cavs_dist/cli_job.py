"""`cavs-dist job ...`: what `slurm/train.sbatch` calls within a job."""

import os
from pathlib import Path
from typing import Annotated, Optional

import typer

app = typer.Typer(no_args_is_help=True, help="What slurm/train.sbatch calls within a job.")
Folder = Annotated[Path, typer.Argument(help="the run folder")]


@app.command("folder")
def folder_command(
    config: Annotated[str, typer.Argument(help="a file, or the name of a shipped config")],
    overrides: Annotated[Optional[list[str]], typer.Argument(help="section.key=value ...")] = None,  # noqa: UP045
) -> None:
    """Print a run's folder."""
    from cavs_dist.config import load_run

    typer.echo(load_run(config, overrides or ()).out)


@app.command("start")
def start_command(folder: Folder) -> None:
    """Note the job's start, and print the folder for what its ranks say."""
    from cavs_dist.cluster import job

    typer.echo(job.start(folder, os.environ))


@app.command("end")
def end_command(
    folder: Folder,
    code: Annotated[int, typer.Option(help="srun's exit code")],
    max_restarts: Annotated[int, typer.Option(min=0, help="how often the job goes on after a crash")],
    signalled: Annotated[bool, typer.Option("--signalled", help="the job was asked to stop")] = False,
) -> None:
    """Note how the ranks ended, requeue the job or exit as it should."""
    from cavs_dist.cluster import job

    raise typer.Exit(job.end(folder, os.environ, code, signalled, max_restarts))
