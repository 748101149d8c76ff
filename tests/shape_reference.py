"""Every shape in plain math, written from its source and not from the code: the LR at iteration s of its own clock.

b is the target LR, `left` what is left of the run, `warmup` the warm-up before it.
"""

import math
from collections.abc import Callable
from typing import Any

Reference = Callable[[int, float], float]


def reference(spec: dict[str, Any], left: int, warmup: int) -> Reference:
    """LR by iteration and target LR, of a spec as a user writes it."""
    parameters = {name: value for name, value in spec.items() if name != "type"}
    return _REFERENCES[spec["type"]](left=left, warmup=warmup, **parameters)


def _end(b: float, min_lr: float, min_ratio: float | None) -> float:
    return min_lr if min_ratio is None else min_ratio * b


def _polynomial(
    left: int,
    warmup: int,
    length: int = 0,
    power: float = 1,
    min_lr: float = 0,
    min_ratio: Any = None,
    cycle: bool = False,
) -> Reference:
    del warmup
    steps = length or left

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        within = steps * max(1, math.ceil(s / steps)) if cycle else steps
        height: float = (1 - min(s, within) / within) ** power
        return (b - end) * height + end

    return lr


def _cosine(
    left: int,
    warmup: int,
    length: int = 0,
    min_lr: float = 0,
    min_ratio: Any = None,
    num_cycles: float = 0.5,
    exponent: float = 1,
) -> Reference:
    del warmup
    steps = length or left

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        wave = 0.5 * (1 + math.cos(math.pi * 2 * num_cycles * min(s, steps) / steps))
        return float(end + (b - end) * wave**exponent)

    return lr


def _restarts(
    left: int,
    warmup: int,
    T_0: int = 0,
    T_mult: float = 1,
    decay: float = 1,
    cycles: Any = None,
    min_lr: float = 0,
    periods: Any = None,
    weights: Any = None,
) -> Reference:
    """Cycle by cycle, walking from the first."""
    del left, warmup

    def lr(s: int, b: float) -> float:
        start, length, cycle = 0.0, float(periods[0] if periods else T_0), 0
        while s >= start + length - 1e-9:
            start, cycle = start + length, cycle + 1
            if periods and cycle == len(periods):
                return min_lr
            length = float(periods[cycle]) if periods else T_0 * T_mult**cycle
            if (cycles and cycle >= cycles) or length < 1 - 1e-9:
                return min_lr
        peak = b * (weights[cycle] if weights else decay**cycle)
        return min_lr + (peak - min_lr) * (1 + math.cos(math.pi * (s - start) / length)) / 2

    return lr


def _wsd(
    left: int,
    warmup: int,
    length: int = 0,
    decay_length: Any = None,
    decay: str = "linear",
    power: float = 0.5,
    decay_ratio: float = 0.5,
    min_lr: float = 0,
    min_ratio: Any = None,
) -> Reference:
    steps = length or left
    fall = round((left + warmup) / 10) if decay_length is None else decay_length

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        if not fall:
            return b if s < steps else end
        if s <= steps - fall:
            return b
        x = min((s - (steps - fall)) / fall, 1)
        height: float = {
            "linear": 1 - x,
            "cosine": 0.5 * (1 + math.cos(math.pi * x)),
            "1-sqrt": 1 - x**0.5,
            "power": 1 - x**power,
            "exponential": (decay_ratio**x - decay_ratio) / (1 - decay_ratio),
        }[decay]
        return end + (b - end) * height

    return lr


def _flat_cosine(
    left: int, warmup: int, length: int = 0, flat_length: Any = None, min_lr: float = 0, min_ratio: Any = None
) -> Reference:
    del warmup
    steps = length or left
    flat = int(steps * 0.75) if flat_length is None else flat_length

    def lr(s: int, b: float) -> float:
        x = min(max(s - flat, 0) / (steps - flat), 1)
        end = _end(b, min_lr, min_ratio)
        return end + (b - end) * math.cos(math.pi * x / 2) ** 2

    return lr


def _inverse_sqrt(left: int, warmup: int, timescale: int = 0, shift: int = 0) -> Reference:
    del left
    scale = timescale or warmup or 10_000
    return lambda s, b: b / math.sqrt((s + shift + scale) / scale)


def _noam(left: int, warmup: int, d_model: int, warmup_iterations: int, factor: float = 1) -> Reference:
    del left, warmup
    return lambda s, b: (
        b * factor / math.sqrt(d_model) * min(1 / math.sqrt(max(s, 1)), max(s, 1) / warmup_iterations**1.5)
    )


def _tri_stage(
    left: int,
    warmup: int,
    warmup_iterations: int,
    hold_iterations: int,
    decay_iterations: int,
    init_ratio: float = 0.01,
    final_ratio: float = 0.01,
) -> Reference:
    del left, warmup

    def lr(s: int, b: float) -> float:
        if s < warmup_iterations:
            return b * init_ratio + (b - b * init_ratio) / warmup_iterations * s
        past = s - warmup_iterations - hold_iterations
        if past <= 0:
            return b
        return b * math.exp(math.log(final_ratio) * min(past / decay_iterations, 1))

    return lr


def _slanted_triangular(
    left: int, warmup: int, length: int = 0, cut_share: float = 0.1, ratio: float = 32
) -> Reference:
    del warmup
    steps = length or left
    cut = math.floor(steps * cut_share)

    def lr(s: int, b: float) -> float:
        p = s / cut if s < cut else max(1 - (s - cut) / (steps - cut), 0)
        return b * (1 + p * (ratio - 1)) / ratio

    return lr


def _inverse_time(left: int, warmup: int, decay_rate: float, decay_length: int, staircase: bool = False) -> Reference:
    del left, warmup
    return lambda s, b: b / (1 + decay_rate * (math.floor(s / decay_length) if staircase else s / decay_length))


def _exponential(
    left: int, warmup: int, decay_rate: float, decay_length: int = 0, staircase: bool = False, min_lr: float = 0
) -> Reference:
    del warmup
    steps = decay_length or left

    def lr(s: int, b: float) -> float:
        exponent = math.floor(s / steps) if staircase else s / steps
        return max(b * math.exp(math.log(decay_rate) * exponent), min_lr)

    return lr


def _k_decay(
    left: int,
    warmup: int,
    k: float = 1,
    shape: str = "cosine",
    power: float = 1,
    length: int = 0,
    min_lr: float = 0,
    min_ratio: Any = None,
) -> Reference:
    del warmup
    steps = length or left

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        x = min(s, steps) ** k / steps**k
        return end + (b - end) * (0.5 * (1 + math.cos(math.pi * x)) if shape == "cosine" else (1 - x) ** power)

    return lr


def _tanh(
    left: int,
    warmup: int,
    lower: float = -7,
    upper: float = 3,
    length: int = 0,
    min_lr: float = 0,
    min_ratio: Any = None,
) -> Reference:
    del warmup
    steps = length or left

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        if s >= steps:
            return end
        return end + (b - end) * 0.5 * (1 - math.tanh(lower * (1 - s / steps) + upper * s / steps))

    return lr


def _rex(left: int, warmup: int, length: int = 0, min_lr: float = 0, min_ratio: Any = None) -> Reference:
    del warmup
    steps = length or left

    def lr(s: int, b: float) -> float:
        rest = 1 - min(s, steps) / steps
        end = _end(b, min_lr, min_ratio)
        return end + (b - end) * rest / (0.5 + 0.5 * rest)

    return lr


def _range_test(
    left: int, warmup: int, start_lr: float = 1e-7, length: int = 0, mode: str = "exponential", stair_length: int = 1
) -> Reference:
    del warmup
    steps = length or left

    def lr(s: int, b: float) -> float:
        x = min(s // stair_length * stair_length / steps, 1)
        if mode == "linear":
            return start_lr + (b - start_lr) * x
        return math.exp(math.log(start_lr) + (math.log(b) - math.log(start_lr)) * x)

    return lr


def _phases(left: int, warmup: int, phases: list[dict[str, Any]]) -> Reference:
    """Phase by phase, walking from the first."""
    del warmup

    def lr(s: int, b: float) -> float:
        begin, here = 0, b
        for phase in phases:
            length = phase.get("length", left - begin)
            first = phase["from_factor"] * b if "from_factor" in phase else phase.get("from", here)
            last = phase["to_factor"] * b if "to_factor" in phase else phase.get("to", first)
            if s < begin + length:
                x = (s - begin) / length
                return float(
                    {
                        "constant": last,
                        "linear": first * (1 - x) + last * x,
                        "cosine": first + (last - first) * (1 - math.cos(math.pi * x)) / 2,
                        "exponential": first ** (1 - x) * last**x,
                        "1-sqrt": first + (last - first) * x**0.5,
                    }[phase.get("shape", "constant")]
                )
            begin, here = begin + length, last
        return here

    return lr


def _piecewise(left: int, warmup: int, points: list[dict[str, Any]], interpolation: str = "linear") -> Reference:
    del left, warmup

    def lr(s: int, b: float) -> float:
        ends = [(point["at"], point["lr"] if "lr" in point else point["factor"] * b) for point in points]
        before = [end for end in ends if end[0] <= s]
        after = [end for end in ends if end[0] > s]
        if not before or not after:
            return float((before[-1:] or after[:1])[0][1])
        (begin, low), (end, high) = before[-1], after[0]
        x = (s - begin) / (end - begin)
        return float(
            {
                "step": low,
                "linear": low * (1 - x) + high * x,
                "cosine": low + (high - low) * (1 - math.cos(math.pi * x)) / 2,
                "exponential": low ** (1 - x) * high**x,
            }[interpolation]
        )

    return lr


def _table(left: int, warmup: int, values: list[float], are_factors: bool = False, hold: int = 1) -> Reference:
    del left, warmup

    def lr(s: int, b: float) -> float:
        every = [value for value in values for _ in range(hold)]
        return (every[s] if s < len(every) else values[-1]) * (b if are_factors else 1)

    return lr


_REFERENCES: dict[str, Callable[..., Reference]] = {
    "PolynomialDecayLR": _polynomial,
    "CosineLR": _cosine,
    "CosineRestartsLR": _restarts,
    "WSDLR": _wsd,
    "FlatCosineLR": _flat_cosine,
    "InverseSqrtLR": _inverse_sqrt,
    "NoamLR": _noam,
    "TriStageLR": _tri_stage,
    "SlantedTriangularLR": _slanted_triangular,
    "InverseTimeLR": _inverse_time,
    "ExponentialDecayLR": _exponential,
    "KDecayLR": _k_decay,
    "TanhLR": _tanh,
    "REXLR": _rex,
    "RangeTestLR": _range_test,
    "PhasesLR": _phases,
    "PiecewiseLR": _piecewise,
    "TableLR": _table,
}
