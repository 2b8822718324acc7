"""Real parts for the tests: a daemon on a Redis of its own, a downstream, and a server between client and daemon."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import httpx

T = TypeVar("T")
PATIENCE_S = 30.0


def program() -> str:
    """The daemon: TIDEGATE_PROGRAM, or the one on PATH."""
    found = os.environ.get("TIDEGATE_PROGRAM") or shutil.which("tidegate")
    assert found, "set TIDEGATE_PROGRAM to the program tidegate, or put it on PATH"
    return found


def free_port() -> int:
    with socket.socket() as it:
        it.bind(("127.0.0.1", 0))
        port: int = it.getsockname()[1]
        return port


def until(what: Callable[[], T | bool | None], why: str) -> T:
    """Waits for a condition."""
    deadline_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline_s:
        value = what()
        if value:
            return value  # type: ignore[return-value]
        time.sleep(0.02)
    raise AssertionError(f"waited in vain until {why}")


class Daemon:
    """A daemon with a Redis of its own, in a folder that outlives it."""

    def __init__(self, folder: Path, config: str, port: int | None = None) -> None:
        self.folder = folder
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "tidegate.toml").write_text(
            f'[server]\nlisten = "127.0.0.1:{self.port}"\ndrain_timeout = "2s"\n{config}'
        )

    def start(self) -> Daemon:
        # A short folder, since a Unix socket has a short name.
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [program(), "serve", "--config", str(self.folder / "tidegate.toml")],
                env={**os.environ, "TIDEGATE__REDIS__DATA_DIR": str(self.folder / "data")},
                stdout=log,
                stderr=log,
            )
        until(self._is_ready, "the daemon is ready")
        return self

    def _is_ready(self) -> bool:
        assert self._process is not None
        assert self._process.poll() is None, (self.folder / "log").read_text()[-2000:]
        try:
            return httpx.get(f"{self.url}/readyz", timeout=5).status_code == 200
        except httpx.TransportError:
            return False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Connections are taken by the system meanwhile, and nothing answers."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a machine that loses its power; Redis ends by itself."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        self._end(signal.SIGTERM)

    def _end(self, by: signal.Signals) -> None:
        if self._process is not None:
            self._process.send_signal(by)
            self._process.wait(PATIENCE_S)
            self._process = None


@dataclass
class Received:
    """One call that a downstream got."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Connections that are cut off are what these tests are about."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Running:
    """A server in threads."""

    def __init__(self, handle: Callable[[_Handler], None]) -> None:

        def each(handler: _Handler) -> None:
            handle(handler)

        methods = {f"do_{name}": each for name in ("GET", "POST", "PUT", "PATCH", "DELETE")}
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), methods))
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Downstream(_Running):
    """Takes every call and keeps it."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.status = 200
        super().__init__(self._take)

    def _take(self, handler: _Handler) -> None:
        call = Received(handler.path, dict(handler.headers.items()), handler.body())
        self.received.append(call)
        handler.answer(self.status, {}, b"")

    def only(self) -> Received:
        return until(lambda: self.received[0] if self.received else None, "a call arrives")


Answer = tuple[int, Mapping[str, str], bytes]


class Between(_Running):
    """Stands between client and daemon. Each request takes the next step; without one it takes ``otherwise``.

    ``"lose"``: passed on, and the answer is lost. ``"cut"``: not passed on. An answer: given in place of
    the daemon.
    """

    def __init__(self, url: str) -> None:
        self._to = url
        self.steps: list[str | Answer] = []
        self.otherwise: str | Answer = "pass"
        self.requests: list[Received] = []
        self._lock = threading.Lock()
        super().__init__(self._pass)

    def _pass(self, handler: _Handler) -> None:
        request = Received(handler.path, dict(handler.headers.items()), handler.body())
        with self._lock:
            self.requests.append(request)
            step = self.steps.pop(0) if self.steps else self.otherwise
        if isinstance(step, tuple):
            handler.answer(*step)
            return
        if step != "cut":
            headers = {k: v for k, v in request.headers.items() if k.lower() not in ("host", "content-length")}
            answer = httpx.request(
                handler.command, self._to + request.path, headers=headers, content=request.body, timeout=70
            )
            if step == "pass":
                kept = {k: v for k, v in answer.headers.items() if k in ("content-type", "retry-after")}
                handler.answer(answer.status_code, kept, answer.content)
                return
        handler.close_connection = True
        handler.connection.close()


def problem(status: int, code: str, **more: object) -> Answer:
    """An answer in the words of the daemon."""
    import json

    body = {"type": f"urn:tidegate:problem:{code}", "title": code, "status": status, "detail": "a test", "code": code}
    headers = {"Content-Type": "application/problem+json"}
    if "retry_after_s" in more:
        headers["Retry-After"] = str(more["retry_after_s"])
    return status, headers, json.dumps({**body, **more}).encode()
