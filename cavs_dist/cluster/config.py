"""What a run asks of a SLURM cluster: the section `slurm`."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from cavs_dist.errors import InputError

TIME = re.compile(r"(\d+-)?\d{1,3}(:\d{1,2}){0,2}|UNLIMITED|infinite")
MEMORY = re.compile(r"\d+[KMGT]?")
OPTION = re.compile(r"--([a-z][a-z0-9-]*)(=.+)?", re.DOTALL)
# What `submit` sets itself, by a key of this section or by what a run needs to go on.
OURS = (
    "account", "array", "batch", "chdir", "cpus-per-task", "dependency", "error", "export", "export-file", "gpus",
    "gpus-per-node", "help", "hold", "job-name", "kill-on-invalid-dep", "mem", "no-requeue", "nodes", "ntasks",
    "ntasks-per-node", "open-mode", "output", "parsable", "partition", "qos", "quiet", "requeue", "signal",
    "test-only", "time", "usage", "version", "wait", "wrap",
)  # fmt: skip


@dataclass(frozen=True)
class SlurmConfig:
    """The section `slurm`: what `cavs-dist submit` asks a cluster for. It changes nothing that a run computes.

    nodes: how many. gpus_per_node: GPUs of each. ranks_per_node: 0 for one a GPU, and one where there are none.
    cpus_per_rank: CPUs of each. memory: of a node, as SLURM writes it (64G); empty for the partition's default.
    time: a job's limit (4:00:00, 2-00:00:00). partition, account, qos: empty for the cluster's default. name: of the
    job; empty for the run folder's. lead: seconds before the limit, or before a preemption, at which all ranks are told
    to save. max_restarts: how often a job goes on after a crash; stops, preemptions and lost nodes do not count.
    container: image that the ranks run in, empty for none. runtime: what starts it. mounts: folders that it sees too,
    as the runtime writes them (/data or /data:/data). options: more of sbatch's, such as `--constraint=a100`.
    """

    nodes: int = 1
    gpus_per_node: int = 1
    ranks_per_node: int = 0
    cpus_per_rank: int = 8
    memory: str = ""
    time: str = "4:00:00"
    partition: str = ""
    account: str = ""
    qos: str = ""
    name: str = ""
    lead: int = 120
    max_restarts: int = 3
    container: str = ""
    runtime: Literal["pyxis", "apptainer"] = "apptainer"
    mounts: tuple[str, ...] = ()
    options: tuple[str, ...] = ()

    @property
    def ranks(self) -> int:
        """Ranks of a node."""
        return self.ranks_per_node or self.gpus_per_node or 1


def refuse_unfit(config: SlurmConfig) -> None:
    """Raise InputError for text that sbatch would misread, and for options that are not the user's to set.

    Numbers are not looked at: their ranges are `setting.RANGES`.
    """
    _refuse_unlike("time", config.time, TIME, "minutes, hours:minutes:seconds or days-hours:minutes:seconds")
    if config.memory:
        _refuse_unlike("memory", config.memory, MEMORY, "a number and K, M, G or T, such as 64G")
    texts = {name: getattr(config, name) for name in ("partition", "account", "qos", "name", "container")}
    for name, value in (*texts.items(), *(("mounts", mount) for mount in config.mounts)):
        refuse_unprintable(f"slurm.{name}", value)
    for name in ("partition", "account", "qos"):
        if any(character.isspace() for character in texts[name]):
            raise InputError(f"slurm.{name} is {texts[name]!r}; expected a name without spaces, as SLURM's are")
    for mount in config.mounts:
        if "," in mount:
            raise InputError(f"slurm.mounts has {mount!r}: give each folder as an item of its own, without commas")
    _refuse_options(config.options)


def refuse_unprintable(what: str, value: str) -> None:
    """Raise InputError for line breaks and other control characters, which no quoting takes through an sbatch text."""
    if not value.isprintable():
        raise InputError(f"{what} is {value!r}: it must not hold line breaks or other characters that do not print")


def _refuse_unlike(name: str, value: str, pattern: re.Pattern[str], expected: str) -> None:
    if not pattern.fullmatch(value):
        raise InputError(f"slurm.{name} is {value!r}; expected {expected}")


def _refuse_options(options: Sequence[str]) -> None:
    for option in options:
        refuse_unprintable("slurm.options", option)
        found = OPTION.fullmatch(option)
        if not found:
            raise InputError(f"slurm.options has {option!r}; expected --name or --name=value, such as --exclusive")
        # sbatch takes the beginning of a name for the name.
        ours = [name for name in OURS if name.startswith(found[1])]
        if ours:
            raise InputError(
                f"slurm.options has {option!r}: --{ours[0]} is set from other keys, see `submit --dry-run`"
            )
