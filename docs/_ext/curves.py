"""Curves of schedules as inline SVG, in the colours of the page's theme."""

from typing import Any

import facts

_WIDTH, _HEIGHT, _POINTS = 640, 130, 641
_LEFT, _TOP, _BOTTOM = 4, 8, 18

EXAMPLES: dict[str, dict[str, Any]] = {
    "ConstantLR": {"total_iters": 40, "warmup": 0},
    "LinearLR": {"end_factor": 0.0, "start_factor": 1.0, "total_iters": 80},
    "PolynomialLR": {"total_iters": 90, "power": 2.0},
    "ExponentialLR": {"gamma": 0.97},
    "MultiplicativeLR": {"lr_lambda": 0.96},
    "MultiStepLR": {"milestones": [30, 60]},
    "CosineAnnealingWarmRestarts": {"T_0": 12, "T_mult": 2},
    "CyclicLR": {"base_lr": 0.001, "max_lr": 0.01, "step_size_up": 10, "warmup": 0},
    "OneCycleLR": {"max_lr": 0.01, "warmup": 0},
    "SWALR": {"swa_lr": 0.003, "anneal_epochs": 30},
    "SequentialLR": {
        "schedulers": [{"type": "LinearLR", "total_iters": 20}, {"type": "CosineAnnealingLR"}],
        "milestones": [20],
        "warmup": 0,
    },
    "ChainedScheduler": {
        "schedulers": [{"type": "LinearLR", "total_iters": 30}, {"type": "ExponentialLR", "gamma": 0.97}],
        "warmup": 0,
    },
    "CosineRestartsLR": {"T_0": 30, "decay": 0.6},
    "WSDLR": {"decay_length": "20%"},
    "NoamLR": {"d_model": 512, "warmup_iterations": 20, "warmup": 0},
    "TriStageLR": {"warmup_iterations": "10%", "hold_iterations": "40%", "decay_iterations": "50%", "warmup": 0},
    "SlantedTriangularLR": {"warmup": 0},
    "InverseTimeLR": {"decay_rate": 0.5, "decay_length": 9},
    "ExponentialDecayLR": {"decay_rate": 0.5, "decay_length": 20, "staircase": True},
    "RangeTestLR": {"warmup": 0},
    "PhasesLR": {
        "phases": [{"length": 30}, {"shape": "cosine", "length": 40, "to": 0.003}, {"length": 10}, {"to": 0.0}]
    },
    "TableLR": {"values": [1.0, 0.6, 0.8, 0.3, 0.5, 0.1], "are_factors": True, "hold": 15},
    "ExpressionLR": {"expression": "(0.55 + 0.45 * cos(s / 5)) * 0.98 ** s"},
    "ProductLR": {"schedulers": [{"type": "CosineLR"}, {"type": "ExponentialLR", "gamma": 0.98}]},
    "MaxLR": {"schedulers": [{"type": "CosineLR"}, {"type": "CosineAnnealingWarmRestarts", "T_0": 15}]},
    "MinLR": {"schedulers": [{"type": "CosineLR"}, {"type": "ExponentialLR", "gamma": 0.98}]},
    "ClampLR": {"scheduler": {"type": "CosineLR"}, "min_ratio": 0.3, "max_ratio": 0.8},
    "WindowLR": {"scheduler": {"type": "CosineLR"}, "begin": 20, "end": 70},
    "CooldownLR": {"scheduler": {"type": "InverseSqrtLR", "timescale": 20}, "length": "25%"},
    "StaircaseLR": {"scheduler": {"type": "CosineLR"}, "hold": 10},
}
"""Fields that make a telling picture, where the examples of a scheduler's required fields do not."""


def example(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """A spec over 100 iterations for one scheduler: our example, else the examples of its required fields."""
    fields = EXAMPLES.get(name) or {
        field: schema["properties"][field]["examples"][0] for field in schema.get("required", []) if field != "type"
    }
    after_scheduler = {"type": name} | {field: value for field, value in fields.items() if field != "warmup"}
    spec = {"target_lr": 0.01, "total_iterations": 100, "warmup": {"iterations": fields.get("warmup", 10)}}
    return spec | {"after_scheduler": after_scheduler}


def svg(spec: dict[str, Any]) -> str:
    """The first param group's LR from iteration 0 to the end; the warm-up is shaded, the target a dashed line."""
    curve = facts.curve_of(spec)
    normalised, total = curve.schedule.spec, curve.total_iterations
    step = max(total // (_POINTS - 1), 1)
    iterations = range(0, total + 1, step)
    lrs: list[float] = curve.window(0, total + 1, step)[:, 0].tolist()
    top: float = max([*lrs, normalised.target_lrs[0]])
    bottom = _HEIGHT - _BOTTOM

    def x(n: float) -> float:
        return _LEFT + (_WIDTH - 2 * _LEFT) * n / total

    def y(lr: float) -> float:
        return bottom - (bottom - _TOP) * lr / top

    points = " ".join(f"{x(n):.1f},{y(lr):.1f}" for n, lr in zip(iterations, lrs, strict=True))
    target = y(normalised.target_lrs[0])
    warmup = max(normalised.warmup.last, 0)
    return (
        f'<svg class="lr-curve" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Learning rate by iteration">'
        f'<rect class="warmup" x="{x(0):.1f}" y="{_TOP}" width="{x(warmup) - x(0):.1f}" height="{bottom - _TOP}"/>'
        f'<line class="target" x1="{x(0)}" x2="{x(total)}" y1="{target:.1f}" y2="{target:.1f}"/>'
        f'<line class="axis" x1="{x(0)}" x2="{x(total)}" y1="{bottom}" y2="{bottom}"/>'
        f'<polyline points="{points}"/>'
        f'<text x="{x(0)}" y="{_HEIGHT - 4}">0</text>'
        f'<text x="{x(total)}" y="{_HEIGHT - 4}" text-anchor="end">n = {total:,}</text>'
        f'<text x="{x(total)}" y="{target - 3 if target > _TOP + 6 else target + 12:.1f}" text-anchor="end">'
        f"target {normalised.target_lrs[0]:g}</text></svg>"
    )
