"""How long to leave a service alone after it failed."""

import random
import time
from collections.abc import Callable

from preheat_client.errors import PreheatError, ServiceUnavailable

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 30.0
REFUSED_PAUSE_S = 300.0
HEALTHY_AFTER_S = 60.0
LONGEST_WISH_S = 3600.0


class Backoff:
    """Pauses of 1 s, doubling up to 30 s; each is cut by up to a half at random, so that clients do not march in step.

    A refusal (401, 403, 404 …) is tried again after minutes: 2.5 to 5. What Retry-After asks for, up to an hour, is the
    least. Pauses begin at 1 s again once the service has answered for 60 s without a failure.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, share: Callable[[], float] = random.random) -> None:
        self._clock, self._share = clock, share
        self._failures = 0
        self._well_since: float | None = None
        self._forbidden_until = 0.0

    def failed(self, error: PreheatError) -> float:
        """Seconds until the next attempt."""
        if self._well_since is not None and self._clock() - self._well_since >= HEALTHY_AFTER_S:
            self._failures = 0
        self._well_since = None
        self._failures += 1
        longest: float = min(FIRST_PAUSE_S * 2 ** min(self._failures - 1, 10), LONGEST_PAUSE_S)
        if not isinstance(error, ServiceUnavailable):
            longest = REFUSED_PAUSE_S
        wish = min((isinstance(error, ServiceUnavailable) and error.retry_after_s) or 0.0, LONGEST_WISH_S)
        self._forbidden_until = self._clock() + wish
        return max(longest * (1 - self._share() / 2), wish)

    def succeeded(self) -> None:
        """The service answered."""
        if self._well_since is None:
            self._well_since = self._clock()

    @property
    def forbidden_s(self) -> float:
        """Seconds for which the service asked not to be asked, however urgent it is."""
        return max(self._forbidden_until - self._clock(), 0.0)
