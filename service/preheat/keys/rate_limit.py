"""Rate limits: how many requests a second each caller may make, after a burst (429, Retry-After, RateLimit)."""

from typing import NamedTuple

_SECOND = 1_000_000_000
_MOST_CALLERS = 10_000


class Standing(NamedTuple):
    """What a caller has left: `is_within` the limit or not, requests, and seconds until there is one more."""

    is_within: bool
    remaining: int
    more_in_s: int


class RateLimiter:
    """Allows each caller `burst` requests at once, and `per_s` a second after that.

    The algorithm is ATM's virtual scheduling (GCRA, ITU-T I.371), which admits what a token bucket does. Of each caller
    one number is kept: when all its requests will have been paid for. Times are nanoseconds of any clock that does not
    go back; whole numbers, so that nothing is lost by adding up.
    """

    def __init__(self, per_s: int, burst: int) -> None:
        self._interval = _SECOND // per_s
        self._burst = burst * self._interval
        self.policy = f'"requests";q={burst};w={_seconds(self._burst)}'
        self._paid_at: dict[str, int] = {}

    def take(self, caller: str, now: int) -> Standing:
        """Counts one request, if it is within the limit."""
        paid_at = max(self._paid_at.get(caller, now), now)
        over = paid_at + self._interval - now - self._burst
        if over > 0:
            return Standing(False, 0, _seconds(over))
        if caller not in self._paid_at and len(self._paid_at) >= _MOST_CALLERS:
            self._forget(now)
        self._paid_at[caller] = paid_at + self._interval
        remaining, part = divmod(-over, self._interval)
        return Standing(True, remaining, _seconds(self._interval - part))

    def _forget(self, now: int) -> None:
        """Forgets callers whose burst is whole again; if these are few, half of all, those who asked the least."""
        owing = {caller: paid_at for caller, paid_at in self._paid_at.items() if paid_at > now}
        if len(owing) > _MOST_CALLERS // 2:
            most = sorted(owing, key=owing.__getitem__)[-_MOST_CALLERS // 2 :]
            owing = {caller: owing[caller] for caller in most}
        self._paid_at = owing


def _seconds(nanoseconds: int) -> int:
    """Whole seconds, rounded up: a caller that waits so long does not come too early."""
    return -(-nanoseconds // _SECOND)
