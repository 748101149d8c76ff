"""Fixtures of the client's tests."""

import pytest

from preheat_client import Preheat, Schedule
from reference import REFERENCE_SPEC


@pytest.fixture
def schedule(preheat: Preheat) -> Schedule:
    """The reference schedule."""
    return preheat.create(REFERENCE_SPEC)
