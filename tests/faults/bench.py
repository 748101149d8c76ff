"""Runs scenarios: a trainer in a process of its own, a proxy or a fake service that is changed as it goes on."""

import asyncio
import json
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.fake_service import FakeService
from faults.fault_proxy import proxied
from faults.scenarios import AT_START, Scenario, lr
from preheat_client import Preheat
from running_service import serving

TRAINER = Path(__file__).parent / "trainer.py"
EXIT_S = 1.0
LONGEST_S = 60.0


@dataclass(frozen=True)
class Outcome:
    """What a trainer said at its end, and how long it took to leave."""

    said: dict[str, Any]
    exit_s: float
    code: int


@dataclass
class Bench:
    """A real service, and a loop for the proxies in front of it."""

    url: str
    loop: asyncio.AbstractEventLoop

    def run(self, scenario: Scenario) -> Outcome:
        """One scenario, from an empty folder."""
        with ExitStack() as stack:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            place: Any = stack.enter_context(self._fake(scenario) if scenario.is_fake else proxied(self.loop, self.url))
            options = dict(scenario.options)
            if scenario.has_snapshot:
                options["snapshot_dir"] = folder
                self._leave_snapshot(place.url, scenario, folder)
            if AT_START in scenario.changes:
                place.set(scenario.changes[AT_START])
            return _trained(scenario, place, options)

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


def _trained(scenario: Scenario, place: Any, options: dict[str, Any]) -> Outcome:
    config = {
        "url": place.url,
        "spec": scenario.spec,
        "options": options,
        "fallback": scenario.fallback,
        "iterations": scenario.iterations,
        "pause_s": scenario.pause_s,
        "windows": 16 if scenario.options.get("window") and AT_START not in scenario.changes else 0,
        "marks": [n for n in scenario.changes if n != AT_START],
    }
    command = [sys.executable, "-W", "error", str(TRAINER), json.dumps(config)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as trainer:
        assert trainer.stdin is not None
        assert trainer.stdout is not None
        try:
            said: dict[str, Any] = {"at": None}
            while "at" in said:
                line = trainer.stdout.readline()
                assert line, "the trainer ended without a word"
                said = json.loads(line)
                if "at" in said:
                    place.set(scenario.changes[said["at"]])
                    trainer.stdin.write("\n")
                    trainer.stdin.flush()
            ended = time.monotonic()
            code = trainer.wait(LONGEST_S)
            return Outcome(said, time.monotonic() - ended, code)
        finally:
            trainer.kill()


def added_us(outcome: Outcome) -> float:
    """What 99 of 100 iterations took longer, at most, than with a constant; 0 if there were none."""
    said = outcome.said
    return (_p99(said["ns"]) - _p99(said["constant_ns"])) / 1000 if "ns" in said else 0.0


def check(scenario: Scenario, outcome: Outcome) -> None:
    """Fails with what was not as it must be, but for the time that iterations took."""
    said = outcome.said
    assert outcome.code == 0
    assert outcome.exit_s < EXIT_S, f"it took {outcome.exit_s:.2f} s to leave"
    _check_log(scenario, said["log"])
    if scenario.error is not None:
        assert said.get("error") == scenario.error, said
        assert said["opening_s"] < scenario.options["start_timeout_s"] + 1.0
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


_MAY_BE_SAID = (r"FALLBACK \(held\)", r"STALE \(service\)")
