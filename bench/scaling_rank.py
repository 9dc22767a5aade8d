"""One rank of a run under the scaling bench: `cavs-dist`, with what it sends counted and its memory watched.

torchrun ... bench/scaling_rank.py NOTES train CONFIG key=value ...

NOTES: a folder that gets `RANK.json`: the bytes of every update by kind (`scaling_count.py`), those of the agreement on
the exemplars after every stage, and the most bytes of memory that fits of the last stage took beyond what was there.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from scaling_count import install


def resident(field: str) -> int:
    """Return VmRSS or VmHWM, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


def watch(notes: dict[str, Any]) -> None:
    """Note what engines and the synchronisation of memory do."""
    counted = install()
    from cavs_dist import remember
    from cavs_dist.engine import Engine

    begin, step, close, synchronize = Engine.__init__, Engine.step, Engine.close, remember.synchronize
    last: dict[str, int] = {}

    def watched_begin(self: Engine, *arguments: Any) -> None:
        Path("/proc/self/clear_refs").write_text("5")  # from here on VmHWM is the most of this fit
        before = resident("VmRSS")
        begin(self, *arguments)
        notes["memory"].append(-before)
        last.update(counted)

    def watched_step(self: Engine) -> None:
        step(self)
        notes["updates"].append({kind: size - last.get(kind, 0) for kind, size in counted.items()})
        last.update(counted)

    def watched_close(self: Engine) -> None:
        notes["memory"][-1] += resident("VmHWM")
        close(self)

    def watched_synchronize(*arguments: Any) -> Any:
        before = counted["sent"]
        chosen = synchronize(*arguments)
        notes["merged"].append(counted["sent"] - before)
        return chosen

    Engine.__init__, Engine.step, Engine.close = watched_begin, watched_step, watched_close  # type: ignore[method-assign]
    remember.synchronize = watched_synchronize


def main() -> None:
    """Train, and write the notes."""
    folder = Path(sys.argv.pop(1))
    notes: dict[str, Any] = {"updates": [], "merged": [], "memory": []}
    watch(notes)
    from cavs_dist.cli import main as cavs_dist

    try:
        cavs_dist()
    finally:
        (folder / f"{os.environ.get('RANK', '0')}.json").write_text(json.dumps(notes))


if __name__ == "__main__":
    main()
