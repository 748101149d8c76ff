"""Scenarios at random, with faults of random strength, for as long as it is told: `soak.py SECONDS [SEED]`."""

import random
import sys
import time
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rich.console import Console

from faults.fault_proxy import Fault, proxy_loop
from faults.runner import Runner, check, lateness
from faults.scenarios import BREAKS, SCENARIOS, Scenario
from running_service import service


def main(seconds: float, seed: int) -> None:
    """Ends at the first scenario that is not as it must be; the seed brings it back."""
    console = Console()
    choice = random.Random(seed)
    give_up = time.monotonic() + seconds
    done = 0
    with service() as url, proxy_loop() as loop, console.status(f"seed {seed}") as status:
        runner = Runner(url, loop)
        while time.monotonic() < give_up:
            scenario = _varied(SCENARIOS[choice.choice(list(SCENARIOS))], choice)
            status.update(f"seed {seed}, {done} done, {give_up - time.monotonic():.0f} s left: {scenario.name}")
            try:
                _pass(runner, scenario)
            except AssertionError as error:
                sys.exit(f"seed {seed}, scenario {done + 1}, {scenario}: {error}")
            done += 1
    console.print(f"{done} scenarios in {seconds:g} s, seed {seed}: all as they must be")


def _pass(runner: Runner, scenario: Scenario) -> None:
    """Fails for what is wrong, and for what is late three times."""
    for _ in range(3):
        outcome = runner.run(scenario)
        check(scenario, outcome)
        late = lateness(scenario, outcome)
        if not late:
            return
    raise AssertionError(late)


def _varied(scenario: Scenario, choice: random.Random) -> Scenario:
    """The same fault after another number of bytes, if it is one that waits for some."""
    changes = dict(scenario.changes)
    for n, change in changes.items():
        if isinstance(change, Fault) and change in BREAKS.values() and change.after_bytes is not None:
            changes[n] = replace(change, after_bytes=choice.randint(1, 420))
    return replace(scenario, changes=changes)


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6))
