"""The rate limiter, beside a bucket of tokens in exact fractions that is filled all the time."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preheat.keys import RateLimiter
from preheat.keys.lifetime import parse_seconds

SECOND = 10**9
RATES = st.sampled_from([1, 2, 4, 5, 8, 10, 100, 1000, 10**6])  # which a second of nanoseconds is a multiple of


class Bucket:
    """The model: `burst` tokens at most, filled by `rate` a second, one taken by each request that finds one."""

    def __init__(self, rate: int, burst: int) -> None:
        self.rate, self.burst = rate, burst
        self.tokens, self.at = Fraction(burst), 0

    def take(self, now: int) -> tuple[bool, int, int]:
        """Whether there was a token, whole tokens left, and seconds until there is one more."""
        self.tokens = min(Fraction(self.burst), self.tokens + Fraction((now - self.at) * self.rate, SECOND))
        self.at = now
        is_within = self.tokens >= 1
        self.tokens -= is_within
        missing = 1 - self.tokens % 1
        return is_within, int(self.tokens), ceil(missing / self.rate)


@given(RATES, st.integers(1, 20), st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3 * SECOND)), max_size=60))
def test_it_admits_what_a_bucket_of_tokens_does(rate: int, burst: int, requests: list[tuple[str, int]]) -> None:
    """Each caller has a bucket of its own; what is told of it is what is left in it."""
    limiter, buckets, now = RateLimiter(rate, burst), {name: Bucket(rate, burst) for name in "abc"}, 0
    for caller, pause in requests:
        now += pause
        standing = limiter.take(caller, now)
        assert (standing.is_within, standing.remaining, standing.more_in_s) == buckets[caller].take(now)


@given(RATES, st.integers(1, 20), st.integers(1, 200))
def test_who_waits_as_told_is_admitted(rate: int, burst: int, requests: int) -> None:
    """More_in_s is never too short."""
    limiter = RateLimiter(rate, burst)
    standings = [limiter.take("a", 0) for _ in range(requests)]
    assert sum(standing.is_within for standing in standings) == min(requests, burst)
    assert limiter.take("a", standings[-1].more_in_s * SECOND).is_within


def test_memory_is_bounded() -> None:
    """Many callers leave 10,000 at most; one that has used up its burst stays among them."""
    limiter = RateLimiter(1, 5)
    for _ in range(5):
        limiter.take("busy", 0)
    for number in range(100_000):
        limiter.take(f"{number}", 0)
    assert len(limiter._paid_at) <= 10_000
    assert not limiter.take("busy", 0).is_within


def test_the_policy_is_a_structured_field() -> None:
    """Quota and window, as draft-ietf-httpapi-ratelimit-headers has them."""
    assert RateLimiter(50, 100).policy == '"requests";q=100;w=2'
    assert RateLimiter(1000, 1).policy == '"requests";q=1;w=1'


def test_lifetimes_have_a_unit() -> None:
    """And are longer than nothing."""
    assert [parse_seconds(text, "expires") for text in ("90d", "12h", "1w", "5m", "9s")] == [
        90 * 86_400,
        12 * 3600,
        7 * 86_400,
        300,
        9,
    ]
    for text in ("", "90", "0d", "-1d", "1.5h", "d", "1y", "999999w", "1d ", "١d"):
        with pytest.raises(ValueError, match="must be a number and a unit"):
            parse_seconds(text, "expires")
