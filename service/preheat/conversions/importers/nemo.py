"""Import of NeMo's configuration (its YAML): optim and its sched, with the trainer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.known import Known
from preheat.errors import NotImportable


def from_nemo(source: Any, known: Known) -> Imported:
    """A spec from model.optim, or optim alone, and trainer.max_steps. Raises NotImportable.

    nemo/core/optim/lr_scheduler.py: (n + 1) / (W + 1) up to and including iteration W, then the scheduler, and min_lr
    past max_steps. CosineAnnealing with constant_steps warms up by n / W instead, and ends so many steps earlier.
    """
    fields = Fields(source)
    optim = fields.fields("model").fields("optim") if "model" in fields else fields.fields("optim")
    sched, trainer = optim.fields("sched"), fields.fields("trainer")
    if "args" in sched:
        raise NotImportable("optim.sched.args is an older form: write what it has into optim.sched")
    name = sched.choice("name", _SCHEDULERS, by_metric={"ReduceLROnPlateau"})
    sched.refuse("reduce_on_plateau", "follows a metric")
    sched.take("monitor")
    if sched.number("last_epoch", -1) != -1:
        raise NotImportable("optim.sched.last_epoch must be -1: a schedule begins at its iteration 0")
    if sched.text("interval", "step") != "step" or sched.number("frequency", 1) != 1:
        raise NotImportable("optim.sched.interval must be step, and frequency 1: the LR would move more rarely")
    # -1 is Lightning's default for max_steps
    total = known.length(trainer.limit("max_steps") or sched.limit("max_steps"))
    steps = sched.limit("max_steps") or total
    lr = known.lr(optim.optional_number("lr"))
    warmup = known.warmup(_part(sched, "warmup", steps))
    low = sched.number("min_lr", _MIN_LR.get(name, 0.0))
    if lr < low:
        raise NotImportable(f"optim.lr ({lr:g}) must not be below sched.min_lr ({low:g}), as NeMo requires")
    if warmup >= steps or steps < total:
        raise NotImportable(
            f"max_steps ({steps}) must exceed the warm-up ({warmup}), and reach the end of the run ({total})"
        )
    after, convention = _SCHEDULERS[name](sched, _Run(lr, low, warmup, steps))
    parts = {"warmup": {"iterations": warmup, "convention": convention}} if convention else {}
    # NeMo computes max_steps from these where it is not given.
    notes = (
        [NotCarried("trainer.max_epochs", "may end the run before max_steps")] if trainer.limit("max_epochs") else []
    )
    notes += sched.unused(("t_max_epochs", "iters_per_batch"), "NeMo beside max_steps")
    return Imported(known.spec(lr, total, after, **parts), notes + fields.left(HARMLESS["nemo"]))


@dataclass(frozen=True)
class _Run:
    """What every scheduler of NeMo has."""

    lr: float
    low: float
    warmup: int
    steps: int

    @property
    def left(self) -> int:
        """Steps after the warm-up."""
        return self.steps - self.warmup

    @property
    def floor(self) -> float:
        """min_lr as a share of lr."""
        return self.low / self.lr if self.lr else 0.0


def _part(sched: Fields, name: str, steps: int) -> int:
    """Steps, or a share of max_steps, rounded down."""
    given, ratio = sched.optional_count(f"{name}_steps"), sched.optional_number(f"{name}_ratio")
    if given is not None and ratio is not None:
        raise NotImportable(f"sched.{name}_steps must not stand beside {name}_ratio, as NeMo requires")
    return int(ratio * steps) if ratio is not None else given or 0


def _policy(_sched: Fields, _run: _Run) -> tuple[dict[str, Any] | None, str]:
    return None, _NEMO


def _cosine(sched: Fields, run: _Run) -> tuple[dict[str, Any] | None, str]:
    constant = _part(sched, "constant", run.steps)
    length = run.left - constant
    if length < 1:
        raise NotImportable(f"sched.constant_steps ({constant}) must leave steps for the decay")
    return {"type": "CosineLR", "length": length, "min_lr": run.low}, "n/W" if constant else _NEMO


def _line(_sched: Fields, run: _Run) -> tuple[dict[str, Any] | None, str]:
    return {"type": "PolynomialDecayLR", "length": run.left, "min_lr": run.low}, _NEMO


def _polynomial(sched: Fields, run: _Run) -> tuple[dict[str, Any] | None, str]:
    if sched.flag("cycle"):
        raise NotImportable("sched.cycle has no effect within max_steps: remove it")
    power = sched.number("power", 1.0)
    return {"type": "PolynomialDecayLR", "length": run.left, "min_lr": run.low, "power": power}, _NEMO


def _square(_sched: Fields, run: _Run) -> tuple[dict[str, Any] | None, str]:
    return {"type": "ExpressionLR", "expression": f"max((1 - s / {run.left}) ** 2, {run.floor!r})"}, _NEMO


def _square_root(_sched: Fields, run: _Run) -> tuple[dict[str, Any] | None, str]:
    """Its clock counts from 0, so that it jumps down where the warm-up ends."""
    rest = f"max(1 - (s + {run.warmup}) / {run.steps}, 0)"
    after = f"(1 if s < 1 else max(sqrt({rest}), {run.floor!r}))" if run.warmup else f"max(sqrt({rest}), {run.floor!r})"
    return {"type": "ExpressionLR", "expression": after}, _NEMO


def _inverse_square_root(_sched: Fields, run: _Run) -> tuple[dict[str, Any] | None, str]:
    # lr · √((W + 1) / (n + 1)), so that the time scale is one more than the warm-up.
    return {"type": "InverseSqrtLR", "timescale": run.warmup + 1}, _NEMO


def _noam(sched: Fields, run: _Run) -> tuple[dict[str, Any] | None, str]:
    """The LR lr · d_model^−½ · min(s^−½, s · W^−1.5), at 0 as at 1; not below min_lr after the warm-up."""
    model, n = sched.count("d_model"), "max(s, 1)"
    if not model:
        raise NotImportable("sched.d_model must be > 0")
    fall = f"{n} ** -0.5"
    whole = f"{model} ** -0.5 * " + (f"min({fall}, {n} * {run.warmup} ** -1.5)" if run.warmup else fall)
    floored = f"({whole} if {n} <= {run.warmup} else max({whole}, {run.floor!r}))"
    return {"type": "ExpressionLR", "expression": floored}, ""


_NEMO = "(n+1)/(W+1)"
# The default of this scheduler alone; the others go down to 0.
_MIN_LR = {"SquareAnnealing": 1e-5}

_SCHEDULERS: dict[str, Callable[[Fields, _Run], tuple[dict[str, Any] | None, str]]] = {
    "WarmupPolicy": _policy,
    "CosineAnnealing": _cosine,
    "WarmupAnnealing": _line,
    "PolynomialDecayAnnealing": _polynomial,
    "SquareAnnealing": _square,
    "SquareRootAnnealing": _square_root,
    "InverseSquareRootAnnealing": _inverse_square_root,
    "NoamAnnealing": _noam,
}
"""How each scheduler is read: what follows the warm-up, and its convention; none where it is one formula."""
