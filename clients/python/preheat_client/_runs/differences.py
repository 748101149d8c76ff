"""Differences: updates that ran at another LR than was handed out, of which the service is told: alarms."""

from collections import deque
from collections.abc import Mapping
from typing import Any


class Differences:
    """The first, second, fourth, eighth … of them in an attempt: a loop where every update differs tells few.

    `add` is the loop's, the rest the client's thread's; both are single steps of a deque, and there is no lock.
    """

    def __init__(self) -> None:
        self.count = 0
        self._waiting: deque[Mapping[str, Any]] = deque()

    def add(self, told: Mapping[str, Any]) -> None:
        """Adds what an update ran at, as the service takes it."""
        self.count += 1
        if self.count & (self.count - 1) == 0:  # a power of two
            self._waiting.append(told)

    def waiting(self) -> list[Mapping[str, Any]]:
        """What is to be told next; the same again until `sent`."""
        return list(self._waiting)

    def sent(self, count: int) -> None:
        """Notes that the service has the first so many of `waiting`."""
        for _ in range(count):
            self._waiting.popleft()
