"""13. Windows of a run, each on disk before it is answered. Peer: one synced insert in the same kind of database."""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import psycopg

from benchmarks.measure import Ratio, side_by_side
from live_runs.rest_job import RestJob
from preheat.api import create_app
from preheat.api.live_runs import LiveRuns
from preheat.runs.attempts import AttachRequest
from preheat.runs.windows import WindowRequest
from preheat.schedule import Schedule
from preheat.settings import Settings
from running_service import service_process
from support.postgresql import postgresql_server

TABLE, INSERT = "CREATE TABLE peer (number INTEGER, content TEXT)", "INSERT INTO peer VALUES (1, 'x')"
SPEC = {"target_lr": 0.1, "total_iterations": 10**9, "after_scheduler": {"type": "CosineAnnealingLR"}}
AT_ONCE, ROUNDS = 10, 15
ADVANCED, REPORTED = 5, 10


def measure() -> Iterator[Ratio]:
    """A second, by one job that asks again as soon as it is answered: decided and stored, and the same over REST."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        server = stack.enter_context(postgresql_server(on_disk=True))
        of_sqlite = _by_sqlite(stack, folder / "peer.db")
        yield from _ratios("SQLite", f"sqlite:///{folder / 'preheat.db'}", of_sqlite)
        of_postgresql = _by_postgresql(stack, server.new_database())
        yield from _ratios("PostgreSQL", server.new_database(), of_postgresql)


def _ratios(name: str, url: str, insert: Callable[[], object]) -> Iterator[Ratio]:
    stored = _storing(url)
    with (
        service_process(Path("unused"), database_url=url) as running,
        httpx.Client(base_url=running.url, timeout=30) as http,
    ):
        plain, reporting = _asking(http, 0), _asking(http, REPORTED)
        tasks = {"stored": stored, "plain": plain, "reporting": reporting, "insert": lambda: _repeat(insert)}
        per_s = {task: AT_ONCE / s for task, s in side_by_side(tasks, ROUNDS).items()}
    peer = f"synced inserts, {name}"
    yield Ratio(f"windows decided and stored, {name}", per_s["stored"], "/s", peer, per_s["insert"], "≥0.5")
    yield Ratio(f"windows over REST, {name}", per_s["plain"], "/s", peer, per_s["insert"], "")
    what = f"windows with {REPORTED} reports over REST, {name}"
    yield Ratio(what, per_s["reporting"], "/s", peer, per_s["insert"], "")


def _storing(url: str) -> Callable[[], object]:
    """Windows of a run, asked of what the routes ask, in this process."""
    runs: LiveRuns = create_app(Settings(database_url=url, compute_workers=0)).state.runs
    run, _ = runs.make("stored", Schedule.of(SPEC), is_unique=True)
    token = "token-of-this-process"  # noqa: S105 - of a run that is gone in a minute
    runs.attach(run.id, AttachRequest(token, 0, 1))
    positions, acknowledged = count(1, ADVANCED), 1

    def ask() -> None:
        nonlocal acknowledged
        n = min(next(positions), acknowledged)
        request = WindowRequest(1, token, n, acknowledged, 1, iteration_s=0.1)
        acknowledged = runs.window(run.id, request, (), ())[1].stop

    return lambda: _repeat(ask)


def _asking(http: httpx.Client, reports: int) -> Callable[[], object]:
    """Windows of a run of its own, whose job moves on by a few iterations each time."""
    job = RestJob(http, SPEC)
    job.attach()
    asked: dict[str, Any] = {"attempt": job.attempt, "token": job.token, "revision": 1, "generation": 1,
                             "iteration_s": 0.1}  # fmt: skip
    positions = count(1, max(ADVANCED, reports))
    acknowledged = 1

    def ask() -> None:
        nonlocal acknowledged
        n = min(next(positions), acknowledged)
        batch = [{"iteration": i, "values": {"loss": 1 / i}} for i in range(max(n - reports, 1), n)]
        body = {**asked, "position": n, "acknowledged": acknowledged, "reports": batch}
        answer = http.post(f"{job.path}/windows", json=body).raise_for_status().json()
        acknowledged = answer["stop"]

    return lambda: _repeat(ask)


def _repeat(task: Callable[[], object]) -> None:
    for _ in range(AT_ONCE):
        task()


def _by_sqlite(stack: ExitStack, file: Path) -> Callable[[], object]:
    connection = stack.enter_context(closing(sqlite3.connect(file, isolation_level=None)))
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", TABLE):
        connection.execute(statement)

    def insert() -> None:
        for statement in ("BEGIN IMMEDIATE", INSERT, "COMMIT"):
            connection.execute(statement)

    return insert


def _by_postgresql(stack: ExitStack, url: str) -> Callable[[], object]:
    connection = stack.enter_context(psycopg.connect(url.replace("+psycopg", "")))
    connection.execute(TABLE)
    connection.commit()

    def insert() -> None:
        connection.execute(INSERT)
        connection.commit()

    return insert
