"""A server of files on this machine, for tests and measurements: it answers ranges, and misbehaves when told to.

As a server of S3 its folders are buckets: addresses have them first, and signatures are not looked at.
"""

import re
import ssl
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

STALL = 30.0


class Loopback(ThreadingHTTPServer):
    """Serves `root`. faults: what the next answers are, one each: see `_Handler.misbehave`; then all is well.

    at: what paths end with that `faults` hit. always: a fault for every request of a path that ends so. asked: the path
    and the Range of every request, in order. authorized: what each of them brought to be let in.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, root: Path, context: ssl.SSLContext | None = None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.root = root.resolve()
        self.faults: deque[str] = deque()
        self.at = ""
        self.always: dict[str, str] = {}
        self.asked: list[tuple[str, str]] = []
        self.authorized: list[str | None] = []
        self.ended = threading.Event()
        if context is not None:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        self.host = f"127.0.0.1:{self.server_port}"
        self.url = f"{'http' if context is None else 'https'}://{self.host}"

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: clients hang up on what misbehaves."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Loopback

    def do_GET(self) -> None:
        path, wanted = unquote(urlsplit(self.path).path), self.headers.get("Range", "")
        self.server.asked.append((path, wanted))
        self.server.authorized.append(self.headers.get("Authorization"))
        always = next((fault for end, fault in self.server.always.items() if path.endswith(end)), "")
        now = self.server.faults and path.endswith(self.server.at)
        fault = always or (self.server.faults.popleft() if now else "")
        file = (self.server.root / path.lstrip("/")).resolve()
        if not file.is_relative_to(self.server.root) or not file.is_file():
            fault = fault or "404"
        found = re.fullmatch(r"bytes=([0-9]+)-([0-9]+)", wanted)
        if found is None or fault.isdigit() or fault.startswith("redirect "):
            self.refuse(fault)
            return
        size, first = file.stat().st_size, int(found[1])
        with file.open("rb") as content:
            content.seek(first)
            data = content.read(int(found[2]) + 1 - first)
        if not data:
            self.refuse("416")
            return
        self.misbehave(fault, data, first, size)

    def misbehave(self, fault: str, data: bytes, first: int, size: int) -> None:
        """Answer a range: well, or with one thing wrong."""
        whole = fault == "whole"
        if fault == "flip":
            data = bytes(byte ^ 1 for byte in data)
        if fault == "stall":
            self.server.ended.wait(STALL)
        place, length = first + (fault == "elsewhere"), len(data) + {"long": 7, "short": -7}.get(fault, 0)
        self.send_response(200 if whole else 206)
        if not whole and fault != "unplaced":
            total = size + (fault == "resized")
            self.send_header("Content-Range", f"bytes {place}-{place + len(data) - 1}/{total}")
        if fault != "unmeasured":
            self.send_header("Content-Length", str(length))
        self.end_headers()
        if fault == "trickle":
            for byte in data:
                self.wfile.write(bytes([byte]))
                if self.server.ended.wait(0.05):
                    return
        self.wfile.write(data[: len(data) // 2] if fault == "cut" else data)
        if fault in ("cut", "long", "short", "unmeasured"):
            self.close_connection = True

    def refuse(self, fault: str) -> None:
        """Answer with a status alone: a number (400 for no range), or `redirect` and where to."""
        location = fault.partition("redirect ")[2]
        self.send_response(302 if location else int(fault or 400))
        if location:
            self.send_header("Location", location)
        if fault == "429":
            self.send_header("Retry-After", "1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def serving(root: Path, context: ssl.SSLContext | None = None) -> Iterator[Loopback]:
    """Serve a folder from a thread of this process; over https with a `context`."""
    server = Loopback(root, context)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()
