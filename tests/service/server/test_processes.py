"""Processes of the server: they end in time whatever runs in them, and one that dies or hangs is replaced."""

import os
import re
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from running_service import free_port, wait_until
from support.raw_client import PATIENCE_S, RawClient

# An application that has what the service has not: an endless answer, a thread that nobody can stop, a frozen loop.
SCRIPT = """
import asyncio, os, socket, sys, time
from preheat.observability import logs
from preheat.server import DRAINING, end_process, run
from preheat.settings import Settings

time.sleep(float(os.environ.get("IMPORTS_FOR_S", "0")))  # in each process, before it can say a word

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
        return
    path = scope["path"]
    if path == "/freeze":
        time.sleep(3600)
    is_draining = scope["state"][DRAINING].is_set()
    await send({"type": "http.response.start", "status": 503 if is_draining else 200, "headers": []})
    if path == "/thread":
        await send({"type": "http.response.body", "body": b"begun", "more_body": True})
        await asyncio.to_thread(time.sleep, 3600)
    while path == "/events":
        await send({"type": "http.response.body", "body": b"event", "more_body": True})
        await asyncio.sleep(0.05)
    await asyncio.sleep(0.5 if path == "/slow" else 0)
    await send({"type": "http.response.body", "body": str(os.getpid()).encode()})

def create():
    return app

def create_slowly():
    open("begun", "w").close()
    time.sleep(3600)

def create_broken():
    raise SystemExit(3)

def create_dying():
    open("begun", "w").close()
    os._exit(1)

if __name__ == "__main__":
    logs.configure("text", "info")
    listener = socket.socket()
    listener.bind(("127.0.0.1", int(sys.argv[2])))
    import signal
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    try:
        sys.exit(run("server_script:" + sys.argv[1], Settings(), listener, end_process))
    except KeyboardInterrupt:
        sys.exit(0)
"""


class Running:
    """A server in a process, its log in a file."""

    def __init__(self, process: subprocess.Popen[bytes], url: str, log: Path) -> None:
        self.process, self.url, self._log = process, url, log

    @property
    def log(self) -> str:
        """What it has said so far."""
        return self._log.read_text()

    def pid(self) -> int:
        """The worker that answers a request now."""
        return int(httpx.get(f"{self.url}/", timeout=PATIENCE_S).text)

    def answers(self) -> bool:
        """Whether it does."""
        try:
            return httpx.get(f"{self.url}/", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def running(folder: Path, factory: str = "create", **settings: object) -> Iterator[Running]:
    """The server, in a group of processes that is killed at the end, once it answers or has begun."""
    (folder / "server_script.py").write_text(SCRIPT)
    port, log = free_port(), folder / "log"
    environment = {**os.environ, **{f"PREHEAT_{name.upper()}": str(value) for name, value in settings.items()}}
    command = [sys.executable, "server_script.py", factory, str(port)]
    with (
        log.open("wb") as stderr,
        subprocess.Popen(command, cwd=folder, env=environment, stderr=stderr, start_new_session=True) as process,
    ):
        server = Running(process, f"http://127.0.0.1:{port}", log)
        try:
            begun = folder / "begun"
            wait_until(lambda: process.poll() is not None or begun.exists() or server.answers(), PATIENCE_S)
            yield server
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)


@pytest.mark.parametrize(("workers", "signals"), [(1, [signal.SIGTERM]), (2, [signal.SIGINT] * 2)])
def test_it_ends_in_time_whatever_is_at_work(tmp_path: Path, workers: int, signals: list[signal.Signals]) -> None:
    """An endless answer is cut after shutdown_timeout_s, and what cannot be stopped ends with the process."""
    with running(tmp_path, workers=workers, shutdown_timeout_s=1) as server:
        clients = [
            RawClient(server.url).send(f"GET /{path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            for path in ("events", "thread")
        ]
        for client, begun in zip(clients, (b"event", b"begun"), strict=True):
            client.until(begun)
        started = time.monotonic()
        for number in signals:
            server.process.send_signal(number)
            time.sleep(0.3)
        assert server.process.wait(PATIENCE_S) == 0
        assert time.monotonic() - started < 15
        if workers == 1:  # one of several workers waits for no thread
            assert "what is still at work does not end" in server.log
        for client in clients:
            client.socket.close()


@pytest.mark.parametrize("workers", [1, 2])
def test_it_ends_at_once_where_nobody_is_served_yet(tmp_path: Path, workers: int) -> None:
    """While it imports, for as long as that takes, there is nothing to finish within shutdown_timeout_s."""
    with running(tmp_path, "create_slowly", workers=workers, shutdown_timeout_s=600) as server:
        server.process.terminate()
        assert server.process.wait(PATIENCE_S) == 0


def test_what_is_in_flight_is_answered_and_the_delay_says_that_it_is_not_ready(tmp_path: Path) -> None:
    """After SIGTERM it listens for shutdown_delay_s, and the application knows; a request in flight has its answer."""
    with running(tmp_path, shutdown_delay_s=1, shutdown_timeout_s=5) as server:
        with RawClient(server.url) as idle, RawClient(server.url) as client:
            idle.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").until(b"200 OK")
            server.process.send_signal(signal.SIGTERM)
            wait_until(lambda: httpx.get(f"{server.url}/", timeout=60).status_code == 503, PATIENCE_S)
            client.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
            assert str(server.process.pid).encode() in client.until_closed()
            idle.until_closed()
        assert server.process.wait(PATIENCE_S) == 0


def test_a_second_signal_ends_the_delay(tmp_path: Path) -> None:
    """Whoever stops it by hand need not wait for load balancers."""
    with running(tmp_path, workers=2, shutdown_delay_s=3600) as server:
        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (signal.SIGKILL, "ended by SIGKILL"),
        (signal.SIGRTMIN + 1, r"ended by signal \d+"),
        (signal.SIGSTOP, r"did not react for \d+ s"),
    ],
)
def test_a_worker_that_dies_or_hangs_is_replaced(tmp_path: Path, number: signal.Signals, said: str) -> None:
    """The log has a line with both process ids, and the service goes on answering."""
    with running(tmp_path, workers=2, worker_timeout_s=3) as server:
        victim = server.pid()
        os.kill(victim, number)
        replaced = rf"worker {victim} {said}; worker \d+ replaces it"
        wait_until(lambda: re.search(replaced, server.log), 4 * PATIENCE_S)
        assert not Path(f"/proc/{victim}").exists()
        assert server.answers()
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0


def test_a_worker_that_imports_for_long_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is too long for a worker at work is not for one that starts: its successor would be no faster."""
    monkeypatch.setenv("IMPORTS_FOR_S", "3")
    with running(tmp_path, workers=2, worker_timeout_s=1) as server:
        assert server.answers()
        assert "replaces" not in server.log


def test_a_worker_that_dies_as_it_starts_is_no_storm(tmp_path: Path) -> None:
    """It is replaced as often as every three seconds, and not as fast as processes can be made."""
    with running(tmp_path, "create_dying", workers=2) as server:
        wait_until(lambda: server.log.count("replaces it") >= 1, 4 * PATIENCE_S)
        begun = time.monotonic()
        wait_until(lambda: server.log.count("replaces it") >= 5, 4 * PATIENCE_S)  # one of the two for the third time
        assert time.monotonic() - begun > 3
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0


def test_a_worker_whose_event_loop_stands_still_is_replaced(tmp_path: Path) -> None:
    """Other threads of it may be as lively as they like."""
    with running(tmp_path, workers=2, worker_timeout_s=3) as server:
        with RawClient(server.url) as client:
            client.send(b"GET /freeze HTTP/1.1\r\nHost: x\r\n\r\n").until_closed()
        replaced = r"worker \d+ did not react for \d+ s; worker \d+ replaces"
        wait_until(lambda: re.search(replaced, server.log), 4 * PATIENCE_S)
        assert server.answers()


def test_workers_that_cannot_start_end_the_service(tmp_path: Path) -> None:
    """With an exit code that is not 0: starting them again and again would help nobody."""
    with running(tmp_path, "create_broken", workers=2) as server:
        assert server.process.wait(PATIENCE_S) == 3
        assert "could not start" in server.log


def test_open_files_are_allowed_as_far_as_connections_need_them(tmp_path: Path) -> None:
    """The soft limit rises up to the hard one, and a warning says where that is too low."""
    with running(tmp_path, max_connections=100_000_000) as server:
        limits = resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
        assert limits[0] == limits[1]
        assert "max_connections needs 100000200 open files" in server.log


def test_workers_end_without_their_supervisor(tmp_path: Path) -> None:
    """A supervisor that is killed leaves no worker that holds the port."""
    with running(tmp_path, workers=2, shutdown_timeout_s=1) as server:
        server.process.kill()
        server.process.wait(PATIENCE_S)
        wait_until(lambda: not server.answers(), PATIENCE_S)
