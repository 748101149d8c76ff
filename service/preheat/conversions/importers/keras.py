"""Import of Keras' schedules, from their `get_config`."""

from collections.abc import Callable
from functools import partial
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.known import Known
from preheat.errors import NotImportable


def from_keras(source: Any, known: Known) -> Imported:
    """A spec from `keras.optimizers.schedules.serialize(schedule)`: an object with class_name and config.

    The class may be WarmUp too, which is no class of Keras but of transformers and of the TensorFlow models, around
    one of Keras' schedules. Raises NotImportable.
    """
    fields = Fields(source)
    if fields.take("class_name") == "WarmUp":
        return _warm_up(fields, known)
    return Imported(_schedule(fields, known), fields.left(HARMLESS["keras"]))


def _schedule(fields: Fields, known: Known) -> dict[str, Any]:
    parameters, read = _SCHEDULES[fields.choice("class_name", _SCHEDULES)]
    config = fields.fields("config")
    config.only([*parameters.split(), "name"], fields.take("class_name"))
    config.take("name")
    for name in ("module", "registered_name"):
        fields.take(name)
    if "warmup_target" not in config:
        known.without_warmup(str(fields.take("class_name")))
    return read(config, known)


def _warm_up(fields: Fields, known: Known) -> Imported:
    """initial_learning_rate · (n / warmup_steps)^power below warmup_steps, then decay_schedule_fn.

    That counts from the end of the warm-up in transformers (optimization_tf.py), and from 0 in the TensorFlow models
    (official/nlp/optimization.py); both write the same fields, so that only `module` may tell.
    """
    module, config = str(fields.take("module", "")), fields.fields("config")
    fields.take("registered_name")
    config.take("name")
    peak, steps = config.number("initial_learning_rate"), known.warmup(config.count("warmup_steps"))
    power = config.number("power", 1.0)
    decay = config.fields("decay_schedule_fn")
    from_zero = module.startswith("official")
    length = known.total_iterations
    if length is not None and not from_zero:
        length = max(length - steps, 1)
    # Without the caller's target LR: the inner schedule must show its own peak, to be compared.
    inner = _schedule(decay, Known(total_iterations=length))
    if inner["target_lr"] != peak:
        raise NotImportable("config.initial_learning_rate must be that of decay_schedule_fn: the LR would jump")
    total = inner["total_iterations"] + (0 if from_zero else steps)
    parts = {"after_scheduler": inner["after_scheduler"], **_rise(inner, steps, power, from_zero)}
    spec = known.spec(peak, total, **parts)
    notes = [] if module else [
        NotCarried("module", "is not given: the decay is taken to begin after the warm-up, as in transformers")
    ]  # fmt: skip
    return Imported(spec, notes + fields.left(HARMLESS["keras"]))


def _rise(inner: dict[str, Any], steps: int, power: float, from_zero: bool) -> dict[str, Any]:
    """A warm-up by a power; one that is not linear is an expression before the decay."""
    if "warmup" in inner:
        raise NotImportable("config.decay_schedule_fn must not have a warm-up of its own")
    if power == 1 or not steps:
        clock = {"decay_clock": "from_zero"} if from_zero else {}
        return {"warmup": {"iterations": steps, **clock}}
    if from_zero:
        raise NotImportable(f"config.power ({power:g}) must be 1 where the decay counts from 0")
    rise = {"type": "ExpressionLR", "expression": f"(s / {steps}) ** {power!r}"}
    schedulers = [rise, inner["after_scheduler"]]
    return {"after_scheduler": {"type": "SequentialLR", "schedulers": schedulers, "milestones": [steps]}}


def _cosine(config: Fields, known: Known) -> dict[str, Any]:
    """decay_steps does not include the warm-up; alpha is a factor of the LR that the decay starts from."""
    steps, alpha = config.count("decay_steps"), config.number("alpha", 0.0)
    initial, peak = config.number("initial_learning_rate"), config.optional_number("warmup_target")
    if peak is None:
        config.refuse("warmup_steps", "has no effect without warmup_target: Keras then decays at once")
    warmup_steps = known.warmup(config.count("warmup_steps", 0)) if peak is not None else 0
    after = {"type": "CosineLR", "length": steps, "min_ratio": alpha}
    if peak is None or warmup_steps == 0:
        return known.spec(initial if peak is None else peak, steps, after)
    warmup = {"iterations": warmup_steps, "start_lr": initial}
    return known.spec(peak, warmup_steps + steps, after, warmup=warmup)


def _restarts(config: Fields, known: Known) -> dict[str, Any]:
    """Keras' minimum is one for all cycles, and its wave is scaled, not its peak: (1 − α) · m^k · wave + α.

    Where that differs from a restart to a lower peak, or cycles get shorter, it is written as Keras computes it: cycle
    k = ⌊log_t(1 − (1 − t) · s / first)⌋. Cycles that get shorter end at first / (1 − t), past which Keras gives NaN.
    """
    first, t_mul = config.count("first_decay_steps"), config.number("t_mul", 2.0)
    m_mul, alpha = config.number("m_mul", 1.0), config.number("alpha", 0.0)
    lr, total = known.lr(config.number("initial_learning_rate")), known.length(None)
    if not first or t_mul <= 0 or m_mul < 0:
        raise NotImportable("config.first_decay_steps and t_mul must be > 0, m_mul ≥ 0")
    if t_mul >= 1 and (m_mul == 1 or not alpha):
        after = {"type": "CosineRestartsLR", "T_0": first, "T_mult": t_mul, "decay": m_mul, "min_lr": alpha * lr}
        return known.spec(lr, None, after)
    if t_mul < 1 and total >= first / (1 - t_mul):
        raise NotImportable(
            f"config.t_mul ({t_mul:g}) leaves no LR from iteration {first / (1 - t_mul):g} on, where Keras gives NaN: "
            "give a shorter total_iterations"
        )
    cycle, share = f"floor(s / {first})", f"(s / {first} - floor(s / {first}))"
    if t_mul != 1:  # a restart at a whole iteration must not fall short of it by a rounding
        cycle = f"floor(log(1 - s / {first} * {1 - t_mul!r}) / log({t_mul!r}) + 1e-9)"
        share = f"((s / {first} - (1 - {t_mul!r} ** {cycle}) / {1 - t_mul!r}) / {t_mul!r} ** {cycle})"
    wave = f"{(1 - alpha) / 2!r} * {m_mul!r} ** {cycle} * (1 + cos(pi * {share})) + {alpha!r}"
    return known.spec(lr, None, {"type": "ExpressionLR", "expression": wave})


def _decay(config: Fields, known: Known, kind: str) -> dict[str, Any]:
    # decay_steps is the time scale of the decay and not its end, so that the run's length must be known.
    after = {
        "type": kind,
        "decay_rate": config.number("decay_rate"),
        "decay_length": config.count("decay_steps"),
        "staircase": config.flag("staircase"),
    }
    return known.spec(config.number("initial_learning_rate"), None, after)


def _polynomial(config: Fields, known: Known) -> dict[str, Any]:
    steps, cycle = config.count("decay_steps"), config.flag("cycle")
    after = {
        "type": "PolynomialDecayLR",
        "length": steps,
        "min_lr": config.number("end_learning_rate", 1e-4),
        "power": config.number("power", 1.0),
        "cycle": cycle,
    }
    # With cycle the decay begins anew past decay_steps, which then tells nothing of the run's length.
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


_DECAY = "initial_learning_rate decay_steps decay_rate staircase"

_SCHEDULES: dict[str, tuple[str, Callable[[Fields, Known], dict[str, Any]]]] = {
    "CosineDecay": ("initial_learning_rate decay_steps alpha warmup_target warmup_steps", _cosine),
    "CosineDecayRestarts": ("initial_learning_rate first_decay_steps t_mul m_mul alpha", _restarts),
    "ExponentialDecay": (_DECAY, partial(_decay, kind="ExponentialDecayLR")),
    "InverseTimeDecay": (_DECAY, partial(_decay, kind="InverseTimeLR")),
    "PolynomialDecay": ("initial_learning_rate decay_steps end_learning_rate power cycle", _polynomial),
    "PiecewiseConstantDecay": ("boundaries values", _piecewise),
}
"""The parameters of each schedule, and how it is read."""
