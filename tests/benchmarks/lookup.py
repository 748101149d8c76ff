"""Point lookups a second as users run the service, against a bare ASGI app (the limit) and a plain FastAPI route.

Nothing is set but the number of workers: keys are asked for as soon as there is one, request ids and metrics are on,
points have no log line, and worker processes wait for heavy requests. Every server gets the same requests.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx

from benchmarks.measure import Ratio
from benchmarks.wrk import requests_a_second
from preheat.settings import Settings
from preheat.store import Database, KeyStore
from running_service import free_port, service_process, wait_until

SETTLING_S = 15
"""Until the processes for heavy requests are made, which import for some seconds beside the first requests."""

SPEC = {
    "target_lr": 0.01,
    "total_iterations": 100_000,
    "warmup": {"iterations": 10},
    "after_scheduler": {"type": "CosineAnnealingLR"},
}
COMPUTE_WORKERS = Settings.model_fields["compute_workers"].default

# Requests are made before the first is sent, so that the generator takes as long for them as for one alone.
CHANGING = """
local requests, n = {}, 0
function init(args)
    local folder = wrk.path:gsub("[0-9]+$", "")
    for i = 0, 19999 do requests[i] = wrk.format("GET", folder .. (5 * i)) end
end
function request()
    n = (n + 1) % 20000
    return requests[n]
end
"""

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

Rate = Callable[[], float]


def measure() -> Iterator[Ratio]:
    """Requests a second over many connections; all servers in turn in every round, each alone while it is measured.

    As many rounds as servers, each begun by another: whoever comes first after a pause is measured by a colder machine.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        rates = _medians(_cases(stack, folder))
    bare = rates["bare"]
    for what in ("with a key", "without keys"):
        yield Ratio(f"points {what}", rates[what], "req/s", "limit: bare ASGI app", bare, "≥0.65")
    yield Ratio("points with a key", rates["with a key"], "req/s", "floor: bare ASGI app", bare, "≥0.55")
    yield Ratio("points with a key", rates["with a key"], "req/s", "plain FastAPI route", rates["fastapi"], "≥2.5")
    what = "every iteration another, with a key"
    yield Ratio(what, rates["changing"], "req/s", "limit: bare ASGI app", rates["bare changing"], "≥0.65")
    yield Ratio(
        "two workers, with a key", rates["two"], "req/s", "bare ASGI app, two workers", rates["bare two"], "≥0.7"
    )


def _cases(stack: ExitStack, folder: Path) -> dict[str, Rate]:
    with_keys, without = folder / "keys.db", folder / "plain.db"
    token = make_key(with_keys)
    one, two, plain = (
        stack.enter_context(service_process(database, workers=workers, compute_workers=COMPUTE_WORKERS)).url
        for database, workers in ((with_keys, 1), (with_keys, 2), (without, 1))
    )
    ids = {_posted_id(url, token) for url in (one, two, plain)}
    time.sleep(SETTLING_S)
    path = f"/v1/schedules/{ids.pop()}/lr/9"
    assert not ids, "the same schedule has the same id everywhere"
    bare, bare_two = (stack.enter_context(_uvicorn(folder, "bare", BARE, workers)) for workers in (1, 2))
    fastapi = stack.enter_context(_uvicorn(folder, "fastapi_route", FASTAPI))
    one, two, plain, bare, bare_two, fastapi = (url + path for url in (one, two, plain, bare, bare_two, fastapi))
    return {
        "with a key": lambda: requests_a_second(one, token=token),
        "bare": lambda: requests_a_second(bare, token=token),
        "without keys": lambda: requests_a_second(plain, token=token),
        "fastapi": lambda: requests_a_second(fastapi, token=token),
        "changing": lambda: requests_a_second(one, token=token, script=CHANGING),
        "bare changing": lambda: requests_a_second(bare, token=token, script=CHANGING),
        "two": lambda: requests_a_second(two, token=token),
        "bare two": lambda: requests_a_second(bare_two, token=token),
    }


def _medians(cases: dict[str, Rate]) -> dict[str, float]:
    names = list(cases)
    for name in names:
        cases[name]()
    rounds = [{name: cases[name]() for name in names[first:] + names[:first]} for first in range(len(names))]
    return {name: statistics.median(rates[name] for rates in rounds) for name in names}


def make_key(database: Path) -> str:
    """The token of a key with every scope, in a database that no service need have seen."""
    store = Database(f"sqlite:///{database}", timeout_s=5.0)
    token: str = KeyStore(store).make("benchmark", ["admin"]).token
    store.close()
    return token


def _posted_id(url: str, token: str) -> str:
    headers = {"authorization": f"Bearer {token}"}
    posted = httpx.post(f"{url}/v1/schedules", json=SPEC, params={"stop": 0}, headers=headers, timeout=60)
    found: str = posted.raise_for_status().json()["id"]
    return found


@contextmanager
def _uvicorn(folder: Path, name: str, source: str, workers: int = 1) -> Iterator[str]:
    (folder / f"{name}.py").write_text(source)
    port = free_port()
    command = [
        *(sys.executable, "-m", "uvicorn", f"{name}:app", "--port", str(port), "--workers", str(workers)),
        *("--log-level", "warning", "--no-access-log"),
    ]
    # A session of its own, as a service has: Linux shares the cores out among sessions first.
    with subprocess.Popen(command, cwd=folder, start_new_session=True) as process:
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
