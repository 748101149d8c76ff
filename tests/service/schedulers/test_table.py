"""SchedulerTable: what it serves of any spec is finite and never negative."""

from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from preheat.errors import UndefinedLR
from reference import torch_stepped
from support.random_specs import ANY, CHAINS, SIMPLE, WARMUPS, Fields, whole
from support.specs import curve

FAR_COSINE: Fields = {
    "type": "ChainedScheduler",
    "schedulers": [{"type": "CosineAnnealingLR", "T_max": 20, "eta_min": 0.05}, {"type": "StepLR", "step_size": 8}],
}
"""Past T_max torch's recursion enlarges the distance to eta_min, below which StepLR has brought the LR."""

TO_ZERO: Fields = {"type": "LinearLR", "start_factor": 0.3, "end_factor": 0.0, "total_iters": 3}


@settings(max_examples=300)
@given(
    after=SIMPLE | CHAINS | ANY,
    warmup=WARMUPS,
    target=st.sampled_from([0.0, 0.1, 1.0]) | st.floats(1e-6, 2),
)
@example(after=TO_ZERO, warmup={"iterations": 0}, target=0.1)
@example(after=FAR_COSINE, warmup={"iterations": 0}, target=0.1)
def test_no_value_is_negative_or_not_finite(after: Fields, warmup: Fields, target: float) -> None:
    """Every value of an accepted spec, in a window or alone, is ≥ 0 and finite; or there is none, with an error."""
    spec = {"target_lr": target, "total_iterations": 150, "warmup": warmup, "after_scheduler": after}
    asked = whole(spec)
    try:
        values = asked.window(0, 151)
    except UndefinedLR:
        # Of all types a chain alone may have no LR, and a quotient of one that is all but 0.
        assert "ChainedScheduler" in str(after) or "ProductLR" in str(after)
        return
    assert np.isfinite(values).all()
    assert (values >= 0).all()
    assert [asked.lr(n) for n in (0, 75, 150)] == values[[0, 75, 150]].tolist()


@pytest.mark.parametrize("start_factor", [0.1, 0.3, 0.7, 1.0, 1 / 3])
@pytest.mark.parametrize("total_iters", [3, 7, 10, 49])
def test_a_linear_decay_to_0_ends_at_0(start_factor: float, total_iters: int) -> None:
    """Rounding in torch may end it just below 0 in a chain of steps or in its closed form: 0 is served."""
    linear = {**TO_ZERO, "start_factor": start_factor, "total_iters": total_iters}
    for after in (linear, {"type": "ChainedScheduler", "schedulers": [linear]}):
        values = curve(target_lr=0.1, total_iterations=60, warmup=None, after_scheduler=after).window(0, 61)[:, 0]
        expected = [0.1 * start_factor * max(1 - n / total_iters, 0) for n in range(61)]
        assert values.tolist() == pytest.approx(expected, rel=1e-9, abs=1e-15)
        assert (values >= 0).all()


def test_a_chain_that_torch_makes_negative_is_refused_where_it_is() -> None:
    """A chained cosine past its T_max has an LR below 0 in torch itself: an error says so, with the first iteration."""
    asked = curve(target_lr=0.1, total_iterations=45, warmup=None, after_scheduler=FAR_COSINE)
    theirs = [row[0] for row in torch_stepped(FAR_COSINE, (0.1,), 45)]
    first = next(n for n, lr in enumerate(theirs) if lr < 0)
    for compute in (lambda: asked.lr(first), lambda: asked.window(0, 46)):
        with pytest.raises(UndefinedLR, match=f"ChainedScheduler has no LR at its iteration s = {first}: torch compu"):
            compute()


def test_a_warmup_before_a_chain_counts_with_its_own_clock() -> None:
    """The iteration in the error is the scheduler's own; the warm-up's LRs are served."""
    asked = curve(target_lr=0.1, total_iterations=55, warmup={"iterations": 10}, after_scheduler=FAR_COSINE)
    with pytest.raises(UndefinedLR) as caught:
        asked.window(0, 56)
    alone: Any = curve(target_lr=0.1, total_iterations=45, warmup=None, after_scheduler=FAR_COSINE)
    with pytest.raises(UndefinedLR) as expected:
        alone.window(0, 46)
    assert caught.value.iteration == expected.value.iteration
