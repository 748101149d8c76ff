"""A training loop that reads its LR from a client: `trainer.py CONFIG`, JSON lines out, told on by lines in.

Says where it has arrived at the iterations it was asked to, and waits for a word; at the end it says what it used.
"""

import json
import logging
import sys
import time
from typing import Any

from preheat_client import Preheat, PreheatError


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
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
    """Until what is to be in memory is there."""
    give_up = time.monotonic() + 10
    while schedule.status.counters.windows < count and time.monotonic() < give_up:
        time.sleep(0.005)


def train(config: dict[str, Any], log: _Lines) -> None:
    """Minimises ∑w² for as many iterations as it is told."""
    preheat = Preheat(config["url"], **config["options"])
    started = time.monotonic()
    try:
        schedule = preheat.create(config["spec"], fallback=config["fallback"])
    except PreheatError as error:
        say(error=type(error).__name__, message=str(error), opening_s=time.monotonic() - started, log=log.lines)
        return
    opening_s = time.monotonic() - started
    lrs: list[Any] = []
    constant = Constant()
    ns: list[int] = []
    constant_ns: list[int] = []
    weights = [1.0 + k / 1000 for k in range(1000)]
    for n in range(config["iterations"]):
        if n in config["marks"]:
            wait_for_windows(schedule, config["windows"])
            say(at=n)
            sys.stdin.readline()
        time.sleep(config["pause_s"])
        gradient = [2 * w for w in weights]
        sources: list[Any] = [schedule, constant] if n % 2 else [constant, schedule]
        times = {source: timed(source, n) for source in sources}
        lr = times[schedule][0]
        ns.append(times[schedule][1])
        constant_ns.append(times[constant][1])
        lrs.append(lr)
        weights = [w - lr * g for w, g in zip(weights, gradient, strict=True)]
    status = schedule.status
    say(
        lrs=lrs,
        ns=ns,
        constant_ns=constant_ns,
        opening_s=opening_s,
        state=status.state,
        source=status.source,
        log=log.lines,
    )


if __name__ == "__main__":
    lines = _Lines()
    logging.getLogger("preheat_client").addHandler(lines)
    train(json.loads(sys.argv[1]), lines)
