"""What tests of many rooms share: a small data set, a run on it, and a way to start processes."""

import json
import os
import resource
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
import torch

from cavs_dist.data.scenes import ScenesConfig, render_scenes
from cavs_dist.data.shard import read_split

TINY = """\
# 2 stages of 2 classes, 3 or 6 updates an epoch, in a second or two.
seed: 3
curriculum: {{order: [bell, cow, train, violin], split: 2-2}}
method: {{name: cmr}}
data:
  path: {scenes}
  size: 32
  frames: 2
  step: 1.0
  workers: 0
  augment: {{crop: 0.4, flip: 0.5, colour: 0.3, speed: 0.1, gain: 6.0, noise: 0.05, bands: 0.2}}
model: {{channels: 16, features: 8}}
memory: {{select: consistency, per_class: 2}}
rehearse: {{share: 0.5, weight: collision}}
optim: {{batch: 4, lr: 3e-3}}
train: {{epochs: 2, checkpoint_every: 4}}
engine: {{threads: 1}}
evaluate: {{batch: 4}}
track: {{every: 1}}
"""

TINY_SEPARATION = """\
# 2 stages of 2 classes, 4 or 8 updates, in a few seconds; mixtures of 2 s become 32 x 32 spectrograms.
seed: 3
task: {{name: separation}}
curriculum: {{order: [bell, cow, train, violin], split: 2-2}}
method: {{name: contavsep}}
data:
  path: {scenes}
  sources: single
  size: 32
  frames: 2
  step: 1.0
  workers: 0
  augment: {{crop: 0.4, flip: 0.5, colour: 0.3}}
  mix: {{rate: 4000, samples: 8191}}
model:
  spectrogram: {{bins: 32}}
  iquery:
    unet: {{levels: 4, first: 8, most: 16}}
    heads: 2
    hidden: 32
    layers: 2
    embedding: 8
    objects: 16
    motion: 8
  co_separation: {{unet: {{levels: 4, first: 8, most: 16}}, objects: 16}}
memory: {{select: random, per_class: 2}}
rehearse: {{share: 0.5}}
optim: {{batch: 4, lr: 1e-3}}
train: {{epochs: 2, checkpoint_every: 3}}
engine: {{threads: 1}}
evaluate: {{batch: 2, mixtures: 1}}
track: {{every: 1}}
"""


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of shards: 4 classes, 24 training clips in 3 shards, 8 for validation, 12 for testing."""
    folder = tmp_path_factory.mktemp("data") / "scenes"
    classes = ("bell", "cow", "train", "violin")
    config = ScenesConfig(
        classes=classes, train=6, val=2, test=3, size=32, frames=3, seconds=3.0, workers=1, clips_per_shard=8
    )
    render_scenes(folder, config)
    return folder


@pytest.fixture(scope="session")
def damage() -> Callable[[Path, str], None]:
    """Flip a bit of the sound of a training clip, in the folder of shards and by the key given."""

    def damage(folder: Path, key: str) -> None:
        clip = next(clip for index in read_split(folder, "train") for clip in index.clips if clip.key == key)
        content = bytearray(clip.shard.read_bytes())
        content[clip.members["audio.flac"].offset] ^= 1
        clip.shard.write_bytes(content)

    return damage


@pytest.fixture(scope="session")
def tiny(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a config that learns `scenes` with CMR."""
    path = tmp_path_factory.mktemp("config") / "tiny.yaml"
    path.write_text(TINY.format(scenes=scenes))
    return str(path)


@pytest.fixture(scope="session")
def shaken(tiny: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with a stage 0 that nobody trained: a model whose noise sees every class in every clip."""
    # Here, since DeepSpeed takes seconds to import, which most tests do without.
    from cavs_dist.config import load_run, to_yaml
    from cavs_dist.run_folder import RunFolder, write_json, write_text, write_weights
    from cavs_dist.setting import open_setting

    folder = RunFolder(tmp_path_factory.mktemp("shaken"))
    run = load_run(tiny)
    setting = open_setting(run)
    model = setting.fresh_model("main", setting.stages[0])
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    write_weights(folder.product(0, "main.safetensors"), model)
    write_text(folder.path / "config.yaml", to_yaml(run))
    write_json(folder.path / "data.json", {"digest": setting.train.digest})
    return folder.path


@pytest.fixture(scope="session")
def finished(tiny: str, shaken: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of `tiny` that starts from `shaken`, to be read and left as it is."""
    from cavs_dist.config import load_run
    from cavs_dist.trainer import train

    folder = tmp_path_factory.mktemp("finished") / "run"
    train(load_run(tiny, [f"out={folder}", f"train.start={shaken}"]))
    return folder


@pytest.fixture(scope="session")
def tiny_separation(scenes: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a config that learns to separate the sounds of `scenes` with ContAV-Sep."""
    path = tmp_path_factory.mktemp("config") / "tiny_separation.yaml"
    path.write_text(TINY_SEPARATION.format(scenes=scenes))
    return str(path)


@pytest.fixture(scope="session")
def separated(tiny_separation: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished run of `tiny_separation`, to be read and left as it is."""
    from cavs_dist.config import load_run
    from cavs_dist.trainer import train

    folder = tmp_path_factory.mktemp("separated") / "run"
    train(load_run(tiny_separation, [f"out={folder}"]))
    return folder


@pytest.fixture
def started() -> Iterator["list[subprocess.Popen[str]]"]:
    """Processes that do not outlive the test, not even where they are frozen."""
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def start_two() -> Callable[..., "list[subprocess.Popen[str]]"]:
    """Start `cavs-dist *args` as ranks 0 and 1 without torchrun, which would end one when the other ends."""

    def start_two(*args: str | Path) -> "list[subprocess.Popen[str]]":
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        world = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
        command, pipe = [sys.executable, "-m", "cavs_dist", *map(str, args)], subprocess.PIPE
        return [
            subprocess.Popen(
                command,
                env=os.environ | world | {"RANK": rank, "LOCAL_RANK": rank},
                stdout=pipe,
                stderr=pipe,
                text=True,
            )
            for rank in ("0", "1")
        ]

    return start_two


@pytest.fixture(scope="session")
def finished_by_two(
    start_two: Callable[..., "list[subprocess.Popen[str]]"],
    tiny: str,
    shaken: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of the same run as `finished`, by two ranks."""
    folder = tmp_path_factory.mktemp("finished_by_two") / "run"
    ended = [
        (process.communicate(timeout=180), process.returncode)
        for process in start_two("train", tiny, f"out={folder}", f"train.start={shaken}")
    ]
    assert [code for _, code in ended] == [0, 0], ended
    return folder


@pytest.fixture(scope="session")
def start() -> Callable[..., "subprocess.Popen[str]"]:
    """Start `cavs-dist *args` as a process of its own, or as `ranks` processes under torchrun."""

    def start(*args: str | Path, ranks: int = 1) -> "subprocess.Popen[str]":
        # A run within this process has named itself rank 0 of 1 in the environment.
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR", "MASTER_PORT")
        environment = {name: value for name, value in os.environ.items() if name not in names}
        several = ["torch.distributed.run", "--standalone", f"--nproc-per-node={ranks}", "-m"] if ranks > 1 else []
        command = [sys.executable, "-m", *several, "cavs_dist", *map(str, args)]
        return subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8"
        )

    return start


@pytest.fixture(scope="session")
def wait_for() -> Callable[["subprocess.Popen[str]", Path, int], None]:
    """Wait until the process that trains in a run folder has made an update, which must not be its last."""

    def wait_for(process: "subprocess.Popen[str]", folder: Path, update: int) -> None:
        metrics, end = folder / "metrics.jsonl", time.monotonic() + 180
        made = 0
        while made < update:
            assert process.poll() is None, process.communicate()
            assert time.monotonic() < end
            time.sleep(0.01)
            whole = metrics.read_text().split("\n")[:-1] if metrics.exists() else []
            made = max((line["update"] for line in map(json.loads, whole) if "loss" in line), default=0)

    return wait_for


@pytest.fixture(scope="session")
def room_for() -> Callable[[int], AbstractContextManager[None]]:
    """Let no file of this process grow beyond so many bytes: to what writes it, that is a full disk."""

    @contextmanager
    def room_for(size: int) -> Iterator[None]:
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    return room_for
