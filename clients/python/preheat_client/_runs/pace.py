"""Pace: how long an iteration takes, measured by where the loop is at times that are passed in."""

import statistics
from collections import deque

_SAMPLES = 5


class Pace:
    """Seconds an iteration, None until one was run.

    The lower median of the last few measurements: an evaluation between two iterations makes one of them long, and
    windows that last too short a time would make the loop wait.
    """

    def __init__(self, position: int, now_s: float) -> None:
        self._position, self._since_s, self._has_begun = position, now_s, False
        self._samples: deque[float] = deque(maxlen=_SAMPLES)

    @property
    def iteration_s(self) -> float | None:
        """Seconds an iteration."""
        return statistics.median_low(self._samples) if self._samples else None

    def note(self, position: int, now_s: float) -> None:
        """Notes the next iteration to run, at a time by a clock that never goes back."""
        count = position - self._position
        if count <= 0 or now_s <= self._since_s:
            return
        # It was made within the first iteration, with its data and its backward pass done: that one is no measure.
        count -= not self._has_begun
        if count:
            self._samples.append((now_s - self._since_s) / count)
        self._position, self._since_s, self._has_begun = position, now_s, True


def iterations_ahead(iteration_s: float | None, lease_s: float, most: int) -> int:
    """A window is a length of time: clamp(lease_s / iteration_s, 2, most) iterations; 16 before that is known."""
    if iteration_s is None:
        return min(16, most)
    return max(min(int(min(lease_s / iteration_s, most)) + 1, most), 2)
