"""Keras schedules, by their `get_config`."""

from collections.abc import Callable
from typing import Any

from preheat.conversions.source import Fields, Imported, Known, fields_of, target_lr, total_iterations
from preheat.errors import NotImportable


def from_keras(source: Any, known: Known) -> Imported:
    """A spec from `keras.optimizers.schedules.serialize(schedule)`: an object with class_name and config."""
    fields = fields_of(source, "")
    kind = fields.take("class_name")
    if kind not in _SCHEDULES:
        raise NotImportable(f"class_name ({kind}) is not one of {', '.join(_SCHEDULES)}")
    config = fields_of(fields.take("config", {}), "config")
    for name in ("module", "registered_name"):
        fields.take(name)
    config.take("name")
    spec = _SCHEDULES[kind](config, known)
    return Imported(spec, config.left("is no parameter of this schedule") + fields.left("is not known"))


def _initial(config: Fields, known: Known) -> float:
    return target_lr(known, config.number("initial_learning_rate"))


def _cosine(config: Fields, known: Known) -> dict[str, Any]:
    """decay_steps does not include the warm-up; alpha is a factor of the LR that the decay starts from."""
    steps, alpha = config.count("decay_steps"), config.number("alpha", 0.0)
    initial, warmup_target = config.number("initial_learning_rate"), config.take("warmup_target")
    warmup_steps = config.count("warmup_steps", 0)
    warmup = warmup_steps if warmup_target is not None else 0
    peak = float(warmup_target) if warmup_target is not None else initial
    spec: dict[str, Any] = {
        "target_lr": target_lr(known, peak),
        "total_iterations": total_iterations(known, warmup + steps),
        "after_scheduler": {"type": "CosineLR", "length": steps, "min_ratio": alpha},
    }
    return spec | ({"warmup": {"iterations": warmup, "start_lr": initial}} if warmup else {})


def _restarts(config: Fields, known: Known) -> dict[str, Any]:
    initial = _initial(config, known)
    return {
        "target_lr": initial,
        "total_iterations": total_iterations(known, None),
        "after_scheduler": _restarts_shape(config, initial),
    }


def _restarts_shape(config: Fields, initial: float) -> dict[str, Any]:
    """Keras' minimum is one for all cycles, and its wave is scaled, not its peak: (1 − α) · m · wave + α."""
    first, t_mul = config.count("first_decay_steps"), config.number("t_mul", 2.0)
    m_mul, alpha = config.number("m_mul", 1.0), config.number("alpha", 0.0)
    if m_mul != 1 and alpha:
        raise NotImportable(
            "config.m_mul must be 1 where alpha is not 0: no spec scales a cycle's wave without its minimum"
        )
    return {"type": "CosineRestartsLR", "T_0": first, "T_mult": t_mul, "decay": m_mul, "min_lr": alpha * initial}


def _exponential(config: Fields, known: Known) -> dict[str, Any]:
    return {
        "target_lr": _initial(config, known),
        "total_iterations": total_iterations(known, None),
        "after_scheduler": {
            "type": "ExponentialDecayLR",
            "decay_rate": config.number("decay_rate"),
            "decay_length": config.count("decay_steps"),
            "staircase": bool(config.take("staircase", False)),
        },
    }


def _inverse_time(config: Fields, known: Known) -> dict[str, Any]:
    return {
        "target_lr": _initial(config, known),
        "total_iterations": total_iterations(known, None),
        "after_scheduler": {
            "type": "InverseTimeLR",
            "decay_rate": config.number("decay_rate"),
            "decay_length": config.count("decay_steps"),
            "staircase": bool(config.take("staircase", False)),
        },
    }


def _polynomial(config: Fields, known: Known) -> dict[str, Any]:
    steps = config.count("decay_steps")
    cycle = bool(config.take("cycle", False))
    return {
        "target_lr": _initial(config, known),
        "total_iterations": total_iterations(known, None if cycle else steps),
        "after_scheduler": {
            "type": "PolynomialDecayLR",
            "length": steps,
            "min_lr": config.number("end_learning_rate", 1e-4),
            "power": config.number("power", 1.0),
            "cycle": cycle,
        },
    }


def _piecewise(config: Fields, known: Known) -> dict[str, Any]:
    """A value holds up to and including its boundary."""
    boundaries, values = config.take("boundaries", []), config.take("values", [])
    if len(values) != len(boundaries) + 1:
        raise NotImportable(
            f"config.values must have one entry more than boundaries ({len(boundaries)}), not {len(values)}"
        )
    starts = [0, *(int(boundary) + 1 for boundary in boundaries)]
    return {
        "target_lr": target_lr(known, max(map(float, values))),
        "total_iterations": total_iterations(known, None),
        "after_scheduler": {
            "type": "PiecewiseLR",
            "interpolation": "step",
            "points": [{"at": at, "lr": float(lr)} for at, lr in zip(starts, values, strict=True)],
        },
    }


_SCHEDULES: dict[str, Callable[[Fields, Known], dict[str, Any]]] = {
    "CosineDecay": _cosine,
    "CosineDecayRestarts": _restarts,
    "ExponentialDecay": _exponential,
    "InverseTimeDecay": _inverse_time,
    "PolynomialDecay": _polynomial,
    "PiecewiseConstantDecay": _piecewise,
}
