"""Fixtures of the client's tests."""

from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from preheat_client import Preheat, Schedule
from reference import REFERENCE_SPEC
from running_service import serving
from support.fake_runs import FakeRuns
from support.toy_runs import ToyRun


@pytest.fixture
def schedule(preheat: Preheat) -> Schedule:
    """The reference schedule."""
    return preheat.create(REFERENCE_SPEC)


@dataclass(frozen=True)
class Place:
    """A service of one run, and its address."""

    service: FakeRuns
    toy: ToyRun
    url: str


@pytest.fixture
def runs() -> Iterator[Place]:
    """A toy service of one run, whose leases last a fifth of a second."""
    toy = ToyRun(lambda n: n / 1_000_000, 100_000, lease_s=0.2)
    service = FakeRuns(toy)
    with serving(service) as url:
        yield Place(service, toy, url)
