"""Keras: the WarmUp of transformers and of the TensorFlow models, and restarts that get shorter."""

import math
from typing import Any

import pytest

from support.imports import lrs, notes, refusal

DECAY = {
    "class_name": "PolynomialDecay",
    "config": {"initial_learning_rate": 0.1, "decay_steps": 40, "end_learning_rate": 0.0, "power": 1.0},
}


def warm_up(power: float = 1.0, **fields: Any) -> dict[str, Any]:
    """A WarmUp of 10 steps around a linear decay of 40."""
    own = {"initial_learning_rate": 0.1, "decay_schedule_fn": DECAY, "warmup_steps": 10, "power": power, "name": None}
    return {"class_name": "WarmUp", "config": own, **fields}


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_a_warm_up_of_transformers_goes_before_the_decay(power: float) -> None:
    """(n / 10)^power, then the decay's own step n − 10; without a module that is an assumption, and named."""
    expected = [0.1 * (n / 10) ** power for n in range(10)] + [0.1 * (1 - s / 40) for s in range(41)]
    assert lrs("keras", warm_up(power)) == pytest.approx(expected)
    assert "as in transformers" in notes("keras", warm_up(power))["module"]
    assert notes("keras", warm_up(power, module="transformers.optimization_tf")) == {}


def test_a_warm_up_of_the_tensorflow_models_takes_the_decays_place() -> None:
    """Its decay counts from 0: it is 10 of 40 over where the warm-up ends."""
    expected = [0.1 * n / 10 for n in range(10)] + [0.1 * (1 - n / 40) for n in range(10, 41)]
    assert lrs("keras", warm_up(module="official.nlp.optimization")) == pytest.approx(expected)


def restarts(n: int, first: int, t_mul: float, m_mul: float, alpha: float) -> float:
    """CosineDecayRestarts by going from cycle to cycle."""
    start, length, height = 0.0, float(first), 1.0
    while n >= start + length - 1e-9:
        start, length, height = start + length, length * t_mul, height * m_mul
    return (1 - alpha) * height * (1 + math.cos(math.pi * (n - start) / length)) / 2 + alpha


@pytest.mark.parametrize(
    ("t_mul", "m_mul", "alpha"), [(0.5, 1.0, 0.0), (0.75, 0.5, 0.1), (1.0, 0.5, 0.1), (2.0, 0.5, 0.1), (1.5, 0.5, 0.0)]
)
def test_restarts_may_get_shorter_and_lower(t_mul: float, m_mul: float, alpha: float) -> None:
    """Every cycle, down to those of a few steps, and the wave scaled above a floor that stays."""
    config = {"initial_learning_rate": 0.1, "first_decay_steps": 16, "t_mul": t_mul, "m_mul": m_mul, "alpha": alpha}
    total = 31 if t_mul == 0.5 else 50
    found = lrs("keras", {"class_name": "CosineDecayRestarts", "config": config}, total_iterations=total)
    assert found == pytest.approx([0.1 * restarts(n, 16, t_mul, m_mul, alpha) for n in range(total + 1)], abs=1e-12)


def test_restarts_that_end_in_nan_are_refused() -> None:
    """Cycles of half the length are over at twice the first: Keras has no LR from there on."""
    config = {"initial_learning_rate": 0.1, "first_decay_steps": 16, "t_mul": 0.5}
    source = {"class_name": "CosineDecayRestarts", "config": config}
    assert "leaves no LR from iteration 32 on" in refusal("keras", source, total_iterations=32)
    assert "config.t_mull is not a parameter of CosineDecayRestarts" in refusal(
        "keras", {"class_name": "CosineDecayRestarts", "config": {**config, "t_mull": 2}}, total_iterations=9
    )
