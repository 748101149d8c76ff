"""Fixtures of the tests of live runs over REST: a service on each kind of database."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from live_runs.rest_job import RestJob
from running_service import service
from support.postgresql import PostgreSQL


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def live(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """A client of a service on a database of its own, once for each kind."""
    if request.param == "sqlite":
        folder: Path = tmp_path_factory.mktemp("runs")
        url = f"sqlite:///{folder}/preheat.db"
    else:
        server: PostgreSQL = request.getfixturevalue("server")
        url = server.new_database()
    with (
        service(database_url=url, max_window_iterations=64) as address,
        httpx.Client(base_url=address, timeout=60) as http,
    ):
        http.get("/readyz").raise_for_status()
        yield http


@pytest.fixture
def job(live: httpx.Client) -> RestJob:
    """A run whose job has its first window, 1 … 16."""
    started = RestJob(live)
    started.attach()
    started.ask(1)
    return started
