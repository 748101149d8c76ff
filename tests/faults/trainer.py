"""A training loop that reads its LR from a client: `python -m faults.trainer CONFIG`, lines of JSON out, lines in.

Says where it has arrived at the iterations it was asked to, and waits for a word; at the end it says what it used.
"""

import json
import logging
import sys
import time
from collections.abc import Iterator
from itertools import count, islice
from typing import Any

from faults.control import waited_s
from preheat_client import Preheat, PreheatError


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if ": lint: " not in record.getMessage():  # a warm-up that lasts as long as the run is meant here
            self.lines.append(record.getMessage())


def say(**content: Any) -> None:
    """One line."""
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


class Constant:
    """What a client is compared with."""

    def lr(self, _: int) -> float:
        """Always the same."""
        return 0.1


def timed(source: Any, n: int) -> tuple[Any, int]:
    """An LR and the nanoseconds that it took."""
    before = time.perf_counter_ns()
    lr = source.lr(n)
    return lr, time.perf_counter_ns() - before


def wait_for_windows(schedule: Any, count: int) -> None:
    """Until what is to be in memory is there; the loop stands still meanwhile."""
    give_up = time.monotonic() + 60
    while schedule.status.counters.windows < count and time.monotonic() < give_up:
        time.sleep(0.005)


def wait_until_noticed(schedule: Any) -> None:
    """Until the client knows that something is wrong; the loop stands still meanwhile."""
    give_up = time.monotonic() + 60
    while schedule.status.state == "READY" and time.monotonic() < give_up:
        time.sleep(0.005)


def iterations(schedule: Any, config: dict[str, Any]) -> Iterator[int]:
    """As many as told; then, if the client is to recover, until it has, and some more."""
    numbers = count()
    yield from islice(numbers, config["iterations"])
    if config["recovers"]:
        give_up = time.monotonic() + 40
        while schedule.status.state != "READY" and time.monotonic() < give_up:
            yield next(numbers)
        wait_for_windows(schedule, config["recovers"])
        yield from islice(numbers, config["last"])


def opened(config: dict[str, Any], log: _Lines) -> Any:
    """The schedule; None, after saying why and how long it took, if there is none."""
    started = time.monotonic()
    try:
        return Preheat(config["url"], **config["options"]).create(config["spec"], fallback=config["fallback"])
    except PreheatError as error:
        opening_s = time.monotonic() - started
        control_s = waited_s(config["options"]["start_timeout_s"])
        say(error=type(error).__name__, message=str(error), opening_s=opening_s, control_s=control_s, log=log.lines)
        return None


def train(config: dict[str, Any], log: _Lines) -> None:
    """Minimises ∑w² for as many iterations as it is told."""
    schedule = opened(config, log)
    if schedule is None:
        return
    lrs: list[Any] = []
    constant = Constant()
    ns: list[int] = []
    constant_ns: list[int] = []
    weights = [1.0 + k / 1000 for k in range(1000)]
    for n in iterations(schedule, config):
        if n in config["marks"]:
            wait_for_windows(schedule, config["windows"])
            if config["recovers"] and n == max(config["marks"]):  # what is wrong ends here
                wait_until_noticed(schedule)
            say(at=n)
            sys.stdin.readline()
        time.sleep(config["pause_s"])
        gradient = [2 * w for w in weights]
        sources: list[Any] = [schedule, constant] if n % 2 else [constant, schedule]
        readings = {source: timed(source, n) for source in sources}
        lr = readings[schedule][0]
        ns.append(readings[schedule][1])
        constant_ns.append(readings[constant][1])
        lrs.append(lr)
        weights = [w - lr * g for w, g in zip(weights, gradient, strict=True)]
    status = schedule.status
    say(lrs=lrs, ns=ns, constant_ns=constant_ns, source=status.source, log=log.lines)


if __name__ == "__main__":
    if sys.argv[1] == "control":  # has what a trainer has, but a thread and a service, and leaves when told
        Preheat("http://127.0.0.1:1")
        sys.stdin.readline()
        sys.exit()
    lines = _Lines()
    logging.getLogger("preheat_client").addHandler(lines)
    train(json.loads(sys.argv[1]), lines)
