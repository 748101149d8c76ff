"""Import of MMEngine's configuration: its Python file, or what that comes to."""

import ast
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.forms import plain
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported
from preheat.conversions.known import Known
from preheat.conversions.number import count
from preheat.conversions.python_values import NotAValue, PythonValues, parsed
from preheat.errors import NotImportable
from preheat.formula.language import checked, compiled

_MAX_CHARACTERS = 100_000
_MAX_SCHEDULERS = 20


def from_mmengine(source: Any, known: Known) -> Imported:
    """A spec from param_scheduler, optim_wrapper and train_cfg. Raises NotImportable.

    mmengine/optim/scheduler/param_scheduler.py: each scheduler acts from `begin` to the iteration before `end`, by a
    factor on what the others leave; LinearLR, ConstantLR and PolyLR are at their end at end − 1, cosines at end. Those
    by epoch step at its end, or at every iteration with convert_to_iter_based. An iteration is an epoch where the
    training and every scheduler go by epochs.
    """
    fields = Fields(_python_values(source) if isinstance(source, str) else source)
    known.without_warmup("param_scheduler")
    if "lr_config" in fields or "_base_" in fields:
        name = "lr_config" if "lr_config" in fields else "_base_"
        rule = "is MMCV 1's: write it as param_scheduler" if name == "lr_config" else "has more fields in other files"
        raise NotImportable(f"{name} {rule}: import what `print_config.py` writes")
    wrapper = fields.fields("optim_wrapper")
    lr = known.lr(wrapper.fields("optimizer").optional_number("lr")) * _scale(fields, known)
    _check_groups(wrapper)
    given = fields.take("param_scheduler", [])
    schedulers = Fields({"param_scheduler": [given] if isinstance(given, dict) else given}).each("param_scheduler")
    if not 0 < len(schedulers) <= _MAX_SCHEDULERS:
        raise NotImportable(f"param_scheduler must be a list of 1 to {_MAX_SCHEDULERS} schedulers")
    clock = _Clock.of(fields, schedulers, known)
    windows = [_window(scheduler, clock, lr) for scheduler in schedulers]
    expression = _expression(windows, lr)
    spec = known.spec(lr, clock.total, {"type": "ExpressionLR", "expression": expression})
    unread = [f"param_scheduler.{name}" for each in schedulers for name in each.unread]
    if unread:
        raise NotImportable(f"{unread[0]} may change the LR, and an import from mmengine does not know it")
    return Imported(spec, fields.left(HARMLESS["mmengine"]))


def _scale(fields: Fields, known: Known) -> float:
    """What auto_scale_lr multiplies the LR by: the batch of all devices over base_batch_size (Runner.scale_lr)."""
    scale = fields.fields("auto_scale_lr")
    base, is_on = scale.optional_count("base_batch_size"), scale.flag("enable")
    if not is_on or known.target_lr is not None:
        return 1.0
    if not base or known.devices is None:
        raise NotImportable(
            "auto_scale_lr multiplies the LR by the batch of all devices over base_batch_size: give devices, or "
            "target_lr"
        )
    return _batch_size(fields, known) * known.devices / base


@dataclass(frozen=True)
class _Clock:
    """Iterations of the run and of an epoch, which is 1 where an iteration is an epoch; and the epochs of the run."""

    total: int
    epoch: int
    epochs: int

    @classmethod
    def of(cls, fields: Fields, schedulers: list[Fields], known: Known) -> "_Clock":
        """The clock of a configuration. Raises NotImportable."""
        train = fields.fields("train_cfg")
        for name in ("type", "val_interval", "val_begin", "by_epoch", "dynamic_intervals"):
            train.take(name)
        epochs, iterations = train.optional_count("max_epochs"), train.optional_count("max_iters")
        if epochs and iterations:
            raise NotImportable(
                "train_cfg.max_epochs must not stand beside max_iters: MMEngine's loops have one of both"
            )
        by_epoch = [each.flag("by_epoch", True) for each in schedulers]
        converted = [each.flag("convert_to_iter_based") for each in schedulers]
        if iterations is None and all(by_epoch) and not any(converted):
            total = known.length(known.whole_epochs(epochs))
            return cls(total, 1, total)
        each = None if known.dataset_size is None else known.updates_per_epoch(_batch_size(fields, known), 1)
        if any(by_epoch) and each is None and not iterations:
            raise NotImportable(
                "dataset_size is required: schedulers by iteration beside epochs need the number of iterations of one "
                "(give the batch_size and devices too)"
            )
        if each is None and any(by_epoch):
            raise NotImportable("dataset_size is required: a scheduler by epoch in a run by iterations")
        # MMEngine has a run by iterations for one epoch.
        run_epochs = 1 if iterations else known.whole_epochs(epochs)
        by_epochs = run_epochs * each if run_epochs and each else None
        total = known.length(iterations or by_epochs, "give dataset_size and batch_size")
        return cls(total, each or 1, run_epochs or 1)


def _batch_size(fields: Fields, known: Known) -> int:
    """The batch of one device: MMEngine has no default for it."""
    loader = fields.take("train_dataloader")
    size = loader.get("batch_size") if isinstance(loader, dict) else None
    if size is None and known.batch_size is None:
        raise NotImportable("batch_size is required: the source has no train_dataloader.batch_size")
    return known.batch_size or count("train_dataloader.batch_size", size, least=1)


@dataclass(frozen=True)
class _Window:
    """A scheduler's factor as an expression of its own iteration `k`, at most `last`; it is 1 before `begin`.

    `low` is its end LR where that is absolute, with the height of the rest as `factor`. `turns_at` is the iteration of
    its own where it is at its end and turns, which only a cosine does.
    """

    begin: int
    last: int
    unit: int
    factor: str
    low: float = 0.0
    turns_at: int | None = None

    def text(self, base: float) -> str:
        """The factor in s, where the LR that it begins from is `base`."""
        clock = f"floor(s / {self.unit})" if self.unit > 1 else "s"
        k = f"min({clock} - {self.begin}, {self.last})" if self.last < _ENDLESS else f"({clock} - {self.begin})"
        # No function or constant in a factor has a k in its name, so that plain text will do.
        text = self.factor.replace("k", k)
        if self.low:
            share = self.low / base if base else 0.0
            text = f"({share!r} + {1 - share!r} * {text})"
        return text if not self.begin else f"(1 if {clock} < {self.begin} else {text})"


def _window(scheduler: Fields, clock: _Clock, lr: float) -> _Window:
    name = scheduler.choice("type", (*_SHAPES, "CosineAnnealingLR"), by_metric={"ReduceOnPlateauLR"})
    by_epoch, converted = scheduler.flag("by_epoch", True), scheduler.flag("convert_to_iter_based")
    if scheduler.number("last_step", -1) != -1:
        raise NotImportable(f"{scheduler.path('last_step')} must be -1: a schedule begins at its iteration 0")
    for unused in ("verbose", "_scope_"):
        scheduler.take(unused)
    # A converted scheduler steps every iteration, its begin, end and steps times the epoch's length.
    # Another by epoch steps once an epoch: its clock is ⌊s / unit⌋.
    scale = clock.epoch if by_epoch and converted else 1
    unit = clock.epoch if by_epoch and not converted else 1
    begin = scheduler.count("begin", 0) * scale
    # Runner.build_param_scheduler sets an end that is not given to that of the run.
    given_end = scheduler.count("end", clock.epochs if by_epoch else clock.total)
    end = min(given_end, _ENDLESS // max(scale, 1)) * scale
    if end <= begin:
        raise NotImportable(f"{scheduler.path('end')} must be larger than begin")
    last = end - begin - 1
    if name != "CosineAnnealingLR":
        return _Window(begin, last, unit, *_SHAPES[name](scheduler, end - begin, scale))
    steps = _cosine_steps(scheduler, end - begin, scale)
    factor = f"(0.5 * (1 + cos(pi * k / {steps})))"
    return _Window(begin, last, unit, factor, _cosine_low(scheduler, lr), steps if steps < last else None)


def _expression(windows: list[_Window], lr: float) -> str:
    """The product of all factors. One with an absolute end needs to know where it begins: at a whole factor of lr."""
    texts = []
    for window in windows:
        base = lr
        others = [other for other in windows if other is not window]
        for other in others if window.low or window.turns_at else ():
            is_over = (other.begin + other.last) * other.unit <= window.begin * window.unit
            is_later = (window.begin + window.last) * window.unit < other.begin * other.unit
            if is_later:
                continue
            if window.turns_at and (not is_over or _evaluated(other, window.begin * window.unit) != 1):
                raise NotImportable("T_max must not end before the cosine's own end, where another scheduler acts too")
            if not is_over or other.low:
                raise NotImportable(
                    "eta_min and eta_min_ratio must be 0 where another scheduler acts at the same time, or after it"
                )
            base *= _evaluated(other, window.begin * window.unit)
        texts.append(window.text(base))
    return " * ".join(texts)


def _evaluated(window: _Window, iteration: int) -> float:
    return float(compiled(checked(window.text(1.0), ("s",)))((iteration,), (1.0,))[0])


def _linear(scheduler: Fields, length: int, _scale: int) -> tuple[str, float]:
    # mmengine's total_iters is end - begin - 1: the last iteration of the window has end_factor.
    start, end = scheduler.number("start_factor", 1.0 / 3), scheduler.number("end_factor", 1.0)
    return f"({start!r} + {end - start!r} * k / {max(length - 1, 1)})", 0.0


def _constant(scheduler: Fields, length: int, _scale: int) -> tuple[str, float]:
    factor = scheduler.number("factor", 1.0 / 3)
    return f"({factor!r} if k < {length - 1} else 1)", 0.0


def _poly(scheduler: Fields, length: int, _scale: int) -> tuple[str, float]:
    power = scheduler.number("power", 1.0)
    return f"((1 - k / {max(length - 1, 1)}) ** {power!r})", scheduler.number("eta_min", 0.0)


def _cosine_steps(scheduler: Fields, length: int, scale: int) -> int:
    # Without the - 1 of LinearLR and PolyLR: T_max is end - begin by default.
    steps = scheduler.count("T_max") * scale if "T_max" in scheduler else length
    if steps >= _ENDLESS or not steps:
        raise NotImportable(f"{scheduler.path('T_max')} is required, or end")
    return steps


def _cosine_low(scheduler: Fields, lr: float) -> float:
    """eta_min, or a share of the optimizer's LR, whatever other schedulers make of that."""
    ratio = scheduler.optional_number("eta_min_ratio")
    if ratio is None:
        return scheduler.number("eta_min", 0.0)
    if "eta_min" in scheduler:
        raise NotImportable(f"{scheduler.path('eta_min')} must not stand beside eta_min_ratio")
    return ratio * lr


def _exponential(scheduler: Fields, _length: int, scale: int) -> tuple[str, float]:
    gamma = scheduler.number("gamma")
    if scale > 1:
        raise NotImportable(f"{scheduler.path('gamma')} by epoch is not converted to iterations in an import")
    return f"{gamma!r} ** k", 0.0


def _step(scheduler: Fields, _length: int, scale: int) -> tuple[str, float]:
    size = scheduler.count("step_size") * scale
    if not size:
        raise NotImportable(f"{scheduler.path('step_size')} must be > 0")
    return f"{scheduler.number('gamma', 0.1)!r} ** floor(k / {size})", 0.0


def _multi_step(scheduler: Fields, _length: int, scale: int) -> tuple[str, float]:
    gamma, milestones = scheduler.number("gamma", 0.1), scheduler.counts("milestones")
    if len(milestones) > 20:  # noqa: PLR2004 - an expression has at most 1000 characters
        raise NotImportable(f"{scheduler.path('milestones')} must be at most 20")
    count = " + ".join(f"(1 if k >= {step * scale} else 0)" for step in milestones) or "0"
    return f"{gamma!r} ** ({count})", 0.0


_ENDLESS = int(1e9)
"""mmengine's INF."""

_SHAPES: dict[str, Callable[[Fields, int, int], tuple[str, float]]] = {
    "LinearLR": _linear,
    "ConstantLR": _constant,
    "PolyLR": _poly,
    "ExponentialLR": _exponential,
    "StepLR": _step,
    "MultiStepLR": _multi_step,
}
"""The factor of each scheduler but a cosine in its own iteration k, from its length and the epoch's, and its end LR."""


def _check_groups(wrapper: Fields) -> None:
    """paramwise_cfg gives param groups LRs of their own."""
    parts = wrapper.take("paramwise_cfg")
    text = str(parts)
    if isinstance(parts, dict) and any(name in text for name in ("lr_mult", "decay_rate", "layer_decay")):
        raise NotImportable("optim_wrapper.paramwise_cfg gives param groups LRs of their own: write them as such")


def _python_values(source: str) -> Any:
    """The names that a Python file gives values, each as far as it can be told."""
    found: dict[str, Any] = {}
    names = PythonValues()
    for statement in parsed(source, _MAX_CHARACTERS):
        if isinstance(statement, ast.Assign) and len(statement.targets) == 1:
            name = ast.unparse(statement.targets[0])
            try:
                value = names.assign(statement.targets[0], statement.value)
            except NotAValue:
                if name in _READ:
                    raise NotImportable(f"{name} must be written out as a value") from None
                continue
            if name in _READ:  # the others are names that its values are made of
                found[name] = value
    return plain(found)


_READ = {"param_scheduler", "optim_wrapper", "train_cfg", "auto_scale_lr", "train_dataloader", "lr_config", "_base_"}
