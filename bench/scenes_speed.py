"""Render the scenes benchmark as it is delivered (drawn, encoded, written as shards): clips a second.

python bench/scenes_speed.py [clips a class] [workers]: 5 frames of 96 x 96 and 5 s of sound a clip.
"""

import json
import sys
import tempfile
import time
from pathlib import Path

from cavs_dist.data.scenes import ScenesConfig, render_scenes


def main(clips_a_class: int = 100, workers: int = 2) -> None:
    """Time one whole rendering, the start of its worker processes included."""
    config = ScenesConfig(train=clips_a_class, val=0, test=0, size=96, workers=workers)
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        render_scenes(Path(folder), config)
        seconds = time.perf_counter() - start
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
    clips = config.clips("train")
    figures = {"clips": clips, "workers": workers, "seconds": seconds, "clips_per_second": clips / seconds}
    print(f"{clips} clips in {seconds:.1f} s: {clips / seconds:.1f} clips/s, {size / clips / 1024:.0f} KiB a clip")
    print(json.dumps({"bench": "scenes_speed", **figures, "bytes_per_clip": size / clips}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
