"""Real servers of object stores, started by the tests, and a proxy before them that counts requests, waits, and fails some of them."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import hmac
import http.client
import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
AZURE_ACCOUNT = "devstoreaccount1"
AZURE_KEY = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
"""What azurite knows of itself; printed in its documentation."""


def environment(name: str) -> Path:
    """Returns the folder of an environment of `interop/environments.py`, made on first use; skips where it cannot be made."""
    home = ROOT / ".envs"
    home.mkdir(exist_ok=True)
    if name == "azurite" and shutil.which("npm") is None:
        pytest.skip("azurite is a package of npm, which is not installed")
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run([sys.executable, ROOT / "interop" / "environments.py", name], capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"the servers cannot be installed: {done.stderr.strip().splitlines()[-1]}")
    return home / name


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port: int = s.getsockname()[1]
        return port


@contextmanager
def running(command: list[str | Path], port: int, **variables: str) -> Iterator[str]:
    """Runs a server until the end; gives its URL when it answers."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ, **variables})
    try:
        for _ in range(1200):
            if process.poll() is not None:
                pytest.fail(f"{command[0]} ended with {process.returncode}")
            try:
                socket.create_connection(("127.0.0.1", port), 0.5).close()
                break
            except OSError:
                time.sleep(0.05)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


@contextmanager
def s3_server() -> Iterator[str]:
    """moto, with a bucket named `bucket`."""
    port = free_port()
    with running([environment("servers") / "bin" / "moto_server", "-H", "127.0.0.1", "-p", str(port)], port) as url:
        with urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT")):
            pass
        yield url


@contextmanager
def azure_server() -> Iterator[str]:
    """azurite, with a container named `bucket`."""
    port = free_port()
    program = environment("azurite") / "node_modules" / ".bin" / "azurite-blob"
    command = [program, "--silent", "--skipApiVersionCheck", "--inMemoryPersistence", "--disableTelemetry", "--blobPort", str(port)]
    with running(command, port) as url:
        path, headers = f"/{AZURE_ACCOUNT}/bucket", {"x-ms-date": formatdate(usegmt=True), "x-ms-version": "2021-08-06"}
        signed = "PUT" + "\n" * 12 + "".join(f"{k}:{v}\n" for k, v in headers.items()) + f"/{AZURE_ACCOUNT}{path}\nrestype:container"
        signature = base64.b64encode(hmac.new(base64.b64decode(AZURE_KEY), signed.encode(), hashlib.sha256).digest()).decode()
        headers |= {"Authorization": f"SharedKey {AZURE_ACCOUNT}:{signature}", "Content-Length": "0"}
        with urllib.request.urlopen(urllib.request.Request(f"{url}{path}?restype=container", method="PUT", headers=headers)):
            pass
        yield f"{url}/{AZURE_ACCOUNT}"


@contextmanager
def gcs_server() -> Iterator[str]:
    """gcp-storage-emulator, with a bucket named `bucket`."""
    port = free_port()
    command = [environment("servers") / "bin" / "gcp-storage-emulator", "start", "--host", "127.0.0.1", "--port", str(port), "--in-memory"]
    with running([*command, "--default-bucket", "bucket"], port) as url:
        yield url


class Proxy(http.server.ThreadingHTTPServer):
    """Passes requests on to a server, counted; every n-th is answered by 503 instead, and all wait a while."""

    daemon_threads = True

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Passing)
        self.upstream = upstream.removeprefix("http://").partition("/")[0]
        self.fail_every, self.wait_seconds = 0, 0.0
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """(method, path with its query, range)."""
        self.n_requests = self.n_failed = 0
        self.lock = threading.Lock()

    def forget(self) -> None:
        """Begins to count anew."""
        with self.lock:
            self.requests.clear()
            self.n_requests = self.n_failed = 0

    def fails(self, method: str, path: str, part: str) -> bool:
        """Counts a request; True when it is to be failed."""
        with self.lock:
            self.n_requests += 1
            if self.fail_every and self.n_requests % self.fail_every == 0:
                self.n_failed += 1
                return True
            self.requests[method, path, part] += 1
            return False


class _Passing(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Proxy

    def _pass(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        time.sleep(self.server.wait_seconds)
        if self.server.fails(self.command, self.path, self.headers.get("Range") or self.headers.get("x-ms-range") or ""):
            self.send_response(503)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        connection = http.client.HTTPConnection(self.server.upstream, timeout=60)
        try:
            connection.putrequest(self.command, self.path, skip_host=True, skip_accept_encoding=True)
            for name, value in self.headers.items():
                if name.lower() not in ("connection", "expect"):
                    connection.putheader(name, value)
            connection.endheaders(body or None)
            answer = connection.getresponse()
            data = answer.read()
            self.send_response_only(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in ("connection", "transfer-encoding", "content-length", "keep-alive"):
                    self.send_header(name, value)
            self.send_header("Content-Length", answer.getheader("Content-Length") or "0" if self.command == "HEAD" else str(len(data)))
            self.end_headers()
            self.wfile.write(data)
        finally:
            connection.close()

    do_GET = do_PUT = do_HEAD = do_POST = do_DELETE = _pass

    def log_message(self, format: str, *args: object) -> None:
        return


@contextmanager
def proxied(upstream: str) -> Iterator[tuple[Proxy, str]]:
    """Runs a proxy before a server; gives it and the URL that leads through it."""
    proxy = Proxy(upstream)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield proxy, upstream.replace(proxy.upstream, f"127.0.0.1:{proxy.server_port}")
    finally:
        proxy.shutdown()
        proxy.server_close()
        thread.join()
