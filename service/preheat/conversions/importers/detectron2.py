"""Import of detectron2's configuration (its YAML): what stands under SOLVER."""

import math
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.known import Known
from preheat.conversions.number import number
from preheat.errors import NotImportable

_EPSILON = 1e-6
"""What fvcore adds to the share of the run that is over before it looks for a milestone."""

_NAMES = ("WarmupMultiStepLR", "WarmupCosineLR", "WarmupStepWithFixedGammaLR")


def from_detectron2(source: Any, known: Known) -> Imported:
    """A spec from SOLVER. Raises NotImportable.

    detectron2/solver/build.py and lr_scheduler.py, fvcore/common/param_scheduler.py: at iteration n the LR is BASE_LR
    times a function of n / MAX_ITER. The warm-up goes from WARMUP_FACTOR to where that function is at WARMUP_ITERS, so
    that a cosine's never reaches BASE_LR; with RESCALE_INTERVAL it begins after the warm-up instead.
    """
    fields, notes = Fields(source), list[NotCarried]()
    fields.refuse("_BASE_", "has more fields in another file: import what cfg.dump() writes, or merge it in")
    solver = fields.fields("SOLVER")
    _check_scale(solver)
    lr, total = known.lr(solver.number("BASE_LR", 0.001)), known.length(solver.count("MAX_ITER", 40_000))
    warmup = known.warmup(solver.count("WARMUP_ITERS", 1000))
    if warmup >= total:
        raise NotImportable(f"SOLVER.WARMUP_ITERS ({warmup}) must be below MAX_ITER ({total})")
    factor, rescaled = solver.number("WARMUP_FACTOR", 1.0 / 1000), solver.flag("RESCALE_INTERVAL")
    method = solver.choice("WARMUP_METHOD", ("linear", "constant"), "linear")
    name = solver.choice("LR_SCHEDULER_NAME", _NAMES, "WarmupMultiStepLR")
    clock = "after_warmup" if rescaled else "from_zero"
    rise: dict[str, Any] = {"iterations": warmup, "start_factor": factor, "shape": method, "decay_clock": clock}
    if name == "WarmupCosineLR":
        low = solver.number("BASE_LR_END", 0.0)
        if not rescaled and warmup and method == "linear":
            return Imported(known.spec(lr, total, _cosine(lr, low, total, warmup, factor)), _left(fields, solver, name))
        length = total - warmup if rescaled else total
        after: dict[str, Any] | None = {"type": "CosineLR", "length": length, "min_lr": low}
    else:
        after = _steps(solver, name, total, warmup if rescaled else 0, notes)
        if not rescaled and after["milestones"] and after["milestones"][0] <= warmup:
            raise NotImportable(
                f"SOLVER.STEPS must lie after WARMUP_ITERS ({warmup}): the warm-up would end below BASE_LR"
            )
        after = after if after["milestones"] else None
    return Imported(known.spec(lr, total, after, warmup=rise), notes + _left(fields, solver, name))


def _left(fields: Fields, solver: Fields, name: str) -> list[NotCarried]:
    return solver.unused(("GAMMA", "STEPS", "NUM_DECAYS", "BASE_LR_END"), name) + fields.left(HARMLESS["detectron2"])


def _cosine(lr: float, low: float, total: int, warmup: int, factor: float) -> dict[str, Any]:
    """A cosine from iteration 0 on, and a warm-up that ends where it is by then."""
    floor = low / lr if lr else 0.0
    peak = floor + (1 - floor) * (1 + math.cos(math.pi * warmup / total)) / 2
    wave = f"{floor!r} + {1 - floor!r} * (1 + cos(pi * s / {total})) / 2"
    rise = f"{factor!r} * (1 - s / {warmup}) + {peak!r} * s / {warmup}"
    return {"type": "ExpressionLR", "expression": f"{rise} if s < {warmup} else {wave}"}


def _steps(solver: Fields, name: str, total: int, warmup: int, notes: list[NotCarried]) -> dict[str, Any]:
    """Milestones on the clock of the whole run, or, rescaled, on what follows the warm-up."""
    gamma = solver.number("GAMMA", 0.1)
    if name == "WarmupStepWithFixedGammaLR":
        decays = solver.count("NUM_DECAYS", 3)
        # the run in NUM_DECAYS + 1 equal parts, with a decay at the end of each but the last
        steps = [total * (index + 1) / (decays + 1) for index in range(min(decays, 1000))]
    else:
        steps = _milestones(solver)
        beyond = [step for step in steps if step > total]
        if beyond:
            listed = ", ".join(f"{step:g}" for step in beyond)
            notes.append(NotCarried("SOLVER.STEPS", f"({listed}) are ignored by detectron2: they lie beyond MAX_ITER"))
        steps = [step for step in steps if step <= total]
        if total in steps:
            raise NotImportable(f"SOLVER.STEPS ({total}) must be below MAX_ITER ({total}), as detectron2 requires")
    # fvcore compares shares of the run: from a million iterations on, its epsilon lets a milestone come early.
    # The 1e-9 keeps a rounding in the product from lifting a whole milestone to the next iteration.
    share = (total - warmup) / total
    milestones = [math.ceil((step - _EPSILON * total) * share - 1e-9) for step in steps]
    return {"type": "MultiStepLR", "milestones": milestones, "gamma": gamma}


def _milestones(solver: Fields) -> list[float]:
    """STEPS; in YAML a tuple is a text such as (60000, 80000)."""
    steps = solver.take("STEPS", [30_000])
    if not isinstance(steps, str):
        return solver.numbers("STEPS", [30_000])
    return [number("SOLVER.STEPS", step.strip()) for step in steps.strip("()[] ").split(",") if step.strip()]


def _check_scale(solver: Fields) -> None:
    if solver.number("BIAS_LR_FACTOR", 1.0) != 1:
        raise NotImportable("SOLVER.BIAS_LR_FACTOR gives biases an LR of their own: write them as a param group")
    # 0 is detectron2's default, and turns the rescaling off.
    size = solver.number("REFERENCE_WORLD_SIZE", 0)
    if size:
        raise NotImportable(
            f"SOLVER.REFERENCE_WORLD_SIZE ({size:g}) rescales LR and iterations by the number of GPUs: set it to 0"
        )
