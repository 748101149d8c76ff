"""RemoteLR where a torch scheduler stands, with real torch optimizers and a real service."""

import copy
import warnings
from typing import Any

import pytest
import torch
from torch.optim import Adam

from preheat_client import IterationOutOfRange, ParamGroupMismatch, Preheat, RemoteLR, ScheduleMismatch
from reference import REFERENCE_ROWS, REFERENCE_SPEC, optimizer

GROUPS = [{"name": "backbone", "target_lr": 0.001}, {"name": "head"}]


def named(*names: str | None) -> torch.optim.SGD:
    """An optimizer with named param groups."""
    groups = [{"params": [torch.zeros(1, requires_grad=True)], **({"name": name} if name else {})} for name in names]
    return torch.optim.SGD(groups, lr=1.0)


def lrs(of: Any) -> list[float]:
    """The LR of each param group."""
    return [float(group["lr"]) for group in of.param_groups]


@pytest.fixture
def preheat(url: str) -> Any:
    """A client."""
    with Preheat(url) as client:
        yield client


def test_updates_count_from_1_by_default(preheat: Preheat) -> None:
    """Construction sets lr[1], each step the next: update n runs at lr[n]."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    used = []
    for _ in range(20):
        used.append(str(on.param_groups[0]["lr"]))
        assert scheduler.get_last_lr() == lrs(on)
        on.step()
        scheduler.step()
    assert used == list(REFERENCE_ROWS)


def test_loops_that_count_from_0_start_at_lr_0(preheat: Preheat) -> None:
    """With first_iteration=0 update k runs at lr[k]."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC), first_iteration=0)
    used = []
    for _ in range(20):
        used.append(str(on.param_groups[0]["lr"]))
        scheduler.step()
    assert used == ["0.0", *REFERENCE_ROWS[:-1]]


def test_step_of_an_iteration_sets_that_one(preheat: Preheat) -> None:
    """`step(n)` before update n, in any order."""
    on = optimizer(1.0)
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    for n in (5, 20, 1, 13):
        scheduler.step(n)
        assert str(on.param_groups[0]["lr"]) == REFERENCE_ROWS[n - 1]


@pytest.mark.parametrize("strict", [False, True])
def test_the_step_after_the_last_update_is_no_overrun(url: str, strict: bool) -> None:
    """A loop of exactly total_iterations updates ends without a warning; one more update is an overrun."""
    with Preheat(url, strict=strict) as preheat:
        on = optimizer(1.0)
        scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for _ in range(20):
                on.step()
                scheduler.step()
        assert lrs(on) == [0.0]
        with pytest.raises(IterationOutOfRange) if strict else pytest.warns(UserWarning, match="past the end"):
            scheduler.step()


def test_a_saved_run_resumes_where_it_was(preheat: Preheat) -> None:
    """At every iteration: new objects that load the states read exactly the LRs that were to come."""
    schedule = preheat.create(REFERENCE_SPEC)
    for stop in range(20):
        on = Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
        scheduler = RemoteLR(on, schedule)
        for _ in range(stop):
            on.step()
            scheduler.step()
        saved = copy.deepcopy((on.state_dict(), scheduler.state_dict()))
        resumed_on = Adam([torch.zeros(1, requires_grad=True)], lr=1.0)
        resumed = RemoteLR(resumed_on, preheat.schedule(schedule.id))
        resumed.load_state_dict(saved[1])
        resumed_on.load_state_dict(saved[0])
        used = []
        for _ in range(stop, 20):
            used.append(str(resumed_on.param_groups[0]["lr"]))
            resumed_on.step()
            resumed.step()
        assert used == list(REFERENCE_ROWS[stop:])


def test_the_state_of_another_schedule_is_refused(preheat: Preheat) -> None:
    """With the way to change schedules on purpose."""
    state = RemoteLR(optimizer(1.0), preheat.create(REFERENCE_SPEC)).state_dict()
    other = RemoteLR(optimizer(1.0), preheat.create({**REFERENCE_SPEC, "target_lr": 0.02}))
    with pytest.raises(ScheduleMismatch, match="construct RemoteLR with first_iteration=1"):
        other.load_state_dict(state)


def test_named_groups_are_matched_by_name(preheat: Preheat) -> None:
    """Whatever their order in the optimizer."""
    schedule = preheat.create({**REFERENCE_SPEC, "param_groups": GROUPS})
    on = named("head", "backbone")
    scheduler = RemoteLR(on, schedule)
    scheduler.step(10)
    assert lrs(on) == scheduler.get_last_lr() == [0.01, 0.001]


@pytest.mark.parametrize("groups", [[{"target_lr": 0.001}, {}], GROUPS])
def test_unnamed_groups_are_matched_by_position(preheat: Preheat, groups: list[dict[str, Any]]) -> None:
    """If optimizer or schedule does not name them."""
    on = named(None, None)
    RemoteLR(on, preheat.create({**REFERENCE_SPEC, "param_groups": groups})).step(10)
    assert lrs(on) == [0.001, 0.01]


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("head",), "the optimizer has 1 param groups, the schedule has 2"),
        (("head", "backbone", "neck"), "the optimizer has 3 param groups"),
        (("head", "body"), r"named head, body, the schedule's backbone, head"),
        (("head", None), r"named head, None"),
        (("head", "head"), r"named head, head"),
    ],
)
def test_other_param_groups_are_refused_at_construction(
    preheat: Preheat, names: tuple[str | None, ...], message: str
) -> None:
    """Before any LR is set."""
    schedule = preheat.create({**REFERENCE_SPEC, "param_groups": GROUPS})
    on = named(*names)
    with pytest.raises(ParamGroupMismatch, match=message):
        RemoteLR(on, schedule)
    assert lrs(on) == [1.0] * len(names)


def test_tensor_lrs_are_filled_in_place(preheat: Preheat) -> None:
    """The Tensor stays the same object."""
    lr = torch.tensor(1.0, dtype=torch.float64)
    on = Adam([torch.zeros(1, requires_grad=True)], lr=lr)
    held = on.param_groups[0]["lr"]
    scheduler = RemoteLR(on, preheat.create(REFERENCE_SPEC))
    for row in REFERENCE_ROWS:
        assert on.param_groups[0]["lr"] is held
        assert str(held.item()) == row
        scheduler.step()


def test_an_int_lr_becomes_a_float(preheat: Preheat) -> None:
    """An optimizer built with lr=1."""
    on = optimizer(1)
    RemoteLR(on, preheat.create(REFERENCE_SPEC))
    assert lrs(on) == [0.001]
