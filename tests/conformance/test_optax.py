"""optax: its schedules, called in float64, against specs that say the same."""

import importlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.comparison import RATES, SHARES, assert_same, library, lrs, randomly

_steps = st.integers(1, 120)
_total = st.integers(1, 150)
_MOST = 256.0
_power = st.sampled_from([0.5, 1.0, 2.0]) | st.floats(0.1, 4)


@pytest.fixture(scope="module", autouse=True)
def in_float64() -> Iterator[None]:
    """JAX computes in float32 by default."""
    library("optax")
    with importlib.import_module("jax").enable_x64(True):
        yield


def compare(schedule: Any, total: int, target: float, after: dict[str, Any] | None, **warmup: Any) -> None:
    """A schedule, called for every count, has the LRs of the spec."""
    jax = importlib.import_module("jax")
    # Always as many: JAX compiles anew for every length.
    theirs = jax.vmap(schedule)(jax.numpy.arange(_MOST))[: total + 1].tolist()
    assert_same("optax", lrs(target, total, after, **warmup), theirs, atol=1e-14)


@randomly
@given(init=RATES, end=RATES, power=_power, steps=_steps, total=_total)
def test_polynomial(init: float, end: float, power: float, steps: int, total: int) -> None:
    """polynomial_schedule is a PolynomialDecayLR."""
    theirs = library("optax").polynomial_schedule(init, end, power, steps)
    # JAX multiplies by 1 / steps, so that steps / steps is 1, or one rounding below it: then 2**-53 is left of the way,
    # of which a small power makes far more. Only that one value, and only at the end, counts as the end.
    lifted = end + (init - end) * 2.0 ** (-53 * power)

    def schedule(count: Any) -> Any:
        jnp = importlib.import_module("jax.numpy")
        lr = theirs(count)
        return jnp.where((count >= steps) & jnp.isclose(lr, lifted, rtol=1e-9, atol=0.0), end, lr)

    after = {"type": "PolynomialDecayLR", "length": steps, "min_lr": end, "power": power}
    compare(schedule, total, init, after)


@randomly
@given(start=st.just(0.0) | RATES, peak=RATES, share=SHARES, exponent=_power, warmup=st.integers(1, 60), steps=_steps)
def test_warmup_cosine(start: float, peak: float, share: float, exponent: float, warmup: int, steps: int) -> None:
    """warmup_cosine_decay_schedule is a warm-up to a CosineLR; its decay_steps have the warm-up in them."""
    schedule = library("optax").warmup_cosine_decay_schedule(
        start, peak, warmup, warmup + steps, peak * share, exponent
    )
    after = {"type": "CosineLR", "length": steps, "min_ratio": share, "exponent": exponent}
    compare(schedule, warmup + steps + 5, peak, after, iterations=warmup, start_lr=start)


@randomly
@given(
    init=RATES,
    steps=_steps,
    rate=st.floats(0.01, 0.99) | st.just(0.5),
    staircase=st.booleans(),
    share=SHARES,
    warmup=st.integers(1, 30),
    total=st.integers(31, 150),
)
def test_exponential(
    init: float, steps: int, rate: float, staircase: bool, share: float, warmup: int, total: int
) -> None:
    """warmup_exponential_decay_schedule is a warm-up to an ExponentialDecayLR."""
    if staircase:  # JAX multiplies by 1 / steps, so that only a power of 2 steps down at its own multiples
        steps = 2 ** (steps.bit_length() - 1)
    end = init * share
    schedule = library("optax").warmup_exponential_decay_schedule(
        0.0, init, warmup, steps, rate, staircase=staircase, end_value=end
    )
    after = {"type": "ExponentialDecayLR", "decay_rate": rate, "decay_length": steps, "min_lr": end}
    compare(schedule, total, init, {**after, "staircase": staircase}, iterations=warmup)


_scales = st.dictionaries(st.integers(1, 120), st.sampled_from([0.1, 0.5, 2.0]) | st.floats(0.01, 5), max_size=5)


@randomly
@given(init=RATES, scales=_scales, total=_total, kind=st.sampled_from(["linear", "cosine", "step"]))
def test_piecewise(init: float, scales: dict[int, float], total: int, kind: str) -> None:
    """piecewise_interpolate_schedule and piecewise_constant_schedule are PiecewiseLRs of the products of the scales."""
    optax = library("optax")
    ats = sorted(scales)
    factors = [1.0, *np.cumprod([scales[at] for at in ats]).tolist()]
    points = [{"at": at, "factor": factor} for at, factor in zip([0, *ats], factors, strict=True)]
    step = optax.piecewise_constant_schedule(init, scales)
    schedule = step if kind == "step" or not ats else optax.piecewise_interpolate_schedule(kind, init, scales)
    compare(schedule, total, init, {"type": "PiecewiseLR", "interpolation": kind, "points": points})


@randomly
@given(
    cycles=st.lists(st.tuples(RATES, st.integers(1, 20), st.integers(1, 40), SHARES), min_size=1, max_size=4),
)
def test_sgdr(cycles: list[tuple[float, int, int, float]]) -> None:
    """sgdr_schedule is a SequentialLR of cosines, each with a straight rise of its own before it."""
    arguments = [
        {
            "init_value": 0.0,
            "peak_value": peak,
            "warmup_steps": rise,
            "decay_steps": rise + fall,
            "end_value": peak * low,
        }
        for peak, rise, fall, low in cycles
    ]
    phases = []
    for peak, rise, fall, low in cycles:
        phases.append({"shape": "linear", "length": rise, "from": 0.0, "to": peak})
        phases.append({"shape": "cosine", "length": fall, "from": peak, "to": peak * low})
    total = sum(rise + fall for _, rise, fall, _ in cycles)
    compare(library("optax").sgdr_schedule(arguments), total, 1.0, {"type": "PhasesLR", "phases": phases})
