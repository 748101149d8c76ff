"""4. One point of a cosine of 10⁹ iterations, the first time: under 5 ms, and no growth with T."""

from collections.abc import Iterator

from benchmarks.measure import Ratio, side_by_side
from preheat.curve import Curve
from preheat.schedule import Schedule

LIMIT_MS = 5.0


def measure() -> Iterator[Ratio]:
    """From the spec's text to the LR in the middle of the run."""
    tasks = {total: (lambda total=total: _first_point(total)) for total in (10**3, 10**6, 10**9, 10**12)}
    ms = {name: s * 1e3 for name, s in side_by_side({str(total): task for total, task in tasks.items()}, 101).items()}
    yield Ratio("first point of 10⁹", ms[str(10**9)], "ms", "limit: 5 ms", LIMIT_MS, "≤1")
    yield Ratio("first point of 10⁹", ms[str(10**9)], "ms", "first point of 10³", ms[str(10**3)], "≤1.2")
    yield Ratio("first point of 10¹²", ms[str(10**12)], "ms", "first point of 10³", ms[str(10**3)], "≤1.2")


def _first_point(total: int) -> list[float]:
    spec = {"target_lr": 0.1, "total_iterations": total, "after_scheduler": {"type": "CosineAnnealingLR"}}
    return Curve(Schedule.of(spec)).lr(total // 2)
