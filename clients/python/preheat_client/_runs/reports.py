"""Reports: what a loop says of its updates (loss, any named number), kept until the service has it; bounded."""

import json
import math
import re
from collections import deque
from collections.abc import Mapping
from typing import Any

from preheat_client._core.logged import LONGEST_NAME, is_name

MOST_WAITING = 10_000
MOST_AT_ONCE = 10_000
MOST_VALUES = 100
"""In one report, as the service takes it; what has more becomes several."""
MOST_BYTES_AT_ONCE = 1_000_000  # of JSON, before it is compressed: half of what the service takes by default

_REPORTS = re.compile(r"/reports(?:/([0-9]+))?(?:/|$)")

Report = tuple[int, dict[str, float]]


class Reports:
    """Reports that wait to be sent; the oldest are dropped where there are too many.

    `add` is the loop's: an append to a deque, which takes no lock. The rest is the client's thread's.
    """

    def __init__(self) -> None:
        self._waiting: deque[Report] = deque(maxlen=MOST_WAITING)
        self._left: deque[dict[str, Any]] = deque()
        """Taken out, so that the loop does not drop them, and left for the next batch."""
        self._sending: list[dict[str, Any]] = []
        self._sending_values = self._sending_bytes = 0
        self._most = MOST_AT_ONCE
        self.dropped = 0

    def add(self, iteration: int, values: Mapping[str, Any]) -> None:
        """Adds a report. Raises TypeError for what is no number, ValueError for a name or an iteration that is none."""
        if iteration < 0:
            raise ValueError(f"iteration ({iteration}) must be ≥ 0")
        numbers = [(_name(name), _number(name, value)) for name, value in values.items()]
        if len(numbers) > MOST_AT_ONCE:
            raise ValueError(f"a report ({len(numbers)} values) must not have more than {MOST_AT_ONCE}")
        for start in range(0, len(numbers), MOST_VALUES):
            self.dropped += len(self._waiting) == MOST_WAITING
            self._waiting.append((iteration, dict(numbers[start : start + MOST_VALUES])))

    def discard(self) -> None:
        """Drops all of them: the attempt that they are of is over."""
        self.dropped += len(self._waiting) + len(self._sending) + len(self._left)
        self._waiting.clear()
        self._left.clear()
        self._clear()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self._waiting and not self._sending and not self._left

    def batch(self) -> list[dict[str, Any]]:
        """What is to be sent next, as the service takes it; the same again until `sent` or `refused`."""
        while len(self._sending) < self._most and (told := self._first()) is not None:
            count = self._sending_values + len(told["values"])
            size = self._sending_bytes + len(json.dumps(told))
            if self._sending and (count > MOST_AT_ONCE or size > MOST_BYTES_AT_ONCE):
                self._left.appendleft(told)
                break
            self._sending.append(told)
            self._sending_values, self._sending_bytes = count, size
        return list(self._sending)

    def sent(self, left_from: int | None = None) -> None:
        """Notes that the service has what `batch` gave; not those from an iteration on for which it had no time."""
        kept = [] if left_from is None else [each for each in self._sending if each["iteration"] >= left_from]
        taken = len(self._sending) - len(kept)
        self._most = max(min(2 * (taken if kept else self._most), MOST_AT_ONCE), 1)
        self._keep(kept)

    def refused(self, problem: Mapping[str, Any]) -> int:
        """Drops what the service refuses of the last batch, and leaves the rest for the next; how many those are.

        Where the problem document does not say which, the next batch is half as long, until it is one report alone.
        """
        places = _places(problem)
        kept = [each for place, each in enumerate(self._sending) if place not in places]
        if len(self._sending) == 1:
            kept = []
        elif len(kept) == len(self._sending):
            self._most = len(kept) // 2
        dropped = len(self._sending) - len(kept)
        self.dropped += dropped
        self._keep(kept)
        return dropped

    def _keep(self, kept: list[dict[str, Any]]) -> None:
        """Leaves what was not taken for the next batch."""
        self._left.extendleft(reversed(kept))
        self._clear()

    def _clear(self) -> None:
        self._sending, self._sending_values, self._sending_bytes = [], 0, 0

    def _first(self) -> dict[str, Any] | None:
        if self._left:
            return self._left.popleft()
        try:
            iteration, values = self._waiting.popleft()
        except IndexError:
            return None
        return {"iteration": iteration, "values": as_json(values)}


def as_json(values: Mapping[str, float]) -> dict[str, float | str]:
    """Numbers as JSON has them; what JSON does not have travels as text."""
    return {name: _json(value) for name, value in values.items()}


def is_about_reports(problem: Mapping[str, Any]) -> bool:
    """Whether a refusal may be one of the reports in a request: it names one, or nothing else."""
    pointers = _pointers(problem)
    return not pointers or any(_REPORTS.match(pointer) for pointer in pointers)


def _places(problem: Mapping[str, Any]) -> set[int]:
    """The places in a batch of the reports that a problem document names."""
    found = (_REPORTS.match(pointer) for pointer in _pointers(problem))
    return {int(match[1]) for match in found if match and match[1]}


def _pointers(problem: Mapping[str, Any]) -> list[str]:
    errors = problem.get("errors")
    entries = errors if isinstance(errors, list) else []
    return [str(entry["pointer"]) for entry in entries if isinstance(entry, Mapping) and "pointer" in entry]


def _name(name: str) -> str:
    if not is_name(name):
        raise ValueError(f"a name ({name!r:.40}) must have 1 to {LONGEST_NAME} characters, printable and not all blank")
    return name


def _number(name: str, value: Any) -> float:
    if isinstance(value, str | bytes):
        raise TypeError(f"{name} ({value!r:.80}) must be a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise TypeError(f"{name} ({value!r:.80}) must be a number") from None


def _json(value: float) -> float | str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
