"""Shutdown of a service whose clients do not let go of their connections."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from running_service import free_port

HALF_A_BODY = b"POST /v1/schedules HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{"


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_ends_it_whatever_clients_do(tmp_path: Path, workers: int) -> None:
    """A head and a body that never end are cut after shutdown_timeout_s, and the exit code is 0."""
    port = free_port()
    environment = {
        **os.environ,
        "PREHEAT_DATABASE_URL": f"sqlite:///{tmp_path}/p.db",
        "PREHEAT_SHUTDOWN_TIMEOUT_S": "1",
        "PYTHONUNBUFFERED": "1",
    }
    command = [sys.executable, "-m", "preheat.cli", "serve", "--port", str(port), "--workers", str(workers)]
    quiet = subprocess.DEVNULL  # uvicorn logs what it cancels
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=quiet, text=True, env=environment) as process:
        assert process.stdout is not None
        while "Ctrl-C" not in process.stdout.readline():
            assert process.poll() is None, "the service did not start"
        with (
            socket.create_connection(("127.0.0.1", port)) as body,
            socket.create_connection(("127.0.0.1", port)) as head,
        ):
            body.sendall(HALF_A_BODY)
            head.sendall(b"GET / HT")
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
