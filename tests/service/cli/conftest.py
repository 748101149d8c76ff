"""Fixtures of the tests of `preheat runs`: a service, a job on it, and the command line in front of it."""

from collections.abc import Iterator

import httpx
import pytest
from typer.testing import CliRunner, Result

from live_runs.rest_job import RestJob
from preheat.cli import app
from running_service import service
from support.runs_cli import Command


@pytest.fixture(scope="module")
def live() -> Iterator[httpx.Client]:
    """A client of a service in memory."""
    with service() as url, httpx.Client(base_url=url, timeout=60) as http:
        yield http


@pytest.fixture
def job(live: httpx.Client) -> RestJob:
    """A run of a cosine whose job has its first window, 1 … 16."""
    spec = {"target_lr": 0.1, "total_iterations": 1000, "after_scheduler": {"type": "CosineAnnealingLR"}}
    started = RestJob(live, spec)
    started.attach()
    started.ask(1)
    return started


@pytest.fixture
def preheat(live: httpx.Client) -> Command:
    """`preheat runs` with the service's address; an error that is not ours fails the test."""

    def run(*arguments: str, url: str = str(live.base_url), **environment: str) -> Result:
        variables = {"COLUMNS": "100", "PREHEAT_URL": url, "PREHEAT_TOKEN": None, **environment}
        result = CliRunner().invoke(app, ["runs", *arguments], env=variables)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run
