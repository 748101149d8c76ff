"""Time taken, side by side in one run, and what is said of it."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Task = Callable[[], object]


@dataclass(frozen=True)
class Ratio:
    """What we measured over what a peer measured in the same run, and the goal for it.

    `is_reached` compares the ratio with the goal in the direction that `goal` says.
    """

    what: str
    ours: float
    unit: str
    peer: str
    peers: float
    goal: str

    @property
    def ratio(self) -> float:
        """Ours over the peer's."""
        return self.ours / self.peers

    @property
    def is_reached(self) -> bool | None:
        """Whether the goal is; None if there is none, and the row is there to compare."""
        if not self.goal:
            return None
        bound = float(self.goal[1:])
        return self.ratio <= bound if self.goal[0] == "≤" else self.ratio >= bound


def side_by_side(tasks: Mapping[str, Task], rounds: int) -> dict[str, float]:
    """Median seconds of each task, run in turn in every round, so that a noisy moment meets all of them."""
    for task in tasks.values():
        task()
    seconds: dict[str, list[float]] = {name: [] for name in tasks}
    for _ in range(rounds):
        for name, task in tasks.items():
            started = time.perf_counter()
            task()
            seconds[name].append(time.perf_counter() - started)
    return {name: statistics.median(times) for name, times in seconds.items()}


def percentile(values: Sequence[float], percent: float) -> float:
    """The value below which so many of a hundred are."""
    ordered = sorted(values)
    return float(ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)])
