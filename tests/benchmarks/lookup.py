"""2. Point lookups a second on one worker, against a bare ASGI app (the limit) and a plain FastAPI route."""

import re
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from benchmarks.measure import Ratio
from reference import REFERENCE_SPEC
from running_service import free_port, service_process, wait_until

CONNECTIONS = 64
ROUNDS, SECONDS = 5, 3

BARE = """
BODY = b'{"iteration":9,"groups":[{"name":"default","lr":0.009}]}'
HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]

async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
        await send({"type": "http.response.body", "body": BODY})
"""

FASTAPI = """
from fastapi import FastAPI

app = FastAPI()

@app.get("/v1/schedules/{schedule_id}/lr/{iteration}")
def lr(schedule_id: str, iteration: int) -> dict:
    return {"iteration": iteration, "groups": [{"name": "default", "lr": 0.009}]}
"""


def measure() -> Iterator[Ratio]:
    """Requests a second over many connections, each server alone while it is measured."""
    if shutil.which("wrk") is None:
        sys.exit("the lookup benchmark needs wrk, a load generator: apt-get install wrk")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        ours = stack.enter_context(service_process(folder / "preheat.db")).url
        schedule_id = httpx.post(f"{ours}/v1/schedules", json=REFERENCE_SPEC).json()["id"]
        path = f"/v1/schedules/{schedule_id}/lr/9"
        urls = {
            "ours": f"{ours}{path}",
            "bare": stack.enter_context(_uvicorn(folder, "bare", BARE)) + path,
            "fastapi": stack.enter_context(_uvicorn(folder, "plain", FASTAPI)) + path,
        }
        rates: dict[str, list[float]] = {name: [] for name in urls}
        for _ in range(ROUNDS):
            for name, url in urls.items():
                rates[name].append(_requests_a_second(url))
    median = {name: statistics.median(values) for name, values in rates.items()}
    yield Ratio("point lookup", median["ours"], "req/s", "limit: bare ASGI app", median["bare"], "≥0.6")
    yield Ratio("point lookup", median["ours"], "req/s", "plain FastAPI route", median["fastapi"], "≥2.5")


def _requests_a_second(url: str) -> float:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", url]
    report = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Non-2xx" not in report, report
    found = re.search(r"Requests/sec:\s+([\d.]+)", report)
    assert found is not None, report
    return float(found[1])


@contextmanager
def _uvicorn(folder: Path, name: str, source: str) -> Iterator[str]:
    (folder / f"{name}.py").write_text(source)
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "uvicorn",
        f"{name}:app",
        "--port",
        str(port),
        "--log-level",
        "warning",
        "--no-access-log",
    ]
    with subprocess.Popen(command, cwd=folder) as process:
        try:
            wait_until(lambda: _is_up(port), 30)
            yield f"http://127.0.0.1:{port}"
        finally:
            process.terminate()


def _is_up(port: int) -> bool:
    try:
        httpx.get(f"http://127.0.0.1:{port}/")
    except httpx.TransportError:
        return False
    return True
