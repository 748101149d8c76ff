"""Fixtures that several tests share."""

from collections.abc import Iterator

import httpx
import hypothesis
import pytest

from running_service import service

# Nothing is judged by the time it takes: on a busy machine one example in a thousand is slow.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


@pytest.fixture(scope="session")
def url() -> Iterator[str]:
    """The address of a service with default settings and schedules in memory."""
    with service() as address:
        yield address


@pytest.fixture(scope="session")
def http(url: str) -> Iterator[httpx.Client]:
    """A plain HTTP client of that service."""
    with httpx.Client(base_url=url, timeout=30) as client:
        yield client
