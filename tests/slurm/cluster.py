"""A private SLURM cluster on this machine: munged, slurmctld and a slurmd for each pretended node, all on loopback.

Needs root, Debian's slurm-wlm and munge. Every node has a name of its own, in a namespace of its own, and pretends to
have 16 CPUs and 4 GPUs. Two partitions: `main`, and `low`, whose jobs are requeued when `main` needs their nodes.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "unshare", "setpriv")
APART = ("unshare", "--mount", "--uts", "--propagation", "private")
SETTINGS = """\
ClusterName=test
SlurmctldHost=ctl(127.0.0.1)
SlurmctldPort={port}
SlurmUser=root
SlurmdUser=root
CommunicationParameters=NoInAddrAny,NoCtldInAddrAny
AuthType=auth/munge
# cred_expire: also how long a requeued job waits before it starts again.
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmctldPidFile={folder}/slurmctld.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdPidFile={folder}/%n.pid
SlurmdSpoolDir={folder}/%n
SlurmdLogFile={folder}/%n.log
# A node that is silent for so long is lost, and its jobs are requeued.
SlurmdTimeout=10
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SlurmdParameters=config_overrides
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
GresTypes=gpu
MpiDefault=none
MailProg=/bin/true
MinJobAge=86400
SchedulerType=sched/backfill
SchedulerParameters=bf_interval=1,sched_interval=2,batch_sched_delay=0
KillWait=5
JobRequeue=1
ReturnToService=2
EnforcePartLimits=ALL
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
{nodes}
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF
PartitionName=low Nodes=ALL MaxTime=INFINITE PriorityTier=1 PreemptMode=REQUEUE GraceTime=120
"""
OVER = ("COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "OUT_OF_MEMORY", "BOOT_FAIL", "DEADLINE")


def missing() -> str:
    """Say why there can be no cluster here; empty if there can."""
    path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
    lacking = [program for program in PROGRAMS if shutil.which(program, path=path) is None]
    if lacking:
        return f"needs {', '.join(lacking)}: apt-get install slurm-wlm munge"
    namespaces = subprocess.run([*APART, "true"], capture_output=True, check=False)
    return "" if namespaces.returncode == 0 else "needs root and namespaces, for nodes with names of their own"


class Cluster:
    """The daemons, whose state is in `folder` (a short path: sockets are named below it); use as a context."""

    def __init__(self, folder: Path, nodes: int) -> None:
        self.folder = folder
        self.nodes = [f"node{number}" for number in range(1, nodes + 1)]
        path = f"{os.environ['PATH']}:/usr/sbin:/sbin"
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf"), "PATH": path}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def __enter__(self) -> "Cluster":
        """Start all daemons, and wait until every node is idle."""
        try:
            self._configure()
            munge = [f"--{name}={self.folder / file}" for name, file in (
                ("key-file", "munge.key"), ("socket", "munge.socket"), ("pid-file", "munge.pid"),
                ("log-file", "munge.log"), ("seed-file", "munge.seed"),
            )]  # fmt: skip
            self._start("munged", "", "munged", "--foreground", "--force", *munge)
            self.until(lambda: (self.folder / "munge.socket").exists(), "munged")
            self._start("ctl", "ctl", "slurmctld", "-D", "-c")
            for node in self.nodes:
                self.start_node(node)
            self.until(self.is_idle, "idle nodes")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        """End all jobs and daemons."""
        daemons = list(self._daemons.values())
        if "ctl" in self._daemons and self._daemons["ctl"].poll() is None:
            for partition in ("main", "low"):
                self.call("scontrol", "update", f"PartitionName={partition}", "State=DOWN", check=False)
            jobs = self.call("squeue", "--noheader", "--format=%A", check=False).split()
            self.call("scancel", "--signal=KILL", "--full", *jobs, check=False) if jobs else None
            self.call("scancel", *jobs, check=False) if jobs else None
        for daemon in reversed(daemons):
            daemon.terminate()
        for daemon in daemons:
            try:
                daemon.wait(10)
            except subprocess.TimeoutExpired:
                daemon.kill()
        for process in self.processes():
            os.kill(process, signal.SIGKILL)

    def call(self, *command: str, check: bool = True, text: str = "") -> str:
        """Run a command against this cluster and return what it prints."""
        done = subprocess.run(
            command, env=os.environ | self.environment, input=text, capture_output=True, text=True, timeout=60
        )
        assert not check or done.returncode == 0, (command, done.stdout, done.stderr)
        return done.stdout

    def state(self, job: str) -> str:
        """Return a job's state, such as RUNNING."""
        return self.show(job).get("JobState", "")

    def show(self, job: str) -> dict[str, str]:
        """Return what scontrol says of a job."""
        said = self.call("scontrol", "--oneliner", "show", "job", job)
        return dict(word.split("=", 1) for word in said.split() if "=" in word)

    def end_of(self, job: str, seconds: float = 300) -> dict[str, str]:
        """Wait until a job is over, and return what scontrol says of it."""
        self.until(lambda: self.state(job) in OVER, f"the end of job {job}", seconds)
        return self.show(job)

    def until(self, done: Callable[[], bool], what: str, seconds: float = 30) -> None:
        """Wait for `done`."""
        limit = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < limit, f"no {what} within {seconds} s\n{self.logs()}"
            time.sleep(0.2)

    def lose_node(self, node: str) -> None:
        """Kill a node's daemon and all that it started at one blow, as if its power were cut."""
        place = Path(f"/proc/{self._daemons[node].pid}/ns/mnt").readlink()
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for process in Path("/proc").glob("[0-9]*"):
                with suppress(OSError):
                    if (process / "ns/mnt").readlink() == place:
                        os.kill(int(process.name), number)
        self._daemons[node].wait()

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        self._start(node, node, "slurmd", "-D", "-N", node)

    def processes(self, *variables: str) -> list[int]:
        """Return the processes of this cluster's jobs that have `variables` (NAME=value) in their environment."""
        mine = [f"{variable}\0".encode() for variable in (f"SLURM_CONF={self.folder / 'slurm.conf'}", *variables)]
        found = []
        for path in Path("/proc").glob("[0-9]*/environ"):
            try:
                environment = path.read_bytes()
            except OSError:
                continue
            if b"SLURM_JOB_ID=" in environment and all(variable in environment for variable in mine):
                found.append(int(path.parent.name))
        return found

    def logs(self) -> str:
        """Return the ends of the daemons' logs."""
        ends = ((path.name, path.read_text(errors="replace")[-1500:]) for path in self.folder.glob("*.log"))
        return "\n".join(f"--- {name}\n{end}" for name, end in ends)

    def _configure(self) -> None:
        first = free_ports(len(self.nodes) + 1)
        lines = [
            f"NodeName={node} NodeHostname={node} NodeAddr=127.0.0.1 Port={first + number} "
            "CPUs=16 RealMemory=32000 Gres=gpu:4"
            for number, node in enumerate(self.nodes, start=1)
        ]
        settings = SETTINGS.format(port=first, folder=self.folder, nodes="\n".join(lines))
        (self.folder / "slurm.conf").write_text(settings)
        (self.folder / "munge.key").write_bytes(os.urandom(128))
        (self.folder / "munge.key").chmod(0o400)
        names = [f"127.0.0.1 {name}" for name in ("ctl", *self.nodes)]
        (self.folder / "hosts").write_text(Path("/etc/hosts").read_text() + "\n".join(names) + "\n")
        for name in ("state", *self.nodes):
            (self.folder / name).mkdir()
        for number in range(4):
            (self.folder / f"gpu{number}").symlink_to("/dev/null")  # slurmd wants devices
        (self.folder / "gres.conf").write_text(f"Name=gpu File={self.folder}/gpu[0-3]\n")

    def _start(self, daemon: str, host: str, *command: str) -> None:
        """Start a daemon that ends with this process, where `host` is the machine's name."""
        inside = 'hostname "$0" && mount --bind "$1" /etc/hosts && shift && exec setpriv --pdeathsig KILL "$@"'
        named = [*APART, "sh", "-c", inside, host]
        words = [*named, str(self.folder / "hosts")] if host else ["setpriv", "--pdeathsig", "KILL"]
        with (self.folder / f"{daemon}.err").open("ab") as file:
            self._daemons[daemon] = subprocess.Popen(
                [*words, *command],
                env=os.environ | self.environment,
                stdout=file,
                stderr=file,
                stdin=subprocess.DEVNULL,
            )

    def is_idle(self) -> bool:
        """Tell whether no node is at work, nor lost."""
        nodes = self.call("sinfo", "--noheader", "-N", "-p", "main", "-t", "idle", "-o", "%N", check=False)
        return set(nodes.split()) == set(self.nodes)


def free_ports(number: int) -> int:
    """Return the first of `number` consecutive ports that are free, below those that the system gives away."""
    for first in range(20000 + os.getpid() % 1000 * 10, 32000, number):
        try:
            for port in range(first, first + number):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    raise OSError("no free ports")
