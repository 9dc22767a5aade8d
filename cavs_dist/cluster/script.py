"""The text of a job: a template of `slurm/` with the #SBATCH lines and the settings of a run in it."""

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from cavs_dist.cluster.config import SlurmConfig, refuse_unprintable
from cavs_dist.errors import InputError

OPTION = re.compile(r"^#SBATCH .*\n", re.MULTILINE)


def fill(template: str, options: Sequence[str], settings: Mapping[str, str | Sequence[str]]) -> str:
    """Put `options` in the place of the template's #SBATCH lines, and `settings` where it sets these variables.

    options: `--name` or `--name=value`. settings: bash variables, a sequence for an array. Every value is quoted.
    """
    head, *_ = OPTION.split(template, maxsplit=1)
    body = OPTION.sub("", template[len(head) :])
    for name, value in settings.items():
        before, after = re.split(rf"^{name}=.*$", body, flags=re.MULTILINE)  # once and no more
        body = f"{before}{name}={_quoted(value)}{after}"
    return head + "".join(f"#SBATCH {_option(option)}\n" for option in options) + body


def sbatch_options(config: SlurmConfig, name: str, logs: Path, tasks: int) -> list[str]:
    """Return what sbatch is asked for.

    name: of the job, where the config gives none. logs: the folder of the job's log. tasks: of an array, 0 for none.
    """
    asked = {
        "partition": config.partition,
        "account": config.account,
        "qos": config.qos,
        "mem": config.memory,
        "gpus-per-node": str(config.gpus_per_node or ""),
        "array": f"0-{tasks - 1}" if tasks else "",
    }
    return [
        f"--job-name={config.name or name}",
        f"--nodes={config.nodes}",
        "--ntasks-per-node=1",
        f"--cpus-per-task={config.cpus_per_rank * config.ranks}",
        *(f"--{option}={value}" for option, value in asked.items() if value),
        f"--time={config.time}",
        f"--signal=B:USR1@{config.lead}",
        f"--output={log_pattern(logs, bool(tasks))}",
        "--open-mode=append",
        "--requeue",
        *config.options,
    ]


def log_pattern(logs: Path, array: bool) -> str:
    """Return the name of a job's log as sbatch's pattern: `%j` is the job's id, `%A_%a` a task's of an array.

    Raises InputError for a folder that cannot be named in one.
    """
    folder = str(logs)
    refuse_unprintable("out", folder)
    if "\\" in folder:
        raise InputError(f"out is {folder!r}: SLURM takes no backslash in the path of a log; choose another out=...")
    return f"{folder.replace('%', '%%')}/{'%A_%a' if array else '%j'}.log"


def log_of(pattern: str, job: str, task: str) -> str:
    """Return the log that `log_pattern` means for a job, or for a task of an array."""
    names = {"%%": "%", "%j": job, "%A": job, "%a": task}
    return re.sub("%[%jAa]", lambda found: names[found[0]], pattern)


def container_settings(config: SlurmConfig) -> dict[str, Sequence[str]]:
    """Return the settings that have ranks run in the config's container: options of srun, words before a command."""
    if not config.container:
        return {"srun_options": (), "container": ()}
    if config.runtime == "pyxis":
        mounts = [f"--container-mounts={','.join(config.mounts)}"] if config.mounts else []
        return {"srun_options": (f"--container-image={config.container}", *mounts), "container": ()}
    binds = [word for mount in config.mounts for word in ("--bind", mount)]
    nvidia = ["--nv"] if config.gpus_per_node else []
    return {"srun_options": (), "container": ("apptainer", "exec", *nvidia, *binds, config.container)}


def _quoted(value: str | Sequence[str]) -> str:
    if isinstance(value, str):
        return shlex.quote(value)
    return "(" + "".join(f"\n  {shlex.quote(item)}" for item in value) + ("\n)" if value else ")")


def _option(option: str) -> str:
    """Quote an option as sbatch reads its lines: a backslash counts within quotes too."""
    name, equals, value = option.partition("=")
    if not equals or re.fullmatch(r"[\w.,:@%/+-]+", value, re.ASCII):
        return option
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'{name}="{escaped}"'
