"""Histories by chance: the room keeps its promises in every one, and the checker finds what breaks them."""

from collections import Counter
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from live_runs.faults import FAULTS
from live_runs.histories import FATES, OPERATIONS, history
from live_runs.job import Job
from live_runs.promises import PROMISES, too_little
from live_runs.shelf import Violation
from live_runs.world import Habits, Room, World

_SEEDS = range(24)

_LEAST = {"used": 800, "window-ok": 200, "window-lost": 60, "thrown-away": 20, "overrun": 30, "change": 80,
          "attached": 60, "fenced": 4, "retry": 10, "report": 100, "rollback": 5}  # fmt: skip
"""Traffic below which a check of many histories does not count."""


def test_no_history_breaks_a_promise() -> None:
    """And there is enough of everything in them that it means something."""
    traffic = Counter[str]()
    for seed in _SEEDS:
        traffic += history(seed, Room(), Habits()).traffic
    assert too_little(traffic, _LEAST) == {}


def test_too_little_traffic_counts_for_nothing() -> None:
    """A history in which hardly anything happens keeps every promise, and shows none."""
    world = history(0, Room(), Habits(), steps=5)
    assert world.findings() == {}
    assert set(too_little(world.traffic, _LEAST)) == set(_LEAST)


@pytest.mark.parametrize("name", FAULTS)
def test_the_checker_finds_a_fault(name: str) -> None:
    """In one of the same histories, with one thing done wrong, by the promise that it breaks."""
    room, habits, promise = FAULTS[name]
    broken: set[str] = set()
    for seed in _SEEDS:
        with suppress(Violation):  # of the shelf: nothing is made of what is not there
            history(seed, room, habits, lambda world: broken.update(world.findings()))
        if promise in broken:
            return
    pytest.fail(f"no history shows {name}, but {broken or 'nothing'}")


def test_every_promise_is_one_that_a_fault_breaks() -> None:
    """No validator is there that was never seen to fail."""
    assert {promise for _, _, promise in FAULTS.values()} == set(PROMISES)


class Histories(RuleBasedStateMachine):
    """What hypothesis makes happen, in the order that it likes, and shrinks to the shortest that breaks a promise."""

    @initialize(speakers=st.sampled_from(["one", "all"]), with_plateau=st.booleans())
    def begin(self, speakers: str, with_plateau: bool) -> None:
        """A run with its first job."""
        self.world = World(Room(), Habits(), speakers=speakers, with_plateau=with_plateau)
        self.world.start_job(None)

    def job(self, index: int) -> Job:
        """One of the jobs, the last ones first; it may be dead."""
        return self.world.jobs[-1 - index % len(self.world.jobs)]

    @rule(index=st.integers(0, 3), fate=st.sampled_from(FATES))
    def ask(self, index: int, fate: str) -> None:
        """A speaker asks for a window."""
        self.world.ask(self.job(index), fate)

    @rule(index=st.integers(0, 3), iterations=st.integers(1, 8))
    def run_on(self, index: int, iterations: int) -> None:
        """Ranks run on."""
        self.world.run_on(self.job(index), iterations)

    @rule(index=st.integers(0, 1), iterations=st.integers(1, 8))
    def overrun(self, index: int, iterations: int) -> None:
        """The service is out of reach."""
        self.world.overrun(self.job(index), iterations)

    @rule(
        operation=st.sampled_from(OPERATIONS),
        author=st.sampled_from(["ann", "bob", "cy"]),
        fate=st.sampled_from(FATES),
        when=st.fixed_dictionaries(
            {},
            optional={
                "at": st.integers(0, 60),
                "for_iterations": st.integers(1, 20),
                "until": st.integers(0, 80),
                "not_after": st.integers(0, 60),
            },
        ),
    )
    def change(self, operation: dict[str, Any], author: str, fate: str, when: dict[str, int]) -> None:
        """Somebody changes something."""
        self.world.change(author, operation, fate, **when)

    @rule(index=st.integers(0, 9))
    def cancel(self, index: int) -> None:
        """Somebody takes something back."""
        self.world.cancel(index)

    @rule(after=st.integers(0, 30), policy=st.sampled_from(["drop", "from-here"]))
    def roll_back(self, after: int, policy: str) -> None:
        """Somebody asks for a restart."""
        self.world.roll_back(after, policy)

    @rule(index=st.integers(0, 3))
    def save(self, index: int) -> None:
        """A job saves a checkpoint."""
        self.world.save_checkpoint(self.job(index))

    @rule(index=st.integers(0, 3))
    def kill(self, index: int) -> None:
        """A job dies."""
        self.job(index).is_dead = True

    @rule(index=st.integers(0, 9), lag=st.integers(0, 1))
    def restart(self, index: int, lag: int) -> None:
        """A new process takes over, from one of the checkpoints or from none."""
        saved = [None, *self.world.checkpoints]
        self.world.start_job(saved[index % len(saved)], lag=lag)

    @precondition(lambda self: self.world.flights)
    @rule(index=st.integers(0, 9))
    def deliver(self, index: int) -> None:
        """An answer arrives late."""
        self.world.deliver(self.world.flights.pop(index % len(self.world.flights)))

    @rule(index=st.integers(0, 1), value=st.sampled_from([1.0, 0.5, 2.0, float("nan")]), fate=st.sampled_from(FATES))
    def report(self, index: int, value: float, fate: str) -> None:
        """A job reports its loss."""
        self.world.report(self.job(index), value, fate)

    @invariant()
    def the_record_is_what_was_used(self) -> None:
        """After everything that happens."""
        if hasattr(self, "world"):
            self.world.check()


Histories.TestCase.settings = settings(max_examples=25, stateful_step_count=40)
TestHistories = Histories.TestCase
