"""Exports of random specs, executed with the real library, against the schedule's own LRs."""

import importlib
from typing import Any

from hypothesis import example, given, reject, settings
from hypothesis import strategies as st

from conformance.comparison import (
    EXAMPLES,
    LENGTHS,
    RATES,
    SHARES,
    assert_same,
    keras_in_float64,
    library,
    randomly,
    stepped,
)
from preheat.conversions import Target
from preheat.conversions.exporters import export
from preheat.errors import NotExpressible, UndefinedLR
from support.random_specs import ANY, CHAINS, DAMPENED, SIMPLE, WARMUPS, Fields, composed, whole

TOTAL = 120
_any = SIMPLE | composed(SIMPLE)

ONE_CYCLE: Fields = {"type": "OneCycleLR", "max_lr": 0.3, "cycle_momentum": False}

_IN_TRANSFORMERS = st.one_of(
    st.none(),
    st.fixed_dictionaries(
        {"type": st.just("PolynomialDecayLR")}, optional={"power": st.floats(0.1, 4), "min_ratio": SHARES}
    ),
    st.fixed_dictionaries(
        {"type": st.just("CosineLR")},
        optional={"num_cycles": st.sampled_from([0.5, 1.0, 2.5]), "min_ratio": SHARES},
    ),
    st.fixed_dictionaries({"type": st.just("CosineAnnealingLR")}, optional={"eta_min": st.floats(0, 1e-6)}),
    st.fixed_dictionaries({"type": st.just("CosineRestartsLR"), "T_0": st.integers(1, 20), "cycles": LENGTHS}),
    st.fixed_dictionaries({"type": st.just("InverseSqrtLR")}, optional={"timescale": st.integers(1, 300)}),
    st.fixed_dictionaries(
        {"type": st.just("WSDLR"), "decay_length": st.integers(0, 100)},
        optional={"decay": st.sampled_from(["linear", "cosine", "1-sqrt"]), "min_ratio": SHARES},
    ),
)


def executed(spec: Fields, target: Target) -> tuple[dict[str, Any], list[float]]:
    """What the exported script defines, and the LRs that it must have."""
    asked = whole(spec)
    names: dict[str, Any] = {"__name__": "exported"}
    try:
        expected = asked.window(0, asked.total_iterations + 1)[:, 0].tolist()
        exec(compile(export(asked.schedule, target), "exported", "exec"), names)  # noqa: S102 - our own script
    except (NotExpressible, UndefinedLR):
        reject()
    return names, expected


@settings(randomly, max_examples=max(EXAMPLES, 250))
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
def test_torch(after: Fields, warmup: Fields, target: float) -> None:
    """The script's LambdaLR, stepped, whatever the spec is made of."""
    spec = {"target_lr": target, "total_iterations": TOTAL, "warmup": warmup, "after_scheduler": after}
    names, expected = executed(spec, "torch")
    found = stepped(names["optimizer"], lambda _: names["scheduler"].step(), TOTAL)
    assert_same("torch export", expected, found, rtol=1e-7, atol=1e-12)


@randomly
@given(
    after=_IN_TRANSFORMERS,
    lr=RATES,
    total=LENGTHS,
    share=SHARES,
    start=st.sampled_from([{}, {"start_factor": 0.1}]),
)
def test_transformers(after: Fields | None, lr: float, total: int, share: float, start: Fields) -> None:
    """get_scheduler as the script calls it."""
    library("transformers")
    warmup = {"iterations": int(share * total), **start}
    spec = {"target_lr": lr, "total_iterations": total, "warmup": warmup}
    names, expected = executed(spec | ({"after_scheduler": after} if after else {}), "transformers")
    found = stepped(names["optimizer"], lambda _: names["scheduler"].step(), total)
    assert_same("transformers export", expected, found)


@randomly
@given(after=_any, warmup=WARMUPS, lr=RATES)
def test_optax(after: Fields, warmup: Fields, lr: float) -> None:
    """The script's schedule, traced by JAX in float64."""
    library("optax")
    jax = importlib.import_module("jax")
    spec = {"target_lr": lr, "total_iterations": TOTAL, "warmup": warmup, "after_scheduler": after}
    with jax.enable_x64(True):
        names, expected = executed(spec, "optax")
        found = jax.vmap(names["schedule"])(jax.numpy.arange(TOTAL + 1.0)).tolist()
    assert_same("optax export", expected, found, rtol=1e-7, atol=1e-10)


@randomly
@given(after=_any, warmup=WARMUPS, lr=RATES)
def test_keras(after: Fields, warmup: Fields, lr: float) -> None:
    """The script's schedule, in float64."""
    spec = {"target_lr": lr, "total_iterations": TOTAL, "warmup": warmup, "after_scheduler": after}
    with keras_in_float64():
        names, expected = executed(spec, "keras")
        schedule = names["Schedule"]()
        found = [float(schedule(n)) for n in range(TOTAL + 1)]
    assert_same("keras export", expected, found, rtol=1e-7, atol=1e-10)
