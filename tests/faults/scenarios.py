"""What can go wrong, when, and what a training loop must then see: every scenario by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faults.fake_service import GARBAGE, Trick, busy_until, status, unspoilt
from faults.fault_proxy import NONE, Fault

TARGET_LR = 0.1
FALLBACK_LR = 0.01234567
WINDOW = 20
HORIZON = 16 * WINDOW
"""Iterations that a client has in memory ahead of a loop that has just begun."""
AT_START = -1

STALE, HELD, SNAPSHOT, FALLBACK = r"STALE \(service\)", r"FALLBACK \(held\)", r"STALE \(snapshot\)", r"FALLBACK \(fallb"


@dataclass(frozen=True)
class Scenario:
    """A loop of `iterations`, and what is wrong from which iteration on (`AT_START`: before the client opens).

    `is_possible(n, lr, lrs)` says whether an LR is one that
    the loop may see. `log` has a pattern for every warning, in order. `budget_us` is what 99 of 100
    iterations may take longer than with a constant.
    """

    name: str
    changes: Mapping[int, Fault | Trick]
    is_possible: Callable[[int, float, list[float]], bool]
    log: tuple[str, ...] = ()
    total_iterations: int = 1500
    iterations: int = 1500
    pause_s: float = 0.0005
    budget_us: float = 5.0
    has_snapshot: bool = False
    fallback: float | None = None
    options: dict[str, Any] = field(default_factory=dict)
    error: str | None = None
    source: str = "service"
    is_fake: bool = False
    """Whether a fake service answers instead of the real one behind a proxy."""

    @property
    def spec(self) -> dict[str, Any]:
        """A warm-up over the whole run: no two iterations have the same LR."""
        total = self.total_iterations
        return {"target_lr": TARGET_LR, "total_iterations": total, "warmup": {"iterations": total}}


def lr(iteration: int, total_iterations: int) -> float:
    """The schedule's LR, written out."""
    return TARGET_LR * iteration / total_iterations


_SHORT, _LONG = 1500, 100_000

PASSES: dict[str, Fault] = {
    "latency": Fault(latency_s=0.03, jitter_s=0.05),
    "narrow": Fault(bytes_per_s=20_000),
}
"""Faults through which answers still come."""

BREAKS: dict[str, Fault] = {
    "down": Fault(listens=False),
    "refused": Fault(greeting="reset"),
    "silent": Fault(greeting="hang"),
    "not http": Fault(greeting="garbage"),
    "black hole at once": Fault(after_bytes=1, then="hang"),
    "black hole in the headers": Fault(after_bytes=60, then="hang"),
    "black hole in the body": Fault(after_bytes=420, then="hang"),
    "reset in the headers": Fault(after_bytes=60, then="reset"),
    "reset in the body": Fault(after_bytes=420, then="reset"),
    "one byte a second": Fault(bytes_per_s=1),
    "a dribble": Fault(bytes_per_s=100),
    "cut in the headers": Fault(after_bytes=60, then="close"),
    "cut in the body": Fault(after_bytes=420, then="close"),
    "half closed": Fault(after_bytes=420, then="half_close"),
}
"""Faults through which none do."""

FAULTS = PASSES | BREAKS


def _exact(total: int) -> Callable[[int, float, list[float]], bool]:
    return lambda n, used, _: used == lr(n, total)


def _exact_or_held(n: int, used: float, lrs: list[float]) -> bool:
    """The schedule's LR, or, past what was in memory, the last known one."""
    return used == lr(n, _LONG) or (n >= HORIZON and used == lrs[n - 1])


def _exact_in_the_end(n: int, used: float, lrs: list[float]) -> bool:
    """As above, and the schedule's LR again once the service was back for a while."""
    return used == lr(n, _LONG) if n > len(lrs) - 100 else _exact_or_held(n, used, lrs)


def _only_fallback(_n: int, used: float, _lrs: list[float]) -> bool:
    return used == FALLBACK_LR


def _fallback_then_exact(n: int, used: float, lrs: list[float]) -> bool:
    """Once the schedule has arrived the fallback is over."""
    if used == FALLBACK_LR:
        return n < len(lrs) - 100 and all(each == FALLBACK_LR for each in lrs[:n])
    return used == lr(n, len(lrs))


_WINDOWED: dict[str, Any] = {
    "total_iterations": _LONG,
    "iterations": 400,
    "pause_s": 0.002,
    "budget_us": 200.0,
    "options": {"window": WINDOW, "timeout_s": 0.3},
}
_AWAY: dict[str, Any] = {"options": {"timeout_s": 0.3, "start_timeout_s": 0.5}}


def _of_fault(name: str, fault: Fault) -> list[Scenario]:
    """Seven moments for everything that breaks."""
    ending = {**_WINDOWED, "iterations": 900, "pause_s": 0.005}
    returning = {**_AWAY, "total_iterations": 6000, "iterations": 6000, "fallback": FALLBACK_LR}
    return [
        Scenario(f"{name}, with all in memory", {60: fault}, _exact(_SHORT)),
        Scenario(f"{name}, for ever", {30: fault}, _exact_or_held, (STALE, HELD), source="held", **_WINDOWED),
        Scenario(f"{name}, for a while", {30: fault, 150: NONE}, _exact_in_the_end, (STALE,), **ending),
        Scenario(
            f"{name} at the start, with a snapshot",
            {AT_START: fault},
            _exact(_SHORT),
            (SNAPSHOT,),
            has_snapshot=True,
            source="snapshot",
            **_AWAY,
        ),
        Scenario(
            f"{name} at the start, with a fallback",
            {AT_START: fault},
            _only_fallback,
            (FALLBACK,),
            fallback=FALLBACK_LR,
            source="fallback",
            **_AWAY,
        ),
        Scenario(
            f"{name} at the start, for a while",
            {AT_START: fault, 50: NONE},
            _fallback_then_exact,
            (FALLBACK,),
            **returning,
        ),
        Scenario(
            f"{name} at the start, with nothing", {AT_START: fault}, _exact(_SHORT), error="ServiceUnavailable", **_AWAY
        ),
    ]


def _of_nuisance(name: str, fault: Fault) -> list[Scenario]:
    """What is only slow must not be noticed."""
    patient = {**_WINDOWED, "options": {"window": WINDOW}, "pause_s": 0.004}
    return [
        Scenario(f"{name}, with all in memory", {60: fault}, _exact(_SHORT)),
        Scenario(f"{name}, for ever", {30: fault}, _exact(_LONG), **patient),
        Scenario(f"{name} from the start", {AT_START: fault}, _exact(_LONG), **patient),
    ]


def _of_trick(name: str, trick: Trick) -> list[Scenario]:
    """Answers that must be dropped whole: for ever, and at the start."""
    return [
        Scenario(
            f"{name}, for ever", {30: trick}, _exact_or_held, (STALE, HELD), source="held", is_fake=True, **_WINDOWED
        ),
        Scenario(
            f"{name} at the start, with a fallback",
            {AT_START: trick},
            _only_fallback,
            (FALLBACK,),
            fallback=FALLBACK_LR,
            source="fallback",
            is_fake=True,
            **_AWAY,
        ),
    ]


def _of_passing_trick(name: str, trick: Trick) -> Scenario:
    """Answers that are bad for a while."""
    ending = {**_WINDOWED, "iterations": 900, "pause_s": 0.005}
    return Scenario(name, {30: trick, 120: unspoilt}, _exact_in_the_end, (STALE,), is_fake=True, **ending)


_STATUSES = {
    **{str(code): status(code) for code in (400, 401, 403, 404, 408, 410, 425, 429, 500, 502, 503, 504)},
    "429 for 1 s": status(429, retry_after="1"),
    "503 with a Retry-After of nonsense": status(503, retry_after="soon"),
    "503 until a date": busy_until(1),
    "503 until a date, by a clock a year ahead": busy_until(1, 3.2e7),
    "503 until a date, by a clock a year behind": busy_until(1, -3.2e7),
}
_PASSING = [name for name in _STATUSES if name.startswith(("408", "425", "429", "5"))]

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in [
        *(scenario for name, fault in PASSES.items() for scenario in _of_nuisance(name, fault)),
        *(scenario for name, fault in BREAKS.items() for scenario in _of_fault(name, fault)),
        *(scenario for name, trick in (_STATUSES | GARBAGE).items() for scenario in _of_trick(name, trick)),
        *(_of_passing_trick(f"{name}, for a while", _STATUSES[name]) for name in _PASSING),
    ]
}
