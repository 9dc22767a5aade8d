"""Training from shards on a server is training from a disk, bit for bit, also where the server fails."""

import subprocess
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from loopback import Loopback, serving
from rich.console import Console

from cavs_dist.config import load_run
from cavs_dist.dry_run import print_dry_run
from cavs_dist.errors import InputError
from cavs_dist.lineage import name_shards
from cavs_dist.order import order_of_config
from cavs_dist.setting import open_setting
from cavs_dist.track import Track
from tests.offline_run import read_offline
from tests.products import products

Start = Callable[..., "subprocess.Popen[str]"]
WaitFor = Callable[["subprocess.Popen[str]", Path, int], None]
PATIENCE = 240


@pytest.fixture
def server(scenes: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with serving(scenes.parent) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a-name")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "geheim")
        yield server


@pytest.fixture
def there(server: Loopback, scenes: Path, tmp_path: Path) -> list[str]:
    """The overrides with which a run reads `scenes` from `server`."""
    return [
        f"data.path={server.url}/{scenes.name}",
        f"data.remote.hosts=['{server.host}']",
        "data.remote.schemes=[http,s3]",
        f"data.remote.buckets=[{scenes.name}]",
        f"data.remote.cache={tmp_path / 'cache'}",
        "data.remote.backoff=0.01",
    ]


def test_w_and_b_is_told_of_the_same_shards(tiny: str, there: list[str], tmp_path: Path) -> None:
    told = []
    for name, overrides in (("disk", []), ("server", there)):
        setting = open_setting(load_run(tiny, ["track.wandb=offline", "track.artifacts=all", *overrides]))
        with Track(tmp_path / name, setting.run.track, {}, resume_update=None) as track:
            name_shards(setting, track)
        [run] = read_offline(tmp_path / name)
        [shards] = run.artifacts
        told.append([(one.path, one.size, one.digest) for one in shards.manifest.contents])
    assert told[0] == told[1] and told[0]


def test_orders_and_plans_are_those_of_the_disk(tiny: str, there: list[str], tmp_path: Path) -> None:
    assert list(order_of_config(tiny, there, 1, 2, 0, 5)) == list(order_of_config(tiny, (), 1, 2, 0, 5))
    assert open_setting(load_run(tiny, there)).train.digest == open_setting(load_run(tiny)).train.digest
    bucket = [*there, f"data.path=s3://{Path(there[0]).name}"]
    assert list(order_of_config(tiny, bucket, 0, 1, 0, 3)) == list(order_of_config(tiny, (), 0, 1, 0, 3))
    texts = []
    for overrides in ((), there):
        with (tmp_path / "plan.txt").open("w") as file:
            print_dry_run(load_run(tiny, [f"out={tmp_path}", *overrides]), Console(file=file, width=200))
        texts.append((tmp_path / "plan.txt").read_text())
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("data.remote.hosts=[]", "may not be read: data.remote.hosts lists none"),
        ("data.remote.schemes=[https]", "http:// may not be read"),
        ("data.remote.attempts=0", "data.remote.attempts is 0; expected at least 1"),
        ("data.remote.cache_bytes=1000", "data.remote.cache_bytes is 1000; expected at least 1048576"),
    ],
)
def test_what_the_config_does_not_allow_is_said(tiny: str, there: list[str], override: str, message: str) -> None:
    with pytest.raises(InputError, match=message.replace(".", r"\.")):
        open_setting(load_run(tiny, [*there, override]))


@pytest.mark.slow
def test_a_run_begun_on_a_disk_goes_on_from_a_failing_server(
    start: Start,
    wait_for: WaitFor,
    tiny: str,
    shaken: Path,
    finished: Path,
    server: Loopback,
    there: list[str],
    tmp_path: Path,
) -> None:
    out = tmp_path / "run"
    command = ("train", tiny, f"out={out}", f"train.start={shaken}")
    process = start(*command)
    wait_for(process, out, 5)
    process.kill()
    process.communicate()
    server.at, server.faults = ".tar", deque(["500", "cut", "flip", "elsewhere", "short", "unmeasured"])
    process = start(*command, *there, "data.workers=2", "data.remote.attempts=9")
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, said
    assert "asking again" in said and not server.faults
    assert products(out) == products(finished)
    kept = b"".join(path.read_bytes() for path in out.rglob("*") if path.is_file() and path.suffix != ".safetensors")
    assert b"geheim" not in kept


@pytest.mark.slow
def test_a_server_that_goes_ends_a_run_and_is_no_reason_to_skip(
    start: Start, tiny: str, server: Loopback, there: list[str], tmp_path: Path
) -> None:
    server.always[".tar"] = "503"
    command = ("train", tiny, f"out={tmp_path / 'run'}", *there)
    process = start(*command, "data.on_corrupt=skip", "data.workers=1", "data.remote.attempts=2")
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2, said
    last = said.splitlines()[-1]
    assert last.startswith("error: http://127.0.0.1") and "the server answers 503, 2 times over" in last
