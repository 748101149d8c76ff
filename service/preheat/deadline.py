"""The moment after which a computation stops itself."""

import time
from collections.abc import Callable

from preheat.errors import ComputeTimeout


class Deadline:
    """Expires `timeout_s` after it was made; long computations ask it at every block of their work."""

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._timeout_s = timeout_s
        self._clock = clock
        self._expires = clock() + timeout_s

    def check(self) -> None:
        """Raises ComputeTimeout once the time is over."""
        if self._clock() > self._expires:
            raise ComputeTimeout(self._timeout_s)


NO_DEADLINE = Deadline(float("inf"))
