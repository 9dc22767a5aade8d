"""Kill a run on two ranks again and again, start it again each time, and compare it with one that nobody touched.

python bench/chaos.py [--kills 20] [--out runs/chaos]      (about 7 minutes for 20 kills on 2 cores)

Every kill is a SIGKILL of one rank at a named moment (`TRAPS` of chaos_rank.py). Compared are: after every kill, the
checkpoint that is left (weights, optimizer state, position, counts) with the uninterrupted run's of the same update; at
the end every file of the two run folders, and the history of clips with the order that the index foretells. A table,
one JSON line, and exit code 1 if anything differs.
"""

import argparse
import json
import shutil
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from chaos_digest import differences, digest, newest_checkpoint, products
from chaos_history import problems, updates_kept, updates_made, updates_told
from chaos_rank import Aim
from chaos_start import Bench, Failed

from cavs_dist.data.scenes import ScenesConfig, render_scenes

SCENES = ScenesConfig(
    classes=("bell", "cow", "train", "violin", "woman", "trumpet"),
    train=40, val=0, test=10, size=32, frames=3, seconds=3.0, clips_per_shard=32,
)  # fmt: skip
# In the order in which a run comes by; a fit has 14 to 22 updates, and a checkpoint after every fifth.
KILLS = (
    Aim("mid-epoch", stage=0, call=4, victim=1),
    Aim("save", stage=0, call=2, victim=0),
    Aim("rename", stage=0, call=2, victim=0),
    Aim("renamed", stage=0, call=1, victim=1),
    Aim("prune", stage=0, call=3, victim=0),
    Aim("weights", stage=0, call=1, victim=1),
    Aim("evaluating", stage=0, call=2, victim=1),
    Aim("twin", stage=0, call=9, victim=0),
    Aim("scoring", stage=0, call=3, victim=1),
    Aim("synchronise", stage=0, call=1, victim=0),
    Aim("payload", stage=0, call=7, victim=0),
    Aim("memory", stage=0, call=1, victim=1),
    Aim("looking back", stage=1, call=3, victim=0),
    Aim("mid-epoch", stage=1, call=18, victim=1),
    Aim("save", stage=1, call=1, victim=1),
    Aim("twin", stage=1, call=12, victim=1),
    Aim("scoring", stage=1, call=5, victim=0),
    Aim("synchronise", stage=1, call=1, victim=1),
    Aim("weights", stage=2, call=1, victim=0),
    Aim("clear", stage=2, call=3, victim=0),
)


@dataclass
class Kill:
    """What a kill cost. again: updates to be made again. left: the checkpoint found after it; wrong: if it differs."""

    aim: Aim
    again: int
    left: str
    wrong: bool


def aims(kills: int) -> list[Aim]:
    """Return so many kills, spread evenly over a run, its last moment included."""
    return [KILLS[(number + 1) * len(KILLS) // kills - 1] for number in range(kills)]


def uninterrupted(bench: Bench) -> tuple[dict[str, str], float]:
    """Make the run that nobody touches; return the digest of each of its checkpoints, and its seconds."""
    start = time.monotonic()
    if bench.watched("whole", None):
        raise Failed(f"the uninterrupted run failed: {bench.said('whole')}")
    notes = [json.loads(line) for line in bench.notes("whole").read_text().splitlines()]
    return {told["checkpoint"]: told["digest"] for told in notes}, time.monotonic() - start


def strike(bench: Bench, aim: Aim, known: dict[str, str]) -> Kill:
    """Start the run, kill it, and look at what is left."""
    code = bench.watched("killed", aim)
    notes = [json.loads(line) for line in bench.notes("killed").read_text().splitlines()]
    if not code or {"kill": asdict(aim)} not in notes:
        raise Failed(f"{aim} was never reached; the run said: {bench.said('killed')}")
    folder = bench.run("killed")
    newest = newest_checkpoint(folder / "checkpoints")
    again = updates_told(folder) - updates_kept(folder)
    if newest is None:
        return Kill(aim, again, "none", False)
    return Kill(aim, again, newest.name, known.get(newest.name) != newest.digest)


def tell(kills: Sequence[Kill], wrong: Sequence[str]) -> None:
    """Print the table (fault, how often tried, updates made again, what was lost) and what is wrong."""
    print("| fault | tried | updates made again | lost |\n|---|---|---|---|")
    for fault in dict.fromkeys(kill.aim.fault for kill in kills):
        mine = [kill for kill in kills if kill.aim.fault == fault]
        lost = "see below" if wrong else "nothing"
        print(f"| {fault} | {len(mine)} | {', '.join(str(kill.again) for kill in mine)} | {lost} |")
    for said in wrong:
        print(f"wrong: {said}")


def verdict(bench: Bench, kills: Sequence[Kill]) -> list[str]:
    """Return one sentence for everything that is not as in the uninterrupted run."""
    wrong = [f"checkpoint {kill.left}, left by {kill.aim}, differs" for kill in kills if kill.wrong]
    if all(kill.left == "none" for kill in kills):
        wrong.append("no kill left a checkpoint: the optimizer's state was compared nowhere")
    wrong += differences(*(products(bench.run(name)) for name in ("whole", "killed")))
    wrong += [said for name in ("whole", "killed") for said in problems(bench.run(name))]
    return wrong + [f"process {process} outlived its run" for process in bench.sweep()]


def measure(bench: Bench, wanted: Sequence[Aim]) -> bool:
    """Carry out the bench; tell whether nothing differs."""
    render_scenes(bench.out / "scenes", SCENES)
    start = time.monotonic()
    known, seconds = uninterrupted(bench)
    print(f"uninterrupted: {seconds:.0f} s, {len(known)} checkpoints", flush=True)
    kills = []
    for number, aim in enumerate(wanted, start=1):
        kills.append(strike(bench, aim, known))
        print(f"{time.monotonic() - start:4.0f} s, kill {number} of {len(wanted)}: {kills[-1]}", flush=True)
    if bench.plain("killed"):
        raise Failed(f"the run did not end: {bench.said('killed')}")
    wrong = verdict(bench, kills)
    tell(kills, wrong)
    figures = {
        "kills": len(kills),
        "updates": updates_made(bench.run("killed")),
        "again": sum(kill.again for kill in kills),
        "checkpoints_compared": sum(kill.left != "none" for kill in kills),
        "uninterrupted_seconds": round(seconds),
        "seconds": round(time.monotonic() - start),
        "digest": digest(products(bench.run("killed"))),
    }
    print(json.dumps({"bench": "chaos", **figures, "equal": not wrong}))
    return not wrong


def main() -> None:
    """Kill and compare; exit code 1 if anything differs or went otherwise than planned."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, choices=range(1, len(KILLS) + 1), default=len(KILLS), metavar="N")
    parser.add_argument("--out", type=Path, default=Path("runs/chaos"))
    options = parser.parse_args()
    bench = Bench(options.out)
    bench.out.mkdir(parents=True, exist_ok=True)
    for run in ("whole", "killed"):
        shutil.rmtree(bench.run(run), ignore_errors=True)
        for path in (bench.notes(run), bench.out / f"{run}.log"):
            path.unlink(missing_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # by way of `finally`
    try:
        equal = measure(bench, aims(options.kills))
    except Failed as error:
        sys.exit(f"error: {error}")
    finally:
        bench.sweep()
    sys.exit(0 if equal else 1)


if __name__ == "__main__":
    main()
