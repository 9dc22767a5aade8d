"""Read clips from a disk and from a server on this machine: http and https, with an empty cache and from a full one.

python bench/remote_speed.py [clips] [rounds]: the clips of read_speed.py, in the order of an epoch, checksums verified,
nothing decoded, by one process; the server is another. A loopback has no latency: what is measured is our own cost.
"""

import json
import multiprocessing
import os
import ssl
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import trustme
from loopback import serving
from read_speed import NAMES, draw

from cavs_dist.data.index import Location, locate
from cavs_dist.data.order import epoch_order
from cavs_dist.data.remote.catalogue import write_catalogue
from cavs_dist.data.remote.config import RemoteConfig
from cavs_dist.data.shard import ShardReader, read_split, write_shards

WINDOW = 2048


def serve(root: Path, certificate: str, link: Connection) -> None:
    """Serve `root` (over https with a certificate) until told to stop; say where, and when asked, how many requests."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    if context is not None:
        context.load_cert_chain(certificate)
    with serving(root, context) as server:
        link.send((server.url, server.host))
        while link.recv():
            link.send(len(server.asked))


def read(folder: Location) -> tuple[float, float, int]:
    """Read every clip in the order of an epoch; return the seconds for indexes and for clips, and bytes of clips."""
    start = time.perf_counter()
    indexes = read_split(folder, "train")
    opened = time.perf_counter()
    clips, reader, size = [clip for index in indexes for clip in index.clips], ShardReader(), 0
    for number in epoch_order([len(index.clips) for index in indexes], WINDOW, "remote_speed"):
        size += sum(map(len, reader.read(clips[number]).values()))
    reader.close()
    return opened - start, time.perf_counter() - opened, size


def main(clips: int = 400, rounds: int = 3) -> None:
    """Write the clips, and time reading them in each way, rounds taking turns."""
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as name:
        root = Path(name)
        for folder in ("loose", "shards"):
            (root / folder).mkdir()
        write_shards(root / "shards", "train", range(clips), partial(draw, loose=root / "loose"), NAMES)
        write_catalogue(root / "shards")
        authority, certificate = trustme.CA(), root / "certificate.pem"
        authority.cert_pem.write_to_path(str(root / "authority.pem"))
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(str(certificate))
        os.environ |= {"SSL_CERT_FILE": str(root / "authority.pem"), "NO_PROXY": "127.0.0.1"}
        times: dict[str, list[tuple[float, float, int]]] = defaultdict(list)
        requests: dict[str, int] = {}
        for number in range(rounds):
            times["disk"].append(read(root / "shards"))
            for scheme in ("http", "https"):
                link, other = multiprocessing.Pipe()
                arguments = (root, str(certificate) if scheme == "https" else "", other)
                process = multiprocessing.get_context("spawn").Process(target=serve, args=arguments)
                process.start()
                url, host = link.recv()
                rules = RemoteConfig(("http", "https"), hosts=(host,), cache=str(root / f"cache-{scheme}-{number}"))
                for state in ("cold", "warm"):
                    times[f"{scheme}_{state}"].append(read(locate(f"{url}/shards", rules)))
                    link.send(True)
                    requests[f"{scheme}_{state}"] = link.recv()
                link.send(False)
                process.join()
    for way, measured in times.items():
        opening, seconds, size = (statistics.median(column) for column in zip(*measured, strict=True))
        record = {"clips_per_s": round(clips / seconds, 1), "MB_per_s": round(size / seconds / 1e6, 1)}
        print(json.dumps({"bench": "remote_speed", "way": way, "open_s": round(opening, 3), **record}))
    shown = {way: count - (requests["http_cold"] if way.endswith("warm") else 0) for way, count in requests.items()}
    print(json.dumps({"bench": "remote_speed", "clips": clips, "bytes_per_clip": size // clips, "requests": shown}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
