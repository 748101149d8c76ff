"""Reports: what a loop says of its updates (loss, any named number), kept until the service has it; bounded."""

import json
import math
from collections import deque
from collections.abc import Mapping
from typing import Any

MOST_WAITING = 10_000
MOST_AT_ONCE = 10_000
MOST_BYTES_AT_ONCE = 1_000_000  # of JSON, before it is compressed: half of what the service takes by default
LONGEST_NAME = 100

Report = tuple[int, dict[str, float]]


class Reports:
    """Reports that wait to be sent; the oldest are dropped where there are too many.

    `add` is the loop's: an append to a deque, which takes no lock. The rest is the client's thread's.
    """

    def __init__(self) -> None:
        self._waiting: deque[Report] = deque(maxlen=MOST_WAITING)
        self._next: Report | None = None
        """Taken out, so that the loop does not drop it, and left for the next batch."""
        self._sending: list[dict[str, Any]] = []
        self._sending_values = self._sending_bytes = 0
        self.dropped = 0

    def add(self, iteration: int, values: Mapping[str, Any]) -> None:
        """Adds a report. Raises TypeError for what is no number, ValueError for a name or an iteration that is none."""
        if iteration < 0:
            raise ValueError(f"iteration ({iteration}) must be ≥ 0")
        report = {_name(name): _number(name, value) for name, value in values.items()}
        if len(report) > MOST_AT_ONCE:
            raise ValueError(f"a report ({len(report)} values) must not have more than {MOST_AT_ONCE}")
        if report:
            self.dropped += len(self._waiting) == MOST_WAITING
            self._waiting.append((iteration, report))

    def discard(self) -> None:
        """Drops all of them: the attempt that they are of is over."""
        self.dropped += len(self._waiting) + len(self._sending) + (self._next is not None)
        self._waiting.clear()
        self._next = None
        self.sent()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self._waiting and not self._sending and self._next is None

    def batch(self) -> list[dict[str, Any]]:
        """What is to be sent next, as the service takes it; the same again until `sent`."""
        while (report := self._next or self._first()) is not None:
            self._next, (iteration, values) = report, report
            told = {"iteration": iteration, "values": {name: _json(value) for name, value in values.items()}}
            count = self._sending_values + len(values)
            size = self._sending_bytes + len(json.dumps(told))
            if self._sending and (count > MOST_AT_ONCE or size > MOST_BYTES_AT_ONCE):
                break
            self._next = None
            self._sending.append(told)
            self._sending_values, self._sending_bytes = count, size
        return list(self._sending)

    def sent(self) -> None:
        """Notes that the service has what `batch` gave."""
        self._sending, self._sending_values, self._sending_bytes = [], 0, 0

    def _first(self) -> Report | None:
        try:
            return self._waiting.popleft()
        except IndexError:
            return None


def _name(name: str) -> str:
    if not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(f"a name ({name!r:.40}) must have 1 to {LONGEST_NAME} characters")
    return name


def _number(name: str, value: Any) -> float:
    if isinstance(value, str | bytes):
        raise TypeError(f"{name} ({value!r:.80}) must be a number")
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise TypeError(f"{name} ({value!r:.80}) must be a number") from None


def _json(value: float) -> float | str:
    """A float as JSON has it; what JSON does not have travels as text."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return value
