"""The client and a service that asks for keys: its token, and limits on how often it may ask."""

import time
import traceback
from itertools import pairwise
from typing import Any

import httpx
import pytest

from preheat.api import create_app
from preheat.settings import Settings
from preheat_client import Preheat
from preheat_client.errors import RequestRefused
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import serving, wait_until
from support.keys import keyed_service


def test_a_token_is_all_that_a_client_needs() -> None:
    """With one that may write it posts and reads; without one, or with less, it says what the service said."""
    with keyed_service() as running:
        url = str(running.http.base_url)
        with Preheat(url, token=running.tokens["write"]) as preheat:
            schedule = preheat.create(REFERENCE_SPEC)
            assert [str(schedule.lr(n)) for n in range(1, 21)] == list(REFERENCE_ROWS)
            schedule_id = schedule.id
        with Preheat(url, token=running.tokens["read"]) as preheat:
            assert str(preheat.schedule(str(schedule_id)).lr(3)) == REFERENCE_ROWS[2]
        for token, status, word in (
            (None, 401, "key"),
            (running.tokens["read"], 403, "scope write"),
            ("x", 401, "known"),
        ):
            with Preheat(url, token=token) as preheat, pytest.raises(RequestRefused, match=word) as caught:
                preheat.create({**REFERENCE_SPEC, "label": "new"})
            assert caught.value.status == status
            assert "Empty" not in "".join(traceback.format_exception(caught.value))


def test_a_client_waits_as_long_as_a_limit_asks() -> None:
    """A 429 is an outage with a Retry-After: the client asks again after that, and not before."""
    answers: list[tuple[int, float]] = []
    app = create_app(Settings(database_url="sqlite:///:memory:", rate_limit_per_s=1, rate_limit_burst=1))

    async def noting(scope: Any, receive: Any, send: Any) -> None:
        async def send_noted(message: Any) -> None:
            if message["type"] == "http.response.start":
                answers.append((message["status"], time.monotonic()))
            await send(message)

        await app(scope, receive, send_noted)

    with serving(noting) as url, Preheat(url, timeout_s=30) as preheat:
        schedule = preheat.create({**REFERENCE_SPEC, "total_iterations": 5000})
        wait_until(lambda: schedule.status.source == "service", 60)
        pauses = [later - sooner for (status, sooner), (_, later) in pairwise(answers) if status == 429]
        assert schedule.status.counters.failures == len(pauses) >= 1
        assert min(pauses) > 0.9
        assert httpx.get(f"{url}/v1/recipes", timeout=60).headers["ratelimit-policy"] == '"requests";q=1;w=1'
