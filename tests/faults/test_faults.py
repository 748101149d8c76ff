"""Whatever is wrong between client and service, a training loop runs on, at the right LR, in time, and leaves."""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass

import pytest

from faults.fault_proxy import proxy_loop
from faults.runner import Outcome, Runner, check, lateness
from faults.scenarios import PAIRS, SCENARIOS

AT_ONCE = 6
"""Trainers side by side: they wait most of the time."""
TRIES = 5


@dataclass
class Runs:
    """Every scenario that was selected, on its way."""

    runner: Runner
    first: dict[str, "Future[Outcome]"]


@pytest.fixture(scope="module")
def runs(url: str, request: pytest.FixtureRequest) -> Iterator[Runs]:
    """Scenarios side by side, in the order of the tests."""
    selected = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if item.path == request.path and isinstance(item, pytest.Function) and hasattr(item, "callspec")
    ]
    with proxy_loop() as loop, ThreadPoolExecutor(AT_ONCE) as pool:
        runner = Runner(url, loop)
        yield Runs(runner, {name: pool.submit(runner.run, SCENARIOS[name]) for name in selected})


def test_the_product_has_far_more_scenarios_than_its_pairs() -> None:
    """`make soak` draws from more than a hundred scenarios, each of a name of its own; half of them are tests."""
    assert len(SCENARIOS) > 150
    assert len(set(PAIRS)) == len(PAIRS) < 0.6 * len(SCENARIOS)


@pytest.mark.parametrize("name", PAIRS)
def test_a_training_loop_sees(name: str, runs: Runs) -> None:
    """A loop runs at the LRs of the schedule, leaves in time, and the log says what happened.

    What is late on a busy machine is tried again once all others are over; what is wrong is not.
    """
    scenario, outcome = SCENARIOS[name], runs.first[name].result()
    check(scenario, outcome)
    late = lateness(scenario, outcome)
    for _ in range(TRIES - 1):
        if not late:
            break
        wait(runs.first.values())
        outcome = runs.runner.run(scenario)
        check(scenario, outcome)
        late = lateness(scenario, outcome)
    assert not late
