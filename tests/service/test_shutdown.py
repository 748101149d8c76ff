"""Shutdown of a service whose clients do not let go of their connections."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from rest import problem
from running_service import service_process, wait_until
from support.raw_client import PATIENCE_S, RawClient

STUCK = {
    "half a body": b"POST /v1/lint HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    b"Content-Length: 9\r\n\r\n{",
    "half a head": b"GET / HT",
    "idle": b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "answers that are not read": b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n" * 30,
    "silent": b"",
}


@pytest.mark.parametrize("workers", [1, 2])
def test_sigterm_ends_it_whatever_clients_do(tmp_path: Path, workers: int) -> None:
    """Readiness falls at once, then those who will not let go are cut after shutdown_timeout_s; the exit code is 0.

    A stop that was meant is no error in the log.
    """
    settings: dict[str, Any] = {"shutdown_timeout_s": 1, "shutdown_delay_s": 1.5}
    log = tmp_path / "log"
    with (
        log.open("w") as stderr,
        service_process(tmp_path / "p.db", workers=workers, stderr=stderr, **settings) as running,
    ):
        assert httpx.get(f"{running.url}/readyz", timeout=60).status_code == 200
        clients = [RawClient(running.url).send(sent) for sent in STUCK.values()]
        running.process.send_signal(signal.SIGTERM)
        wait_until(lambda: httpx.get(f"{running.url}/readyz", timeout=60).status_code == 503, PATIENCE_S)
        problem(httpx.get(f"{running.url}/readyz", timeout=60), 503, "service-stopping")
        assert httpx.get(f"{running.url}/livez", timeout=60).status_code == 200
        assert running.process.wait(60) == 0
        for client in clients:
            client.socket.close()
    said = log.read_text()
    assert "told to stop" in said
    assert '"error"' not in said
    assert "traceback" not in said


def test_sigterm_ends_it_while_it_is_still_being_imported(tmp_path: Path) -> None:
    """With exit code 0, as later: a service manager would take the signal for a failure."""
    command = [sys.executable, "-X", "importtime", "-m", "preheat", "serve"]
    environment = {**os.environ, "PREHEAT_DATABASE_URL": f"sqlite:///{tmp_path}/p.db"}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            for line in process.stderr:  # one for each module that has been imported
                if line.endswith(" typer.models\n"):
                    break
            process.send_signal(signal.SIGTERM)
            imported = process.stderr.read()
            assert process.wait(PATIENCE_S) == 0
        finally:
            process.kill()
    assert "preheat.cli\n" not in imported
