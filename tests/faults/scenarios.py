"""Scenarios: what can go wrong, when, and what a training loop must then see."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from faults.fake_service import GARBAGE, Trick, busy_until, status, unspoilt
from faults.fault_proxy import NONE, Fault
from faults.pairwise import pairwise

TARGET_LR = 0.1
FALLBACK_LR = 0.01234567
OVERTAKEN = r"the LR of iteration \d+ is \S+, and was 0\.01234567 \(fallback\)"
WINDOW = 20
HORIZON = 16 * WINDOW
"""Iterations that a client has in memory ahead of a loop that has just begun."""
AT_START = -1
LAST = 100
"""Iterations that a loop goes on for after the client has recovered."""

STALE, HELD, SNAPSHOT, FALLBACK = r"STALE \(service\)", r"FALLBACK \(held\)", r"STALE \(snapshot\)", r"FALLBACK \(fallb"

IsPossible = Callable[[int, float, list[float]], bool]


@dataclass(frozen=True)
class Scenario:
    """A loop of `iterations`, and what is wrong from which iteration on (`AT_START`: before the client opens).

    `factors` are what scenarios are paired by. `is_possible(n, lr, lrs)` says whether an LR is one that the loop may
    see. `log` has a pattern for every warning, in order. `budget_us`: what 99 of 100 reads may take beyond three times
    what they take with a constant. `recovers`: how many windows have arrived once the client has recovered; until then,
    and for `LAST` iterations more, the loop goes on. 0: it need not recover.
    """

    factors: Mapping[str, str]
    changes: Mapping[int, Fault | Trick]
    is_possible: IsPossible
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
    recovers: int = 0
    is_fake: bool = False
    """Whether a fake service answers instead of the real one behind a proxy."""

    @property
    def name(self) -> str:
        """The values of its factors."""
        return ", ".join(value for value in self.factors.values() if value)

    @property
    def spec(self) -> dict[str, Any]:
        """A warm-up over the whole run: no two iterations have the same LR."""
        total = self.total_iterations
        # The group's own warm-up keeps the client from computing what it is not served.
        group = {"warmup": {"iterations": total}}
        return {"target_lr": TARGET_LR, "total_iterations": total, "param_groups": [group]}


def lr(iteration: int, total_iterations: int) -> float:
    """The schedule's LR, written out."""
    return TARGET_LR * iteration / total_iterations


_SHORT, _MIDDLE, _LONG = 1500, 30_000, 100_000

PASSES: dict[str, Fault] = {
    "latency": Fault(latency_s=0.03, jitter_s=0.05),
    "narrow": Fault(bytes_per_s=20_000),
}
"""Faults through which answers still come."""

BREAKS: dict[tuple[str, str], Fault] = {
    ("refused", "when connecting"): Fault(listens=False),
    ("reset", "when connecting"): Fault(greeting="reset"),
    ("silent", "when connecting"): Fault(greeting="hang"),
    ("not http", "when connecting"): Fault(greeting="garbage"),
    ("silent", "at the first byte"): Fault(after_bytes=1, then="hang"),
    ("silent", "in the headers"): Fault(after_bytes=60, then="hang"),
    ("silent", "in the body"): Fault(after_bytes=420, then="hang"),
    ("reset", "in the headers"): Fault(after_bytes=60, then="reset"),
    ("reset", "in the body"): Fault(after_bytes=420, then="reset"),
    ("one byte a second", ""): Fault(bytes_per_s=1),
    ("a dribble", ""): Fault(bytes_per_s=100),
    ("cut", "in the headers"): Fault(after_bytes=60, then="close"),
    ("cut", "in the body"): Fault(after_bytes=420, then="close"),
    ("half closed", "in the body"): Fault(after_bytes=420, then="half_close"),
}
"""Faults through which no answer comes, by what happens and where."""


def _exact(total: int) -> IsPossible:
    return lambda n, used, _: used == lr(n, total)


def _exact_or_held(n: int, used: float, lrs: list[float]) -> bool:
    """The schedule's LR, or, past what was in memory, the last known one."""
    return used == lr(n, _LONG) or (n >= HORIZON and used == lrs[n - 1])


def _exact_in_the_end(n: int, used: float, lrs: list[float]) -> bool:
    """As above, and the schedule's LR again once the client has recovered."""
    return used == lr(n, _LONG) if n >= len(lrs) - LAST else _exact_or_held(n, used, lrs)


def _only_fallback(_n: int, used: float, _lrs: list[float]) -> bool:
    return used == FALLBACK_LR


def _fallback_then_exact(n: int, used: float, lrs: list[float]) -> bool:
    """Once the schedule has arrived the fallback is over."""
    if used == FALLBACK_LR:
        return n < len(lrs) - LAST and all(each == FALLBACK_LR for each in lrs[:n])
    return used == lr(n, _MIDDLE)


_PATIENT: dict[str, Any] = {
    "total_iterations": _LONG,
    "iterations": 400,
    "pause_s": 0.004,
    "budget_us": 200.0,
    "options": {"window": WINDOW},
}
_WINDOWED = {**_PATIENT, "pause_s": 0.002, "options": {"window": WINDOW, "timeout_s": 1.0}}
_RETURNING = {**_WINDOWED, "pause_s": 0.005, "recovers": 26}
_AWAY: dict[str, Any] = {"options": {"timeout_s": 3.0, "start_timeout_s": 0.5}}
_ON_FALLBACK = {**_AWAY, "fallback": FALLBACK_LR}


def _factors(kind: str, place: str, when: str, lasts: str, stock: str) -> dict[str, str]:
    return {"kind": kind, "place": place, "when": when, "lasts": lasts, "stock": stock}


def _of_break(kind: str, place: str, fault: Fault) -> list[Scenario]:
    """Seven moments for everything that breaks; the stock is what the client then has."""

    def of(when: str, lasts: str, stock: str) -> dict[str, str]:
        return _factors(kind, place, when, lasts, stock)

    at_start = {AT_START: fault}
    return [
        Scenario(of("while running", "to the end", "with all in memory"), {60: fault}, _exact(_SHORT)),
        Scenario(
            of("while running", "to the end", "with windows"),
            {30: fault},
            _exact_or_held,
            (STALE, HELD),
            source="held",
            **_WINDOWED,
        ),
        Scenario(
            of("while running", "for a while", "with windows"),
            {30: fault, 150: NONE},
            _exact_in_the_end,
            (STALE,),
            **_RETURNING,
        ),
        Scenario(
            of("at the start", "to the end", "with a snapshot"),
            at_start,
            _exact(_SHORT),
            (SNAPSHOT,),
            has_snapshot=True,
            source="snapshot",
            **_AWAY,
        ),
        Scenario(
            of("at the start", "to the end", "with a fallback"),
            at_start,
            _only_fallback,
            (FALLBACK,),
            source="fallback",
            **_ON_FALLBACK,
        ),
        Scenario(
            of("at the start", "for a while", "with a fallback"),
            {AT_START: fault, 50: NONE},
            _fallback_then_exact,
            (FALLBACK, OVERTAKEN),
            total_iterations=_MIDDLE,
            iterations=100,
            pause_s=0.002,
            budget_us=50.0,
            recovers=1,
            **_ON_FALLBACK,
        ),
        Scenario(
            of("at the start", "to the end", "with nothing"),
            at_start,
            _exact(_SHORT),
            error="ServiceUnavailable",
            **_AWAY,
        ),
    ]


def _of_nuisance(kind: str, fault: Fault) -> list[Scenario]:
    """What is only slow must not be noticed."""
    return [
        Scenario(_factors(kind, "", "while running", "to the end", "with all in memory"), {60: fault}, _exact(_SHORT)),
        Scenario(
            _factors(kind, "", "while running", "to the end", "with windows"), {30: fault}, _exact(_LONG), **_PATIENT
        ),
        Scenario(
            _factors(kind, "", "at the start", "to the end", "with windows"),
            {AT_START: fault},
            _exact(_LONG),
            **_PATIENT,
        ),
    ]


def _of_trick(family: str, trick_name: str, trick: Trick) -> list[Scenario]:
    """Answers that must be dropped whole: while running, at the start, and for a while if they may pass."""

    def of(moment: str) -> dict[str, str]:
        return {"family": family, "trick": trick_name, "moment": moment}

    found = [
        Scenario(
            of("while running"), {30: trick}, _exact_or_held, (STALE, HELD), source="held", is_fake=True, **_WINDOWED
        ),
        Scenario(
            of("at the start"),
            {AT_START: trick},
            _only_fallback,
            (FALLBACK,),
            source="fallback",
            is_fake=True,
            **_ON_FALLBACK,
        ),
    ]
    if family in {"may pass", "with Retry-After"}:
        changes = {30: trick, 120: unspoilt}
        found.append(Scenario(of("for a while"), changes, _exact_in_the_end, (STALE,), is_fake=True, **_RETURNING))
    return found


TRICKS: dict[str, dict[str, Trick]] = {
    "refusal": {str(code): status(code) for code in (400, 401, 403, 404, 409, 410)},
    "may pass": {str(code): status(code) for code in (408, 425, 429, 500, 502, 503, 504)},
    "with Retry-After": {
        "429 for 1 s": status(429, retry_after="1"),
        "503 with a Retry-After of nonsense": status(503, retry_after="soon"),
        "503 until a date": busy_until(1),
        "503 until a date, by a clock a year ahead": busy_until(1, 3.2e7),
        "503 until a date, by a clock a year behind": busy_until(1, -3.2e7),
    },
    "not an answer": {name: GARBAGE[name] for name in GARBAGE if name in {"html", "nothing", "json", "redirect"}},
    "not the answer": {name: GARBAGE[name] for name in GARBAGE if name not in {"html", "nothing", "json", "redirect"}},
}
"""Refusals, and answers to something else than what was asked, by family."""

_BROKEN = [scenario for (kind, place), fault in BREAKS.items() for scenario in _of_break(kind, place, fault)]
_SLOW = [scenario for kind, fault in PASSES.items() for scenario in _of_nuisance(kind, fault)]
_TRICKED = [
    scenario
    for family, tricks in TRICKS.items()
    for name, trick in tricks.items()
    for scenario in _of_trick(family, name, trick)
]

SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in [*_SLOW, *_BROKEN, *_TRICKED]}
"""The full product."""


def _selected(scenarios: list[Scenario], *apart: tuple[str, str]) -> list[Scenario]:
    return [scenarios[index] for index in pairwise([scenario.factors for scenario in scenarios], apart)]


PAIRS: list[str] = [
    scenario.name for scenario in [*_SLOW, *_selected(_BROKEN), *_selected(_TRICKED, ("trick", "moment"))]
]
"""Names of scenarios in which every kind meets every time and every stock, and every family of answers every moment."""
