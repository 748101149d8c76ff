"""Every shape in plain math, written from its source and not from the code: the LR at iteration s of its own clock.

b is the target LR, N what is left of the run, W the warm-up before it.
"""

import math
from collections.abc import Callable
from typing import Any

Reference = Callable[[int, float], float]


def reference(spec: dict[str, Any], left: int, warmup: int) -> Reference:
    """LR by iteration and target LR, of a spec as a user writes it."""
    parameters = {name: value for name, value in spec.items() if name != "type"}
    return _REFERENCES[spec["type"]](N=left, W=warmup, **parameters)


def _end(b: float, min_lr: float, min_ratio: float | None) -> float:
    return min_lr if min_ratio is None else min_ratio * b


def polynomial(N: int, W: int, length: int = 0, power: float = 1, min_lr: float = 0, min_ratio: Any = None, cycle: bool = False) -> Reference:  # noqa: E501
    del W
    steps = length or N

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        within = steps * max(1, math.ceil(s / steps)) if cycle else steps
        return (b - end) * (1 - min(s, within) / within) ** power + end

    return lr


def cosine(N: int, W: int, length: int = 0, min_lr: float = 0, min_ratio: Any = None, num_cycles: float = 0.5, exponent: float = 1) -> Reference:  # noqa: E501
    del W
    steps = length or N

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        wave = 0.5 * (1 + math.cos(math.pi * 2 * num_cycles * min(s, steps) / steps))
        return float(end + (b - end) * wave**exponent)

    return lr


def restarts(N: int, W: int, T_0: int = 0, T_mult: float = 1, decay: float = 1, cycles: Any = None, min_lr: float = 0, periods: Any = None, weights: Any = None) -> Reference:  # noqa: E501, N803
    """Cycle by cycle, walking from the first."""
    del N, W

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


def wsd(N: int, W: int, length: int = 0, decay_length: Any = None, decay: str = "linear", power: float = 0.5, decay_ratio: float = 0.5, min_lr: float = 0, min_ratio: Any = None) -> Reference:  # noqa: E501
    steps = length or N
    fall = round((N + W) / 10) if decay_length is None else decay_length

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        if s <= steps - fall:
            return b
        x = min((s - (steps - fall)) / fall, 1)
        height = {
            "linear": 1 - x,
            "cosine": 0.5 * (1 + math.cos(math.pi * x)),
            "1-sqrt": 1 - x**0.5,
            "power": 1 - x**power,
            "exponential": (decay_ratio**x - decay_ratio) / (1 - decay_ratio),
        }[decay]
        return end + (b - end) * height

    return lr


def flat_cosine(N: int, W: int, length: int = 0, flat_length: Any = None, min_lr: float = 0, min_ratio: Any = None) -> Reference:
    del W
    steps = length or N
    flat = int(steps * 0.75) if flat_length is None else flat_length

    def lr(s: int, b: float) -> float:
        x = min(max(s - flat, 0) / (steps - flat), 1)
        end = _end(b, min_lr, min_ratio)
        return end + (b - end) * math.cos(math.pi * x / 2) ** 2

    return lr


def inverse_sqrt(N: int, W: int, timescale: int = 0, shift: int = 0) -> Reference:
    del N
    scale = timescale or W or 10_000
    return lambda s, b: b / math.sqrt((s + shift + scale) / scale)


def noam(N: int, W: int, d_model: int, warmup_iterations: int, factor: float = 1) -> Reference:
    del N, W
    return lambda s, b: (
        b * factor / math.sqrt(d_model) * min(1 / math.sqrt(max(s, 1)), max(s, 1) / warmup_iterations**1.5)
    )


def tri_stage(N: int, W: int, warmup_iterations: int, hold_iterations: int, decay_iterations: int, init_ratio: float = 0.01, final_ratio: float = 0.01) -> Reference:  # noqa: E501
    del N, W

    def lr(s: int, b: float) -> float:
        if s < warmup_iterations:
            return b * init_ratio + (b - b * init_ratio) / warmup_iterations * s
        past = s - warmup_iterations - hold_iterations
        if past <= 0:
            return b
        return b * math.exp(math.log(final_ratio) * min(past / decay_iterations, 1))

    return lr


def slanted_triangular(N: int, W: int, length: int = 0, cut_share: float = 0.1, ratio: float = 32) -> Reference:
    del W
    steps = length or N
    cut = math.floor(steps * cut_share)

    def lr(s: int, b: float) -> float:
        p = s / cut if s < cut else max(1 - (s - cut) / (steps - cut), 0)
        return b * (1 + p * (ratio - 1)) / ratio

    return lr


def inverse_time(N: int, W: int, decay_rate: float, decay_length: int, staircase: bool = False) -> Reference:
    del N, W
    return lambda s, b: b / (1 + decay_rate * (math.floor(s / decay_length) if staircase else s / decay_length))


def exponential(N: int, W: int, decay_rate: float, decay_length: int = 0, staircase: bool = False, min_lr: float = 0) -> Reference:
    del W
    steps = decay_length or N

    def lr(s: int, b: float) -> float:
        exponent = math.floor(s / steps) if staircase else s / steps
        return max(b * math.exp(math.log(decay_rate) * exponent), min_lr)

    return lr


def k_decay(N: int, W: int, k: float = 1, shape: str = "cosine", power: float = 1, length: int = 0, min_lr: float = 0, min_ratio: Any = None) -> Reference:  # noqa: E501
    del W
    steps = length or N

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        x = min(s, steps) ** k / steps**k
        return end + (b - end) * (0.5 * (1 + math.cos(math.pi * x)) if shape == "cosine" else (1 - x) ** power)

    return lr


def tanh(N: int, W: int, lower: float = -7, upper: float = 3, length: int = 0, min_lr: float = 0, min_ratio: Any = None) -> Reference:
    del W
    steps = length or N

    def lr(s: int, b: float) -> float:
        end = _end(b, min_lr, min_ratio)
        if s >= steps:
            return end
        return end + (b - end) * 0.5 * (1 - math.tanh(lower * (1 - s / steps) + upper * s / steps))

    return lr


def rex(N: int, W: int, length: int = 0, min_lr: float = 0, min_ratio: Any = None) -> Reference:
    del W
    steps = length or N

    def lr(s: int, b: float) -> float:
        left = 1 - min(s, steps) / steps
        end = _end(b, min_lr, min_ratio)
        return end + (b - end) * left / (0.5 + 0.5 * left)

    return lr


def range_test(N: int, W: int, start_lr: float = 1e-7, length: int = 0, mode: str = "exponential", stair_length: int = 1) -> Reference:
    del W
    steps = length or N

    def lr(s: int, b: float) -> float:
        x = min(s // stair_length * stair_length / steps, 1)
        if mode == "linear":
            return start_lr + (b - start_lr) * x
        return math.exp(math.log(start_lr) + (math.log(b) - math.log(start_lr)) * x)

    return lr


def phases(N: int, W: int, phases: list[dict[str, Any]]) -> Reference:
    """Phase by phase, walking from the first."""
    del W

    def lr(s: int, b: float) -> float:
        begin, here = 0, b
        for phase in phases:
            length = phase.get("length", N - begin)
            first = phase.get("from", here)
            last = phase.get("to", first)
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


def piecewise(N: int, W: int, points: list[dict[str, Any]], interpolation: str = "linear") -> Reference:
    del N, W

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


def table(N: int, W: int, values: list[float], are_factors: bool = False, hold: int = 1) -> Reference:
    del N, W

    def lr(s: int, b: float) -> float:
        every = [value for value in values for _ in range(hold)]
        return (every[s] if s < len(every) else values[-1]) * (b if are_factors else 1)

    return lr


_REFERENCES: dict[str, Callable[..., Reference]] = {
    "PolynomialDecayLR": polynomial,
    "CosineLR": cosine,
    "CosineRestartsLR": restarts,
    "WSDLR": wsd,
    "FlatCosineLR": flat_cosine,
    "InverseSqrtLR": inverse_sqrt,
    "NoamLR": noam,
    "TriStageLR": tri_stage,
    "SlantedTriangularLR": slanted_triangular,
    "InverseTimeLR": inverse_time,
    "ExponentialDecayLR": exponential,
    "KDecayLR": k_decay,
    "TanhLR": tanh,
    "REXLR": rex,
    "RangeTestLR": range_test,
    "PhasesLR": phases,
    "PiecewiseLR": piecewise,
    "TableLR": table,
}
