"""Keras: its schedules, called in float64, against the import of what `serialize` writes of them."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.comparison import (
    LENGTHS,
    RATES,
    SHARES,
    assert_same,
    imported,
    keras_in_float64,
    library,
    of_spec,
    randomly,
)

_steps = st.integers(1, 120)
_decay: dict[str, Any] = {"decay_steps": _steps, "decay_rate": st.floats(0.01, 2), "staircase": st.booleans()}
ARGUMENTS: dict[str, dict[str, Any]] = {
    "CosineDecay": {
        "decay_steps": _steps,
        "alpha": SHARES,
        "warmup_steps": st.integers(0, 50),
        "warmup_target": st.none() | RATES,
    },
    "CosineDecayRestarts": {
        "first_decay_steps": _steps,
        "t_mul": st.sampled_from([0.5, 0.8, 1.0, 1.5, 2.0, 3.0]),
        "m_mul": SHARES,
        "alpha": SHARES,
    },
    "ExponentialDecay": _decay,
    "InverseTimeDecay": _decay,
    "PolynomialDecay": {
        "decay_steps": _steps,
        "end_learning_rate": st.floats(0, 1),
        "power": st.sampled_from([0.5, 1.0, 2.0]) | st.floats(0.1, 4),
        "cycle": st.booleans(),
    },
    "PiecewiseConstantDecay": {},
}


@pytest.fixture(scope="module", autouse=True)
def in_float64() -> Iterator[None]:
    """As every comparison here."""
    with keras_in_float64():
        yield


@st.composite
def _pieces(draw: st.DrawFn) -> dict[str, Any]:
    boundaries = sorted(draw(st.sets(st.integers(1, 100), min_size=1, max_size=5)))
    return {"boundaries": boundaries, "values": draw(st.lists(RATES, min_size=len(boundaries) + 1, max_size=6))}


@pytest.mark.parametrize("name", ARGUMENTS)
def test_a_schedule_is_that_of_keras(name: str) -> None:
    """Every LR of a run of any length, of the schedule that Keras itself has serialized."""
    schedules: Any = library("keras").optimizers.schedules
    kind = getattr(schedules, name)
    pieces = name == "PiecewiseConstantDecay"
    arguments = st.fixed_dictionaries({"initial_learning_rate": RATES, **ARGUMENTS[name]})

    @randomly
    @given(arguments=_pieces() if pieces else arguments, total=LENGTHS)
    def compare(arguments: dict[str, Any], total: int) -> None:
        if pieces and len(arguments["values"]) != len(arguments["boundaries"]) + 1:
            arguments["values"] = arguments["values"][: len(arguments["boundaries"]) + 1]
        schedule = kind(**arguments)
        spec = imported("keras", schedules.serialize(schedule), total_iterations=total).spec
        theirs = [float(schedule(n)) for n in range(spec["total_iterations"] + 1)]
        assert_same("keras", of_spec(spec), theirs, rtol=1e-8, atol=1e-12)

    compare()
