"""The doctor: a list of checks, each made apart from the others, and their table."""

import json
import shutil
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from cavs_dist import paths
from cavs_dist.doctor import devices, machine, mount, network, ring, slurm, software, storage, tracking
from cavs_dist.doctor.apart import Broke, Stuck, apart
from cavs_dist.doctor.finding import Check, Examined, Finding
from cavs_dist.doctor.needs import Needs, read_needs
from cavs_dist.doctor.program import Unanswered
from cavs_dist.errors import InputError

COLOURS = {"ok": "green", "warning": "yellow", "failed": "red"}
USUAL = Path("runs")
CLEANING_LIMIT = 10.0  # seconds


def examine(target: str = "", overrides: Sequence[str] = ()) -> Iterator[Examined]:
    """Make every check of this machine, one after the other, for `target`: a folder for runs, a run's, or a config.

    Without one, for `runs`. InputError where `target` is none of them, or there are overrides of no config.
    """
    folder, config = _understand(target, overrides)
    return _examine(folder, config, overrides)


def _understand(target: str, overrides: Sequence[str]) -> tuple[Path, str]:
    """Return the folder that `target` means, and the config, empty if there is none."""
    folder = Path(target) if target else USUAL
    if target and not folder.is_dir():
        return USUAL, str(paths.find_config(target))
    if overrides:
        raise InputError(f"{folder} is a folder, which {' '.join(overrides)} says nothing about: give a config's name")
    config = folder / "config.yaml"
    return folder, str(config) if config.is_file() else ""


def _examine(folder: Path, config: str, overrides: Sequence[str]) -> Iterator[Examined]:
    needs = None
    if config:
        own = [f"out={folder}"] if Path(config).parent == folder else []
        examined, needs = _read(config, [*overrides, *own])
        folder = Path(needs.out) if needs else folder
        yield examined
    name = f".doctor-{uuid.uuid4().hex}"
    try:
        for check in checks(folder, name, needs):
            start = time.monotonic()
            yield Examined(check.name, made(check), time.monotonic() - start)
    finally:  # a check that was killed leaves its scratch folder behind
        with suppress(Stuck, Broke):
            apart(lambda: shutil.rmtree(storage.nearest(folder) / name, ignore_errors=True), CLEANING_LIMIT)


def checks(folder: Path, scratch: str, needs: Needs | None) -> list[Check]:
    """Return all checks of this machine. scratch: the name of the folder in which those of the disk try things."""
    nodes = slurm.nodes()

    def tried(look: Callable[[Path], Finding]) -> Callable[[], Finding]:
        return lambda: look(storage.nearest(folder) / scratch)

    return [
        Check("python", 10, software.python),
        Check("libraries", 20, software.libraries),
        Check("GPUs", 90, devices.devices),
        Check("all_reduce", 180, ring.all_reduce),
        Check("cores", 5, machine.threads),
        Check("shared memory", 10, machine.shared_memory),
        Check("open files", 5, machine.open_files),
        Check("file system", 10, lambda: mount.file_system(storage.nearest(folder), nodes)),
        Check("run folder", 20, tried(storage.writable)),
        Check("locks", 20, tried(storage.locks)),
        Check("new files", 20, tried(storage.sight)),
        Check("other nodes", 90, tried(lambda scratch: slurm.sight(scratch, nodes))),
        Check("write speed", 40, tried(storage.speed)),
        Check("clock", 10, tried(storage.clock)),
        Check("free disk", 10, lambda: storage.room(storage.nearest(folder), needs.disk if needs else None)),
        Check("W&B", 20, lambda: tracking.wandb(needs.wandb if needs else None)),
        Check("Triton's cache", 10, mount.triton_cache),
        Check("torch's cache", 10, mount.torch_cache),
        Check("host name", 20, lambda: network.host_name(nodes)),
        Check("interfaces", 20, network.interfaces),
        Check("SLURM", 40, slurm.controller),
        Check("job", 5, slurm.job),
    ]


def made(check: Check) -> Finding:
    """Make a check; one that hangs or breaks is a finding as well."""
    try:
        return Finding(**apart(lambda: asdict(check.look()), check.limit))
    except Stuck as error:
        return Finding("failed", str(error), "what it looks at hangs: try it by hand, or on another node")
    except (Broke, InputError) as error:
        return Finding("failed", f"the check itself broke: {error}", "look at it by hand, and report it")


def _read(config: str, overrides: Sequence[str]) -> tuple[Examined, Needs | None]:
    """Read the config and the data's index."""
    start, needs = time.monotonic(), None
    try:
        needs = read_needs(config, overrides)
        finding = Finding("ok", f"{config}, to {needs.out}")
    except InputError as error:
        finding = Finding("failed", str(error), "mend it: `cavs-dist train` would say the same")
    except Unanswered as error:
        finding = Finding("failed", f"it could not be read: {error}", "try `cavs-dist train ... --dry-run`")
    return Examined("config", finding, time.monotonic() - start), needs


def print_json(examined: Iterable[Examined], console: Console) -> list[Examined]:
    """Print the checks as a JSON list of objects {name, verdict, found, advice, seconds}; return them."""
    done = list(examined)
    lines = [{"name": one.name, **asdict(one.finding), "seconds": round(one.seconds, 3)} for one in done]
    console.file.write(json.dumps(lines, indent=1) + "\n")
    return done


def print_table(examined: Iterable[Examined], console: Console) -> list[Examined]:
    """Print the checks as a table, which grows on a terminal; return them."""
    table = Table("check", "", "found", "what to do")
    done: list[Examined] = []
    with Live(table, console=console, auto_refresh=False) as live:
        for one in examined:
            done.append(one)
            found = one.finding
            verdict = f"[{COLOURS[found.verdict]}]{found.verdict}[/]"
            table.add_row(one.name, verdict, escape(found.found), escape(found.advice))
            live.refresh()
    return done
