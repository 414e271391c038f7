"""Servers on loopback: moto's, which speaks S3; a plain one of the web; and a proxy before either that does harm."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import http.server
import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, unquote

HOST = "127.0.0.1"
WHO = "AWS4-HMAC-SHA256 Credential=a/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=b"


@dataclass
class Faults:
    """What a proxy does to the requests of one test. ``at`` chooses: it is given a request's number, from 0, of all."""

    delay: float = 0
    first: int = 0  # so many times each thing that is asked is harmed
    at: Callable[[int], bool] = lambda _: False
    harm: str = "503"  # or another status, or "cut", "reset", "hang", "flip", "whole"
    only: str = ""  # in the path of what is got; other requests are left alone
    asked: list[tuple[str, str, str]] = field(default_factory=list)  # method, path, range
    sent: int = 0
    harmed: int = 0
    busy: int = 0
    busiest: int = 0


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on, and answers; or not."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, port: int) -> None:
        super().__init__((HOST, 0), _Pass)
        self.behind, self.faults, self.lock, self.ended = port, Faults(), threading.Lock(), threading.Event()
        self.url = f"http://{HOST}:{self.server_port}"

    def handle_error(self, *_: object) -> None:
        """Say nothing of clients that went away."""


class _Pass(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        faults = self.server.faults
        with self.server.lock:
            mine = not faults.only or (faults.only in unquote(self.path) and self.command == "GET")
            number = (
                sum(faults.only in unquote(path) for _, path, _ in faults.asked) if faults.only else len(faults.asked)
            )
            asked = (self.command, self.path, self.headers.get("Range", ""))
            mine = mine and (faults.at(number) or faults.asked.count(asked) < faults.first)
            faults.asked.append(asked)
            faults.busy += 1
            faults.busiest = max(faults.busiest, faults.busy)
        try:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.server.ended.wait(faults.delay)
            self._answer(faults, body, faults.harm if mine else "")
        finally:
            with self.server.lock:
                faults.busy -= 1

    do_HEAD = do_GET  # noqa: N815 - so http.server names it

    def _answer(self, faults: Faults, body: bytes, harm: str) -> None:
        if harm:
            faults.harmed += 1
        if harm == "hang":
            self.server.ended.wait(60)
            self.close_connection = True
            return
        if harm == "reset":
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            return
        if harm.isdigit():
            self.send_response(int(harm))
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with contextlib.closing(http.client.HTTPConnection(HOST, self.server.behind, timeout=30)) as connection:
            asked = {name: value for name, value in self.headers.items() if harm != "whole" or name.lower() != "range"}
            connection.request(self.command, self.path, body, asked)
            answer = connection.getresponse()
            data = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "transfer-encoding", "date", "server", "content-length"):
                self.send_header(name, value)
        length = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(data))
        self.send_header("Content-Length", length or "0")
        self.end_headers()
        if harm == "cut":
            data, self.close_connection = data[: len(data) // 2], True
        if harm == "flip":
            data = data[:-1] + bytes([data[-1] ^ 1])
        with self.server.lock:
            faults.sent += len(data)
        self.wfile.write(data)


class _Files(http.server.BaseHTTPRequestHandler):
    """Gives the files of a folder by range, with their ETag, and a page of links for each folder."""

    protocol_version = "HTTP/1.1"
    folder: Path

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        path = self.folder / unquote(self.path).lstrip("/")
        if path.is_dir():
            links = "".join(f'<a href="{one.name}{"/" * one.is_dir()}">x</a>' for one in sorted(path.iterdir()))
            self._give(200, links.encode(), "text/html")
        elif not path.is_file():
            self._give(404, b"", "text/plain")
        else:
            data = path.read_bytes()
            tag = hashlib.md5(data).hexdigest()
            start, _, stop = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
            end = min(int(stop) + 1 if stop else len(data), len(data))
            told = {"ETag": f'"{tag}"', "Content-Range": f"bytes {start}-{end - 1}/{len(data)}"}
            if "Range" in self.headers:
                self._give(206, data[int(start) : end], "application/octet-stream", told)
            else:
                self._give(200, data, "application/octet-stream", {"ETag": told["ETag"]})

    do_HEAD = do_GET  # noqa: N815 - so http.server names it

    def _give(self, status: int, data: bytes, kind: str, more: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(data)), **(more or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data)


@contextlib.contextmanager
def serving(server: http.server.ThreadingHTTPServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        if isinstance(server, Proxy):
            server.ended.set()
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def web(folder: Path) -> Iterator[Proxy]:
    """Serve a folder through a proxy."""
    files = http.server.ThreadingHTTPServer((HOST, 0), type("Files", (_Files,), {"folder": folder}))
    files.daemon_threads = True
    proxy = Proxy(files.server_port)
    with serving(files), serving(proxy):
        yield proxy


@contextlib.contextmanager
def s3() -> Iterator[Proxy]:
    """Run moto's server in a process of its own, behind a proxy."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", HOST, "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as moto:
        try:
            deadline = time.monotonic() + 60
            while time.monotonic() < deadline:
                with contextlib.suppress(OSError), socket.create_connection((HOST, port), 1):
                    break
                time.sleep(0.05)
            proxy = Proxy(port)
            with serving(proxy):
                yield proxy
        finally:
            moto.terminate()


@dataclass(frozen=True)
class Server:
    """A server that holds files, and how a test changes them past the proxy."""

    proxy: Proxy
    base: str
    folder: Path | None = None  # what the plain one serves

    def url(self, key: str) -> str:
        return f"{self.base}/{key}"

    def harm(self, **faults: object) -> Faults:
        """Begin to count anew, and to do harm."""
        self.proxy.faults = Faults(**faults)
        return self.proxy.faults

    def put(self, key: str, data: bytes) -> None:
        if self.folder is None:
            self.ask("PUT", f"{self.base.removeprefix('s3:/')}/{key}", data)
        else:
            path = self.folder / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def remove(self, key: str) -> None:
        if self.folder is None:
            self.ask("DELETE", f"{self.base.removeprefix('s3:/')}/{key}")
        else:
            (self.folder / key).unlink()

    def upload(self, folder: Path, prefix: str) -> str:
        """Put all files of a folder under a prefix, and return its URL."""
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                self.put(f"{prefix}/{path.relative_to(folder)}", path.read_bytes())
        return self.url(prefix)

    def ask(self, method: str, path: str, data: bytes = b"") -> None:
        with contextlib.closing(http.client.HTTPConnection(HOST, self.proxy.behind, timeout=30)) as connection:
            connection.request(method, quote(path), data, {"Authorization": WHO})
            answer = connection.getresponse()
            answer.read()
            assert answer.status in (200, 204), answer.status


def environment(proxy: Proxy, cache: Path) -> dict[str, str]:
    """Return what a process needs to speak with a server of ours, and with no other."""
    return {
        "AWS_ENDPOINT_URL": proxy.url,
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "2",  # of botocore's own, with waits of its own
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "FSSPEC_CONFIG_DIR": str(cache / "none"),
        "PREBAKE_CACHE": str(cache),
    }
