"""torch: its own schedulers, alone, in sequence and chained, stepped one by one, against specs of the same names."""

from typing import Any

from hypothesis import assume, given
from hypothesis import strategies as st

from conformance.comparison import RATES, assert_same, randomly
from preheat.errors import UndefinedLR
from preheat.specs.after_schedulers import SCHEDULER_TYPES
from preheat.specs.after_schedulers.torch_decays import TorchScheduler
from reference import torch_stepped
from support.random_specs import CHAINS, Fields, typed, whole

_NAMES = [name for name, kind in SCHEDULER_TYPES.items() if issubclass(kind, TorchScheduler)]
_torchs = st.sampled_from(_NAMES).flatmap(typed)
TOTAL = 120


def _with_defaults(after: Fields) -> Fields:
    """What the spec derives from the run, written out for torch, which has no such default; no momentum to cycle."""
    match after["type"]:
        case "CosineAnnealingLR":
            return {"T_max": TOTAL, **after}
        case "OneCycleLR":
            return {**after, "total_steps": TOTAL + 1, "cycle_momentum": False}
        case "CyclicLR":
            return {**after, "cycle_momentum": False}
    return after


def _is_torchs_trap(after: Fields) -> bool:
    """What torch itself cannot step, or steps to something else: each is named in the tests of torch's traps."""
    # From 0 a recursion cannot come up again; a factor of 0 is divided by.
    low = {name: after.get(name, 1.0) for name in ("factor", "start_factor", "gamma")}
    return bool(min(low.values()) < 1e-6) or (after["type"] == "CyclicLR" and after["mode"] == "triangular2")


@randomly
@given(after=_torchs.map(_with_defaults), lr=RATES)
def test_a_scheduler_is_torchs_own(after: Fields, lr: float) -> None:
    """Stepped one by one, torch has the LRs of the spec: its recursions round, and so differ in the last digits."""
    assume(not _is_torchs_trap(after))
    _compare(after, lr)


@randomly
@given(after=CHAINS, lr=RATES)
def test_a_chain_is_torchs_own(after: Any, lr: float) -> None:
    """A chain is stepped by torch itself: what is served is what torch has, at every iteration."""
    children = [_with_defaults(child) for child in after["schedulers"]]
    assume(not any(map(_is_torchs_trap, children)))
    _compare({**after, "schedulers": children}, lr)


def _compare(after: Fields, lr: float) -> None:
    asked = whole({"target_lr": lr, "total_iterations": TOTAL, "after_scheduler": after})
    theirs = [row[0] for row in torch_stepped(after, (lr,), TOTAL)]
    try:
        ours = asked.window(0, TOTAL + 1)[:, 0].tolist()
    except UndefinedLR:
        assert min(theirs) < 0
        return
    assert_same("torch", ours, theirs, rtol=1e-6, atol=1e-10 * max(theirs))
