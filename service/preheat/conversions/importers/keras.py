"""Import of Keras' schedules, from their `get_config`."""

from collections.abc import Callable
from typing import Any

from preheat.conversions.source import Fields, Imported, Known
from preheat.errors import NotImportable


def from_keras(source: Any, known: Known) -> Imported:
    """A spec from `keras.optimizers.schedules.serialize(schedule)`: an object with class_name and config.

    Raises NotImportable.
    """
    fields = Fields(source)
    read = _SCHEDULES[fields.choice("class_name", _SCHEDULES)]
    config = fields.fields("config")
    # read, so that they are not listed: they say where the class is, not what it does
    for name in ("module", "registered_name"):
        fields.take(name)
    config.take("name")
    spec = read(config, known)
    not_carried = config.not_carried("is not a parameter of this schedule")
    return Imported(spec, not_carried + fields.not_carried("is not known"))


def _cosine(config: Fields, known: Known) -> dict[str, Any]:
    """decay_steps does not include the warm-up; alpha is a factor of the LR that the decay starts from."""
    steps, alpha = config.count("decay_steps"), config.number("alpha", 0.0)
    initial, peak = config.number("initial_learning_rate"), config.optional_number("warmup_target")
    warmup_steps = config.count("warmup_steps", 0)
    after = {"type": "CosineLR", "length": steps, "min_ratio": alpha}
    if peak is None or warmup_steps == 0:
        return known.spec(initial if peak is None else peak, steps, after)
    warmup = {"iterations": warmup_steps, "start_lr": initial}
    return known.spec(peak, warmup_steps + steps, after, warmup=warmup)


def _restarts(config: Fields, known: Known) -> dict[str, Any]:
    """Keras' minimum is one for all cycles, and its wave is scaled, not its peak: (1 − α) · m · wave + α."""
    first, t_mul = config.count("first_decay_steps"), config.number("t_mul", 2.0)
    m_mul, alpha = config.number("m_mul", 1.0), config.number("alpha", 0.0)
    if m_mul != 1 and alpha:
        raise NotImportable(
            "config.m_mul must be 1 where alpha is not 0: no spec scales a cycle's wave without its minimum"
        )
    lr = known.lr(config.number("initial_learning_rate"))
    after = {"type": "CosineRestartsLR", "T_0": first, "T_mult": t_mul, "decay": m_mul, "min_lr": alpha * lr}
    return known.spec(lr, None, after)


def _exponential(config: Fields, known: Known) -> dict[str, Any]:
    return _decay(config, known, "ExponentialDecayLR")


def _inverse_time(config: Fields, known: Known) -> dict[str, Any]:
    return _decay(config, known, "InverseTimeLR")


def _decay(config: Fields, known: Known, kind: str) -> dict[str, Any]:
    after = {
        "type": kind,
        "decay_rate": config.number("decay_rate"),
        "decay_length": config.count("decay_steps"),
        "staircase": bool(config.take("staircase", False)),
    }
    return known.spec(config.number("initial_learning_rate"), None, after)


def _polynomial(config: Fields, known: Known) -> dict[str, Any]:
    steps, cycle = config.count("decay_steps"), bool(config.take("cycle", False))
    after = {
        "type": "PolynomialDecayLR",
        "length": steps,
        "min_lr": config.number("end_learning_rate", 1e-4),
        "power": config.number("power", 1.0),
        "cycle": cycle,
    }
    return known.spec(config.number("initial_learning_rate"), None if cycle else steps, after)


def _piecewise(config: Fields, known: Known) -> dict[str, Any]:
    boundaries, values = config.numbers("boundaries"), config.numbers("values")
    if len(values) != len(boundaries) + 1:
        raise NotImportable(
            f"config.values must have one entry more than boundaries ({len(boundaries)}), not {len(values)}"
        )
    # a value holds up to and including its boundary, so the next one starts one step later
    starts = [0, *(int(boundary) + 1 for boundary in boundaries)]
    points = [{"at": at, "lr": lr} for at, lr in zip(starts, values, strict=True)]
    return known.spec(max(values), None, {"type": "PiecewiseLR", "interpolation": "step", "points": points})


_SCHEDULES: dict[str, Callable[[Fields, Known], dict[str, Any]]] = {
    "CosineDecay": _cosine,
    "CosineDecayRestarts": _restarts,
    "ExponentialDecay": _exponential,
    "InverseTimeDecay": _inverse_time,
    "PolynomialDecay": _polynomial,
    "PiecewiseConstantDecay": _piecewise,
}
