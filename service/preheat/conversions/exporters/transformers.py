"""Script for transformers: the name of one of its schedulers, with arguments, warm-up steps and training steps."""

from typing import Any

from preheat.errors import NotExpressible
from preheat.schedule import Schedule
from preheat.specs import Scheduler, Spec, Warmup
from preheat.specs.after_schedulers.decays import CosineLR, InverseSqrtLR, PolynomialDecayLR
from preheat.specs.after_schedulers.restarts import CosineRestartsLR
from preheat.specs.after_schedulers.staged import WSDLR
from preheat.specs.after_schedulers.torch_decays import CosineAnnealingLR

_MOST_CYCLES = 100_000
"""Restarts of which each is looked at."""

_Call = tuple[str, dict[str, Any]]
"""Name of a scheduler, and its own arguments."""


def transformers_script(schedule: Schedule) -> str:
    """A script with `get_scheduler`, and the TrainingArguments that say the same. Raises NotExpressible."""
    spec = schedule.spec
    if len(spec.columns) > 1:
        raise NotExpressible("transformers has one schedule for all param groups, and for the LR alone")
    name, arguments = _call(spec)
    steps = f"num_warmup_steps={spec.warmup.iterations}, num_training_steps={spec.total_iterations}"
    return f"""# Preheat schedule {schedule.id}. With the Trainer the same is
# TrainingArguments(learning_rate={spec.target_lrs[0]!r}, lr_scheduler_type={name!r}, lr_scheduler_kwargs={arguments!r},
#                   warmup_steps={spec.warmup.iterations}, max_steps={spec.total_iterations})
import torch
from transformers import get_scheduler

optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr={spec.target_lrs[0]!r})
scheduler = get_scheduler(
    {name!r}, optimizer, {steps}, scheduler_specific_kwargs={arguments!r}
)

if __name__ == "__main__":
    for n in range({spec.total_iterations + 1}):
        print(*scheduler.get_last_lr())
        optimizer.step()
        scheduler.step()
"""


def _call(spec: Spec) -> _Call:
    after, left = spec.after_scheduler, spec.total_iterations - spec.warmup.iterations
    # its warmup_stable_decay alone starts the warm-up at the LR where the decay ends
    start_factor = (after.min_ratio or 0.0) if isinstance(after, WSDLR) else 0.0
    _check_warmup(spec.warmup, start_factor)
    if after is None:
        return ("constant_with_warmup", {}) if spec.warmup.iterations else ("constant", {})
    # The one decay of transformers that takes no num_training_steps, so that its length is not checked.
    if isinstance(after, InverseSqrtLR) and after.shift == 0:
        return "inverse_sqrt", {"timescale": after.timescale}
    _check_length(after, left)
    match after:
        case PolynomialDecayLR(cycle=False):
            return _polynomial(after, spec.target_lrs[0])
        case CosineLR(exponent=1.0) | CosineAnnealingLR():
            return _cosine(after)
        # its cycles divide what is left of the run, so whole ones must fit
        case CosineRestartsLR(T_0=int(length), T_mult=1.0, decay=1.0, min_lr=0.0, cycles=cycles) if left % length == 0:
            if cycles == left // length:
                return _restarts(cycles, length)
        case WSDLR(decay=("linear" | "cosine" | "1-sqrt") as decay, decay_length=int(length)) if not after.min_lr:
            # without num_stable_steps transformers takes all that warm-up and decay leave of the run
            return "warmup_stable_decay", {
                "num_decay_steps": length,
                "decay_type": decay,
                "min_lr_ratio": after.min_ratio or 0.0,
            }
    raise NotExpressible(
        f"transformers has no scheduler for this {after.type}: export to torch, and pass the Trainer "
        "optimizers=(optimizer, scheduler)"
    )


def _restarts(cycles: int, length: int) -> _Call:
    # As transformers computes it: rounded down, the first iteration of a cycle would be the end of the one before.
    starts = range(length, length * min(cycles, _MOST_CYCLES), length)
    late = next((n for n in starts if float(cycles) * (n / (cycles * length)) % 1.0 > 0.5), None)  # noqa: PLR2004
    if late is not None or cycles > _MOST_CYCLES:
        what = (
            f"rounds its restart {late} iterations after the warm-up" if late else f"may round one of {cycles} restarts"
        )
        raise NotExpressible(f"transformers {what} to an LR of 0: export to torch")
    return "cosine_with_restarts", {"num_cycles": cycles}


def _polynomial(after: PolynomialDecayLR, target_lr: float) -> _Call:
    end = after.min_ratio * target_lr if after.min_ratio is not None else after.min_lr or 0.0
    if after.power == 1 and end == 0:
        return "linear", {}
    # get_polynomial_decay_schedule_with_warmup raises a ValueError for such an end.
    if end >= target_lr:
        raise NotExpressible(f"transformers' polynomial needs an end LR ({end:g}) below the target ({target_lr:g})")
    # lr_end is written even where it is 0: its default is 1e-7.
    return "polynomial", {"lr_end": end, "power": after.power}


def _cosine(after: CosineLR | CosineAnnealingLR) -> _Call:
    num_cycles = after.num_cycles if isinstance(after, CosineLR) else 0.5
    min_lr = after.min_lr if isinstance(after, CosineLR) else after.eta_min
    # cosine_with_min_lr takes either min_lr_rate or min_lr, and raises a ValueError for both.
    if isinstance(after, CosineLR) and after.min_ratio is not None:
        return "cosine_with_min_lr", {"num_cycles": num_cycles, "min_lr_rate": after.min_ratio}
    if min_lr:
        return "cosine_with_min_lr", {"num_cycles": num_cycles, "min_lr": min_lr}
    return "cosine", {"num_cycles": num_cycles}


def _check_warmup(warmup: Warmup, start_factor: float) -> None:
    theirs = Warmup(iterations=warmup.iterations, start_factor=start_factor or None)
    if warmup.iterations and warmup != theirs:
        start = f"start_factor {start_factor:g}" if start_factor else "0"
        raise NotExpressible(
            f"transformers warms up linearly by n/W from {start}, with the decay after it; this warm-up is different"
        )


def _check_length(after: Scheduler, left: int) -> None:
    # T_max is the length of a CosineAnnealingLR; without either the decay takes what is left
    length = getattr(after, "length", None) or getattr(after, "T_max", None) or left
    if length != left:
        raise NotExpressible(
            f"transformers' decays end with the run, {left} iterations after the warm-up; this one takes {length}"
        )
