"""Envelopes: lows and highs of parts of a window, against every single iteration."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preheat.analysis.window import first_crossing, peak
from preheat.curve import Curve
from preheat.plot.options import PlotOptions
from preheat.plot.render import render
from support.random_specs import CLOSED, DAMPENED, WARMUPS, Fields, combined, composed, whole
from support.specs import curve

EXPRESSIONS = st.sampled_from(
    [
        {"type": "ExpressionLR", "expression": text}
        for text in (
            "1 + sin(n)",
            "(n % 7) / 7",
            "exp(-s / 100) + (1 if n == 777 else 0)",
            "0.999 ** n * (1 + n / 100)",
        )
    ]
)
CLOSED_OF_ALL = st.recursive(CLOSED | EXPRESSIONS, lambda child: composed(child) | combined(child), max_leaves=4)


def assert_is_every_iteration(asked: Curve, start: int, stop: int, parts: int) -> None:
    """The envelope of a window has the extremes that are found by computing all of it."""
    firsts, lows, highs = asked.envelope(start, stop, parts)
    every = asked.window(start, stop)
    np.testing.assert_allclose(lows, np.minimum.reduceat(every, firsts - start), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(highs, np.maximum.reduceat(every, firsts - start), rtol=1e-12, atol=1e-15)


@settings(max_examples=200)
@given(data=st.data(), after=CLOSED_OF_ALL, warmup=WARMUPS | DAMPENED)
def test_an_envelope_has_every_peak_and_valley(data: st.DataObject, after: Fields, warmup: Fields) -> None:
    """Whatever a spec is made of, no part lacks its lowest or highest LR, and the crossing of any LR is the first."""
    spec = {"target_lr": 0.1, "total_iterations": 1000, "warmup": warmup, "after_scheduler": after}
    asked = whole(spec)
    start = data.draw(st.integers(0, 900), "start")
    stop = data.draw(st.integers(start + 2, 1001), "stop")
    assert not asked.is_sampled(start, stop)
    assert_is_every_iteration(asked, start, stop, data.draw(st.integers(1, 40), "parts"))
    lrs = asked.window(start, stop)[:, 0]
    value = float(lrs[data.draw(st.integers(0, len(lrs) - 1), "place")])
    reached = lrs >= value if lrs[0] <= value else lrs <= value
    found = first_crossing(asked, value, 0, start, stop)
    assert found is not None
    # Another way to an LR that repeats itself rounds it otherwise: what counts as reached may differ by that.
    assert found.iteration == start + int(reached.argmax()) or lrs[found.iteration - start] == pytest.approx(value)
    assert peak(asked, 0, range(start, stop))[1] == pytest.approx(float(lrs.max()), rel=1e-12)


LOST: list[tuple[Fields, Fields]] = [
    ({"type": "TanhLR", "lower": 3.0, "upper": -5.0}, {"iterations": 0}),
    (
        {
            "type": "CyclicLR",
            "base_lr": 0.001,
            "max_lr": 0.01,
            "step_size_up": 300,
            "mode": "exp_range",
            "gamma": 1.004,
            "cycle_momentum": False,
        },
        {"iterations": 0},
    ),
    (
        {
            "type": "ProductLR",
            "schedulers": [{"type": "StepLR", "step_size": 400}, {"type": "ExponentialLR", "gamma": 1.005}],
        },
        {"iterations": 0},
    ),
    *(
        ({"type": kind, "schedulers": [{"type": "CosineLR"}, {"type": "ExponentialLR", "gamma": 1.0002}]}, {})
        for kind in ("MinLR", "MaxLR")
    ),
    ({"type": "StepLR", "step_size": 777}, {"iterations": 3000, "decay_clock": "dampened"}),
    ({"type": "ExponentialLR", "gamma": 0.999}, {"shape": "radam", "decay_clock": "dampened"}),
    ({"type": "CosineLR"}, {"shape": "untuned_exponential", "decay_clock": "dampened"}),
]


@pytest.mark.parametrize(("after", "warmup"), LOST, ids=[f"{after['type']}-{len(warmup)}" for after, warmup in LOST])
def test_a_peak_between_two_places_is_found(after: Fields, warmup: Fields) -> None:
    """LRs that turn where none of their parts does, or in their last step, in a run of ten iterations a part."""
    total = 5000 if after["type"] == "CyclicLR" else 6000
    fields = {"total_iterations": total, "warmup": warmup, "after_scheduler": after}
    asked = curve(target_lr=0.1, **fields)
    assert not asked.is_sampled(0, total + 1)
    assert_is_every_iteration(asked, 0, total + 1, 64)


SPIKE = {"type": "ExpressionLR", "expression": "1 if n == 123456 else 0.5"}
LONG: list[tuple[Fields, Fields, bool]] = [
    (SPIKE, {}, True),
    ({"type": "MaxLR", "schedulers": [{"type": "CosineLR"}, SPIKE]}, {}, True),
    ({"type": "WindowLR", "scheduler": SPIKE, "begin": 5, "end": 200_000}, {}, True),
    ({"type": "ClampLR", "scheduler": {"type": "CosineLR"}, "max_ratio": 0.5}, {}, False),
    ({"type": "SequentialLR", "schedulers": [SPIKE, {"type": "CosineLR"}], "milestones": [60_000]}, {}, False),
    ({"type": "CooldownLR", "scheduler": SPIKE, "length": 250_000}, {}, False),
    ({"type": "WindowLR", "scheduler": SPIKE, "begin": 100_000, "end": 150_000}, {}, False),
    ({"type": "CosineLR"}, {"iterations": 5000, "decay_clock": "dampened"}, False),
    ({"type": "CosineLR"}, {"shape": "radam", "decay_clock": "dampened"}, True),
    ({"type": "CosineLR", "num_cycles": 100_000.0}, {}, True),
    ({"type": "CosineRestartsLR", "T_0": 10, "T_mult": 1.0002}, {}, True),
    ({"type": "CosineRestartsLR", "T_0": 10, "decay": 0.9999}, {}, False),
    (None, {"shape": "radam", "decay_clock": "dampened"}, False),  # type: ignore[list-item]
]


@pytest.mark.parametrize(("after", "warmup", "is_sampled"), LONG, ids=range(len(LONG)))
def test_a_long_window_is_whole_or_says_that_it_is_sampled(after: Any, warmup: Fields, is_sampled: bool) -> None:
    """Past 65,536 iterations in which an LR may turn anywhere a sample is looked at: curve and picture say so."""
    asked = curve(target_lr=0.1, total_iterations=300_000, warmup=warmup, after_scheduler=after)
    assert asked.is_sampled(0, 300_001) == is_sampled
    assert not asked.is_sampled(100, 60_000)
    if not is_sampled:
        assert_is_every_iteration(asked, 0, 300_001, 50)
    picture = render([asked], PlotOptions(width_px=480, height_px=240), "svg").decode()
    assert ("sampled: peaks and valleys may be missing" in picture) == is_sampled
