"""Torch scripts of random specs: each is executed, and its LambdaLR stepped beside the schedule's own LRs."""

import warnings
from typing import Any

import numpy as np
from hypothesis import example, given, reject, settings
from hypothesis import strategies as st
from torch.optim.lr_scheduler import LambdaLR

from preheat.conversions.exporters import export
from preheat.curve import Curve
from preheat.errors import NotExpressible, UndefinedLR
from support.random_specs import ANY, CHAINS, SIMPLE, WARMUPS, Fields, whole

TOTAL = 120
DAMPENED = st.fixed_dictionaries(
    {
        "decay_clock": st.just("dampened"),
        "convention": st.sampled_from(["n/W", "(n+1)/W", "(n+1)/(W+1)", "n/(W-1)", "(n-1)/W"]),
        "iterations": st.integers(0, 40),
        "shape": st.sampled_from(["linear", "cosine", "log", "1-sqrt", "constant"]),
        "start_factor": st.floats(0.001, 3),
    }
) | st.fixed_dictionaries(
    {
        "decay_clock": st.just("dampened"),
        "shape": st.sampled_from(["radam", "untuned_linear", "untuned_exponential"]),
        "beta2": st.sampled_from([0.9, 0.97]),
    }
)
ONE_CYCLE: Fields = {"type": "OneCycleLR", "max_lr": 0.3, "cycle_momentum": False}


def exported(asked: Curve) -> list[list[float]]:
    """The LRs of the script's own scheduler, stepped by hand."""
    names: dict[str, Any] = {"__name__": "exported"}
    exec(compile(export(asked.schedule, "torch"), "exported", "exec"), names)  # noqa: S102 - our own script
    scheduler: LambdaLR = names["scheduler"]
    rows = [scheduler.get_last_lr()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the optimizer has nothing to train
        for _ in range(asked.total_iterations):
            scheduler.step()
            rows.append(scheduler.get_last_lr())
    return rows  # type: ignore[return-value]


@settings(max_examples=250)
@given(
    after=SIMPLE | CHAINS | ANY,
    warmup=WARMUPS | DAMPENED,
    target=st.sampled_from([0.0, 0.1, 1.0]) | st.floats(1e-6, 2),
)
@example(after={**ONE_CYCLE, "pct_start": 1.0}, warmup={"iterations": 0}, target=0.1)
@example(after={**ONE_CYCLE, "pct_start": 1.0, "three_phase": True}, warmup={"iterations": 10}, target=0.1)
@example(after={**ONE_CYCLE, "pct_start": 0.0}, warmup={"iterations": 0}, target=0.1)
@example(
    after={"type": "ChainedScheduler", "schedulers": [{"type": "CosineAnnealingLR", "T_max": 40}] * 2},
    warmup={"iterations": 0},
    target=0.1,
)
def test_a_torch_script_has_the_schedules_lrs(after: Fields, warmup: Fields, target: float) -> None:
    """A script gives, in real torch, what the service gives; where it cannot, none is written."""
    asked = whole({"target_lr": target, "total_iterations": TOTAL, "warmup": warmup, "after_scheduler": after})
    try:
        expected = asked.window(0, TOTAL + 1)
        found = exported(asked)
    except (NotExpressible, UndefinedLR):
        reject()
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-12)
