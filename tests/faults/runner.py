"""Runs scenarios: a trainer in a process of its own, a proxy or a fake service that is changed as it goes on."""

import asyncio
import errno
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from faults.fake_service import FakeService
from faults.fault_proxy import proxied
from faults.scenarios import AT_START, LAST, Scenario, lr
from preheat_client import Preheat
from running_service import serving

TESTS = Path(__file__).parents[1]
LONGEST_S = 60.0
LATE_S = 2.0
"""How much longer than a bare wait of `start_timeout_s` it may take to give up."""


@dataclass(frozen=True)
class Outcome:
    """What a trainer said at its end, how it left, and how long that took it and a process without a client."""

    said: dict[str, Any]
    code: int
    exit_s: float
    control_exit_s: float


@dataclass
class Runner:
    """A real service, and a loop for the proxies in front of it."""

    url: str
    loop: asyncio.AbstractEventLoop

    def run(self, scenario: Scenario) -> Outcome:
        """One scenario, from an empty folder."""
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            between: Any = stack.enter_context(
                self._fake(scenario) if scenario.is_fake else proxied(self.loop, self.url)
            )
            options = dict(scenario.options)
            if scenario.has_snapshot:
                options["snapshot_dir"] = folder
                self._leave_snapshot(between.url, scenario, folder)
            if AT_START in scenario.changes:
                between.set(scenario.changes[AT_START])
            return _trained(scenario, between, options)

    @contextmanager
    def _fake(self, scenario: Scenario) -> Iterator[Any]:
        app = FakeService(scenario.total_iterations, lambda n: lr(n, scenario.total_iterations))
        with serving(app, date_header=False) as url:
            yield _Fake(url, app)

    def _leave_snapshot(self, url: str, scenario: Scenario, folder: str) -> None:
        with Preheat(url, snapshot_dir=folder) as preheat:
            schedule = preheat.create(scenario.spec)
            give_up = time.monotonic() + 10
            while schedule.status.counters.snapshots == 0:
                assert time.monotonic() < give_up, "no snapshot was written"
                time.sleep(0.01)


@dataclass
class _Fake:
    url: str
    app: FakeService

    def set(self, trick: Any) -> None:
        self.app.trick = trick


def _trained(scenario: Scenario, between: Any, options: dict[str, Any]) -> Outcome:
    config = {
        "url": between.url,
        "spec": scenario.spec,
        "options": options,
        "fallback": scenario.fallback,
        "iterations": scenario.iterations,
        "pause_s": scenario.pause_s,
        "recovers": scenario.recovers,
        "last": LAST,
        "windows": 16 if scenario.options.get("window") and AT_START not in scenario.changes else 0,
        "marks": [n for n in scenario.changes if n != AT_START],
    }
    with _process(json.dumps(config)) as trainer, _process("control") as control:
        assert trainer.stdout is not None
        try:
            said: dict[str, Any] = {"at": None}
            while "at" in said:
                line = trainer.stdout.readline()
                assert line, "the trainer ended without a word"
                said = json.loads(line)
                if "at" in said:
                    between.set(scenario.changes[said["at"]])
                    _tell(trainer)
            exit_s = _exit_s(trainer)
            _tell(control)
            return Outcome(said, trainer.returncode, exit_s, _exit_s(control))
        finally:
            trainer.kill()
            control.kill()


def _process(argument: str) -> "subprocess.Popen[str]":
    """Started twice if need be: a sandbox's kernel was once seen to lose the arguments of a sound start."""
    command = [sys.executable, "-W", "error", "-m", "faults.trainer", argument]
    start = partial(subprocess.Popen, command, cwd=TESTS, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        return start()
    except OSError as error:
        if error.errno != errno.EFAULT:
            raise
        return start()


def _tell(process: "subprocess.Popen[str]") -> None:
    """Lets a process go on."""
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def _exit_s(process: "subprocess.Popen[str]") -> float:
    """Seconds from a process's last word until it is gone."""
    spoken = time.monotonic()
    process.wait(LONGEST_S)
    return time.monotonic() - spoken


def lateness(scenario: Scenario, outcome: Outcome) -> list[str]:
    """What took too long, measured against a control in the same run; empty if nothing did.

    Iterations against a constant, leaving against a process without a client, giving up against a bare wait.
    """
    said, late = outcome.said, []
    us, constant_us = (_p99(said.get(name, [0])) / 1000 for name in ("ns", "constant_ns"))
    if us >= 3 * constant_us + scenario.budget_us:
        late.append(f"99 of 100 iterations took up to {us:.1f} µs, with a constant {constant_us:.1f} µs")
    if outcome.exit_s >= 0.5 + 3 * outcome.control_exit_s:
        late.append(f"it took {outcome.exit_s:.2f} s to leave, its control {outcome.control_exit_s:.2f} s")
    if scenario.error is not None and said["opening_s"] >= said["control_s"] + LATE_S:
        late.append(f"it took {said['opening_s']:.2f} s to give up, its control {said['control_s']:.2f} s")
    return late


def check(scenario: Scenario, outcome: Outcome) -> None:
    """Fails with what was not as it must be, but for times: those are `lateness`."""
    said = outcome.said
    assert outcome.code == 0
    _check_log(scenario, said["log"])
    if scenario.error is not None:
        assert said.get("error") == scenario.error, said
        return
    assert "error" not in said, said
    lrs = said["lrs"]
    wrong = [(n, used) for n, used in enumerate(lrs) if not scenario.is_possible(n, used, lrs)]
    assert not wrong, f"{len(wrong)} wrong LRs, the first at {wrong[0]}"
    assert said["source"] == scenario.source


def _p99(values: list[int]) -> int:
    return sorted(values)[int(len(values) * 0.99) - 1]


def _check_log(scenario: Scenario, lines: list[str]) -> None:
    """Every pattern once and in order; a state that is left and entered again may be said again."""
    patterns = list(scenario.log)
    for line in lines:
        assert any(re.search(pattern, line) for pattern in (*scenario.log, *_MAY_BE_SAID)), line
        if patterns and re.search(patterns[0], line):
            patterns.pop(0)
    assert not patterns, f"the log does not say {patterns[0]}: {lines}"
    assert len(lines) <= len(scenario.log) + 2, lines


_MAY_BE_SAID = (r"FALLBACK \(held\)", r"STALE \(service\)", r"the LR of iteration \d+ is \S+, and was \S+$")
