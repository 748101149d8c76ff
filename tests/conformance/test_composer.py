"""Composer: the formulas of its schedulers, retyped, since it does not install beside the others."""

import math
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conformance.comparison import RATES, SHARES, assert_same, lrs, randomly

FORMULAS: dict[str, tuple[Callable[[float, float], float], Callable[[float], Any]]] = {
    # formulas of composer/optim/scheduler.py: x is the share that is over, a is alpha_f
    "LinearWithWarmup": (lambda x, a: 1 + (a - 1) * x, lambda a: {"type": "PolynomialDecayLR", "min_ratio": a}),
    "CosineAnnealingWithWarmup": (
        lambda x, a: a + (1 - a) * 0.5 * (1 + math.cos(math.pi * x)),
        lambda a: {"type": "CosineLR", "min_ratio": a},
    ),
    "PolynomialWithWarmup": (
        lambda x, a: a + (1 - a) * (1 - x) ** 2,
        lambda a: {"type": "PolynomialDecayLR", "power": 2.0, "min_ratio": a},
    ),
    "ConstantWithWarmup": (lambda _x, _a: 1.0, lambda _a: None),
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_schedule_is_its_formula(name: str) -> None:
    """Up by n / W, then the formula of the share of the rest that is over."""
    formula, after = FORMULAS[name]

    @randomly
    @given(lr=RATES, alpha=SHARES, warmup=st.integers(0, 60), left=st.integers(1, 120))
    def compare(lr: float, alpha: float, warmup: int, left: int) -> None:
        total = warmup + left
        expected = [lr * (n / warmup if n < warmup else formula((n - warmup) / left, alpha)) for n in range(total + 1)]
        assert_same("composer", lrs(lr, total, after(alpha), iterations=warmup), expected)

    compare()
