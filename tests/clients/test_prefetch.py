"""How long a service that failed is left alone: a clock and a share of our own, expected pauses written out."""

import pytest

from preheat_client._core.prefetch import Backoff
from preheat_client.errors import RequestRefused, ServiceUnavailable

AWAY = ServiceUnavailable("away")


class Clock:
    """Seconds that pass when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """The present."""
        return self.now


def test_pauses_double_from_1_s_to_30_s() -> None:
    """Without jitter they are 1, 2, 4, 8, 16, 30 and 30 s."""
    backoff = Backoff(Clock(), lambda: 0.0)
    assert [backoff.failed(AWAY) for _ in range(7)] == [1, 2, 4, 8, 16, 30, 30]


@pytest.mark.parametrize(("share", "first"), [(0.0, 1.0), (0.5, 0.75), (1.0, 0.5)])
def test_jitter_takes_off_up_to_a_half(share: float, first: float) -> None:
    """A pause is never shorter than half, and never longer than it would be without."""
    backoff = Backoff(Clock(), lambda: share)
    assert [backoff.failed(AWAY), backoff.failed(AWAY)] == [first, 2 * first]


@pytest.mark.parametrize(("healthy_s", "then"), [(0.0, 8.0), (59.9, 8.0), (60.0, 1.0), (1e6, 1.0)])
def test_60_s_of_health_begin_anew(healthy_s: float, then: float) -> None:
    """After less, a service that answers now and then is still spared."""
    clock = Clock()
    backoff = Backoff(clock, lambda: 0.0)
    for _ in range(3):
        backoff.failed(AWAY)
    backoff.succeeded()
    clock.now += healthy_s
    backoff.succeeded()
    assert backoff.failed(AWAY) == then


def test_health_is_counted_from_the_first_answer_after_a_failure() -> None:
    """A failure in between ends it."""
    clock = Clock()
    backoff = Backoff(clock, lambda: 0.0)
    backoff.succeeded()
    clock.now += 50
    assert backoff.failed(AWAY) == 1
    backoff.succeeded()
    clock.now += 50
    assert backoff.failed(AWAY) == 2


@pytest.mark.parametrize(("wish", "pause"), [(0.2, 1.0), (17.0, 17.0), (3600.0, 3600.0), (1e9, 3600.0)])
def test_retry_after_is_the_least(wish: float, pause: float) -> None:
    """For that long, up to an hour, nothing is asked, however urgent."""
    clock = Clock()
    backoff = Backoff(clock, lambda: 0.0)
    assert backoff.failed(ServiceUnavailable("busy", wish)) == pause
    assert backoff.retry_after_s == pytest.approx(min(wish, 3600.0))
    clock.now += pause
    assert backoff.retry_after_s == 0


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_refusal_is_tried_again_after_minutes(share: float) -> None:
    """Each pause is 2.5 to 5 minutes: a token or a route may be mended any time."""
    backoff = Backoff(Clock(), lambda: share)
    assert {backoff.failed(RequestRefused(403, {})) for _ in range(10)} == {300 - 150 * share}
