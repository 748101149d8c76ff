"""Real services on real sockets of the loopback address, for tests to talk to."""

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

import uvicorn

from preheat.api import create_app
from preheat.server import server_options
from preheat.server.draining import DrainingServer
from preheat.settings import Settings
from support.forked import Forked, start_preheat

START_TIMEOUT_S = 60.0
GLOO_ABORTED = "terminate called without an active exception"
"""What torch says when, now and then on a busy machine, a process under gloo aborts as it leaves (pytorch#190489)."""


@contextmanager
def service(port: int = 0, **settings: Any) -> Iterator[str]:
    """The address of a service on a thread of this process.

    Schedules are in memory, and it computes in threads, unless told otherwise.
    """
    chosen = Settings(**{"database_url": "sqlite:///:memory:", "compute_workers": 0, **settings})
    with serving(create_app(chosen), port, **server_options(chosen)) as url:
        yield url


@contextmanager
def serving(app: Any, port: int = 0, listener: socket.socket | None = None, **options: Any) -> Iterator[str]:
    """The address of any ASGI application on a thread of this process; `options` are uvicorn's.

    `listener` is a socket to listen at, instead of one on the loopback address.
    """
    config = uvicorn.Config(app, host="127.0.0.1", port=port, **{"log_level": "error", "ws": "none", **options})
    server = DrainingServer(config)
    listener = listener or socket.create_server(("127.0.0.1", port))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    wait_until(lambda: server.started or not thread.is_alive(), START_TIMEOUT_S)
    assert server.started, "the service did not start"
    try:
        yield "http://{}:{}".format(*listener.getsockname())
    finally:
        server.should_exit = True
        thread.join(10)
        listener.close()


@dataclass
class ServiceProcess:
    """A service in a process of its own."""

    url: str
    process: "Forked | subprocess.Popen[bytes]"

    def kill(self) -> None:
        """SIGKILL, for the process and its workers."""
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)


@contextmanager
def service_process(
    database: Path, *, port: int = 0, workers: int = 1, stderr: Any = subprocess.DEVNULL, **settings: Any
) -> Iterator[ServiceProcess]:
    """`preheat serve` on a database file; killed at the end. It computes in threads unless told otherwise."""
    port = port or free_port()
    settings = {"compute_workers": 0, **settings}
    arguments = ["serve", "--port", str(port), "--workers", str(workers)]
    environment = {**os.environ, "PREHEAT_DATABASE_URL": f"sqlite:///{database}"}
    environment |= {f"PREHEAT_{name.upper()}": str(value) for name, value in settings.items()}
    # One that has processes of its own is as a user has it: how they come to be is what its tests are about.
    is_forked = workers == 1 and not settings["compute_workers"]
    with start_preheat(arguments, environment, stderr=stderr, is_forked=is_forked) as process:
        running = ServiceProcess(f"http://127.0.0.1:{port}", process)
        try:
            wait_until(lambda: _is_alive(port) or process.poll() is not None, START_TIMEOUT_S)
            assert process.poll() is None, "the service did not start"
            yield running
        finally:
            if process.poll() is None:
                running.kill()


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        number: int = listener.getsockname()[1]
        return number


def wait_until(condition: Any, timeout_s: float) -> None:
    """Returns once the condition holds; fails the test if it does not within the time."""
    give_up = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < give_up, f"waited {timeout_s:g} s in vain"
        time.sleep(0.02)


def _is_alive(port: int) -> bool:
    # Asked often by a machine that is busy starting it: making a client of httpx takes longer than all of this.
    with closing(HTTPConnection("127.0.0.1", port, timeout=1)) as connection:
        try:
            connection.request("GET", "/livez")
            return connection.getresponse().status == HTTPStatus.OK
        except (OSError, HTTPException):
            return False
