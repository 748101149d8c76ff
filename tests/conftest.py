"""Fixtures that several tests share."""

import atexit
import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Any

import certifi
import httpx
import hypothesis
import pytest

from preheat_client import Preheat
from running_service import service

# What somebody has set for a service or a client of theirs is not for those of the tests, nor is their database.
for name in [name for name in os.environ if name.startswith("PREHEAT_")]:
    del os.environ[name]
_DATA = tempfile.TemporaryDirectory(prefix="preheat-tests-")
atexit.register(_DATA.cleanup)  # else the interpreter would clean up at its end, with a ResourceWarning
os.environ["XDG_DATA_HOME"] = _DATA.name

# A shell without job control has what it starts in the background ignore Ctrl-C, and so would each command under test.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Each client of httpx reads all authorities that certifi knows, which takes longer than what most tests do with it, and
# nothing here speaks with the world: one will do.
_END = "-----END CERTIFICATE-----\n"
_AUTHORITY = Path(_DATA.name) / "authority.pem"
_AUTHORITY.write_text(certifi.contents().partition(_END)[0] + _END, encoding="utf-8")
os.environ["SSL_CERT_FILE"] = str(_AUTHORITY)

# Nothing is judged by the time it takes: on a busy machine one example in a thousand is slow.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_xdist_auto_num_workers() -> int:
    """Three for two cores: about half of the time tests wait, for processes that start and end."""
    return max((os.cpu_count() or 1) * 3 // 2, 1)


@pytest.fixture(scope="session")
def service_with() -> Iterator[Callable[..., httpx.Client]]:
    """Clients of services with schedules in memory, by settings: each service is started once for the session."""
    with ExitStack() as stack:

        @cache
        def client(**settings: Any) -> httpx.Client:
            url = stack.enter_context(service(**settings))
            return stack.enter_context(httpx.Client(base_url=url, timeout=30))

        yield client


@pytest.fixture(scope="session")
def http(service_with: Callable[..., httpx.Client]) -> httpx.Client:
    """A plain HTTP client of a service with default settings."""
    return service_with()


@pytest.fixture(scope="session")
def url(http: httpx.Client) -> str:
    """The address of that service."""
    return str(http.base_url).rstrip("/")


@pytest.fixture
def preheat(url: str) -> Iterator[Preheat]:
    """The client of that service."""
    with Preheat(url) as client:
        yield client
