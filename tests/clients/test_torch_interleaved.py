"""RemoteLR in whatever order its parts are used, against a model of three numbers."""

import copy
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from torch.optim.lr_scheduler import LinearLR, SequentialLR

from preheat_client import Preheat, Schedule
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, REFERENCE_SPEC

ROWS = (0.0, *map(float, REFERENCE_ROWS))
OPERATIONS = ("micro_batch", "update", "step", "step_to", "save_and_load", "deepcopy", "pickle", "add_group", "again")


@pytest.fixture(scope="module")
def schedule(url: str) -> Iterator[Schedule]:
    """The reference schedule, held in memory."""
    with Preheat(url) as preheat:
        yield preheat.create(REFERENCE_SPEC)


class Model:
    """What must be: `n` is the iteration that the LR is set for, `due` the updates since, `shares` those of groups."""

    def __init__(self, first: int, shares: list[float]) -> None:
        self.n, self.due, self.shares = first, 0, shares

    def lrs(self) -> list[float]:
        """The LR of each group."""
        return [ROWS[min(self.n, 20)] * share for share in self.shares]


class Run:
    """An optimizer and its RemoteLR, beside the model; each method is one operation."""

    def __init__(self, schedule: Schedule, unit: Any, group_lrs: Any, bases: list[float], first: int) -> None:
        self.schedule, self.unit, self.group_lrs, self.first = schedule, unit, group_lrs, first
        self.bases = bases
        highest = max(bases)
        self.model = Model(first, [base / highest if group_lrs == "scale" else 1.0 for base in bases])
        self.on, self.remote = self.made()

    def made(self) -> tuple[torch.optim.Optimizer, RemoteLR]:
        """Anew, as a program that is started again does it."""
        groups = [{"params": [torch.zeros(1, requires_grad=True)], "lr": base} for base in self.bases]
        on = torch.optim.SGD(groups, lr=self.bases[0])
        return on, RemoteLR(on, self.schedule, self.first, unit=self.unit, group_lrs=self.group_lrs)

    def micro_batch(self, _: int) -> None:
        """Gradients are accumulated."""

    def update(self, number: int) -> None:
        """Some updates."""
        for _ in range(1 + number % 3 // 2):
            self.on.step()
            self.model.due += 1

    def step(self, _: int) -> None:
        """The scheduler's."""
        self.remote.step()
        self.model.n += min(self.model.due, 1) if self.unit == "epoch" else self.model.due
        self.model.due = 0

    def step_to(self, number: int) -> None:
        """A given one."""
        self.remote.step(number)
        self.model.n, self.model.due = number, 0

    def save_and_load(self, number: int) -> None:
        """In a new program, in either order."""
        saved = copy.deepcopy((self.on.state_dict(), self.remote.state_dict()))
        self.on, self.remote = self.made()
        loads: list[Callable[[], None]] = [
            lambda: self.on.load_state_dict(saved[0]),
            lambda: self.remote.load_state_dict(saved[1]),
        ]
        for load in loads if number % 2 else reversed(loads):
            load()
        if self.unit == "update" and self.model.due:  # they are in the state, but not yet in the optimizer's LRs
            self.model.n += self.model.due
            self.remote.step()
        self.model.due = 0

    def deepcopy(self, _: int) -> None:
        """Going on with a copy, while the original goes elsewhere."""
        before = self.on, self.remote
        self.on, self.remote = copy.deepcopy(before)
        before[0].step()
        before[1].step(3)

    def pickle(self, _: int) -> None:
        """Going on in another process."""
        self.on, self.remote = pickle.loads(pickle.dumps((self.on, self.remote)))  # noqa: S301 - our own

    def add_group(self, number: int) -> None:
        """With the LR of the optimizer, or one of its own; it is seen at the next step."""
        own = [0.5, 0.25, 0.0][number % 3] if self.group_lrs else self.bases[0]
        self.on.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": own})
        self.bases = [*self.bases, own]
        highest = self.bases[0]  # the strategy puts it first
        self.model.shares = [*self.model.shares, own / highest if self.group_lrs == "scale" else 1.0]
        self.remote.step(self.model.n)
        self.model.due = 0

    def again(self, _: int) -> None:
        """A cell of a notebook is run again."""
        self.remote = RemoteLR(self.on, self.schedule, self.model.n, unit=self.unit, group_lrs=self.group_lrs)
        self.model.due = 0


operations = st.lists(st.tuples(st.sampled_from(OPERATIONS), st.integers(0, 25)), max_size=40)
bases = st.lists(st.sampled_from([0.0, 0.125, 0.3, 1.0, 3.0]), max_size=3)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    operations, st.sampled_from(["update", "epoch"]), st.sampled_from([None, "scale", "set"]), bases, st.integers(0, 3)
)
def test_any_order_of_operations_is_what_the_model_says(
    schedule: Schedule,
    operations: list[tuple[str, int]],
    unit: str,
    group_lrs: str | None,
    bases: list[float],
    first: int,
) -> None:
    """LRs, iteration and what get_last_lr says, bit for bit, after every operation."""
    run = Run(schedule, unit, group_lrs, [4.0, *(bases if group_lrs else [4.0 for _ in bases])], first)
    for name, number in operations:
        getattr(run, name)(number)
        assert [group["lr"] for group in run.on.param_groups] == run.model.lrs()
        assert (run.remote.iteration, run.remote.get_last_lr()) == (run.model.n, run.model.lrs())


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 2),
    st.tuples(st.integers(1, 6), st.integers(1, 6)),
    st.lists(st.tuples(st.integers(0, 25), st.booleans()), max_size=3),
)
def test_in_a_sequential_lr_it_has_its_turn(
    schedule: Schedule, place: int, lengths: tuple[int, int], resumes: list[tuple[int, bool]]
) -> None:
    """First, in the middle or last among torch's own, and resumed anywhere, whatever is loaded first."""
    start = (0, lengths[0], sum(lengths))[place]
    milestones = [lengths[0], sum(lengths)]

    def made() -> tuple[torch.optim.Optimizer, SequentialLR]:
        on = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        parts: list[Any] = [LinearLR(on, 0.5, 0.5, total_iters=1) for _ in range(2)]
        parts.insert(place, RemoteLR(on, schedule))
        return on, SequentialLR(on, parts, milestones)

    on, sequence = made()
    for n in range(26):
        for at, is_optimizer_first in resumes:
            if at == n:
                saved = copy.deepcopy((on.state_dict(), sequence.state_dict()))
                on, sequence = made()
                if is_optimizer_first:
                    on.load_state_dict(saved[0])
                    sequence.load_state_dict(saved[1])
                else:
                    sequence.load_state_dict(saved[1])
                    on.load_state_dict(saved[0])
        end = milestones[place] if place < 2 else 100
        is_its_turn = start <= n < end
        if is_its_turn:
            assert on.param_groups[0]["lr"] == ROWS[min(1 + n - start, 20)]
            assert sequence.get_last_lr() == [on.param_groups[0]["lr"]]
        else:
            assert on.param_groups[0]["lr"] == 0.5  # which a LinearLR that is through leaves as it is
        on.step()
        sequence.step()
