"""A whole schedule as one formula of the iteration n: what a script computes."""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any

from preheat.errors import NotExpressible
from preheat.formula.language import number, substituted
from preheat.specs import Scheduler, Spec, Track
from preheat.specs.after_schedulers import compositions, sequences
from preheat.specs.after_schedulers import torch_schedulers as specs
from preheat.specs.after_schedulers.restarts import CosineRestartsLR
from preheat.specs.after_schedulers.shape import Shape


def formulas(spec: Spec) -> list[str]:
    """The LR of each param group as a formula in `n`.

    Raises NotExpressible for other hyperparameters, and where an LR follows from the one before.
    """
    if len(spec.columns) > len(spec.group_names):
        named = sorted({column.hyperparameter for column in spec.columns[len(spec.group_names) :]})
        raise NotExpressible(f"schedules of {', '.join(named)} go beyond what a learning-rate scheduler sets")
    found = [""] * len(spec.group_names)
    for track in spec.tracks:
        for place, column in enumerate(track.columns):
            found[column] = _of_group(track, place)
    return found


def _of_group(track: Track, place: int) -> str:
    warmup, b = track.warmup, number(track.targets[place])
    after = "b" if track.after_scheduler is None else _formula(track.after_scheduler, place)
    following = substituted(after, {"s": f"n - {warmup.origin}" if warmup.origin else "n"})
    if warmup.iterations == 0:
        return substituted(following, {"b": b})
    rising = warmup.formula()
    if warmup.dampens:
        return substituted(f"({following}) * ({rising} if n <= {warmup.last} else 1.0)", {"b": b})
    return substituted(f"({rising}) if n <= {warmup.last} else ({following})", {"b": b})


def _formula(scheduler: Scheduler, place: int) -> str:
    """The LR in `s` and `b`, for the param group at `place`."""
    if isinstance(scheduler, Shape):
        return scheduler.formula()
    return _FORMULAS[type(scheduler)](scheduler, place)


def _step(spec: specs.StepLR, _place: int) -> str:
    return f"b * {number(spec.gamma)} ** (s // {spec.step_size})"


def _multi_step(spec: specs.MultiStepLR, _place: int) -> str:
    passed = " + ".join(f"(1.0 if s >= {milestone} else 0.0)" for milestone in spec.milestones)
    return f"b * {number(spec.gamma)} ** ({passed})"


def _constant(spec: specs.ConstantLR, _place: int) -> str:
    return f"b * {number(spec.factor)} if s < {spec.total_iters} else b"


def _linear(spec: specs.LinearLR, _place: int) -> str:
    rise = number(spec.end_factor - spec.start_factor)
    return f"b * ({number(spec.start_factor)} + {rise} * min(s, {spec.total_iters}) / {spec.total_iters})"


def _exponential(spec: specs.ExponentialLR, _place: int) -> str:
    return f"b * {number(spec.gamma)} ** s"


def _polynomial(spec: specs.PolynomialLR, _place: int) -> str:
    return f"b * (1 - min(s, {spec.total_iters}) / {spec.total_iters}) ** {number(spec.power)}"


def _cosine(spec: specs.CosineAnnealingLR, _place: int) -> str:
    low = number(spec.eta_min)
    return f"{low} + (b - {low}) * (1 + cos(pi * s / {spec.T_max})) / 2"


def _warm_restarts(spec: specs.CosineAnnealingWarmRestarts, _place: int) -> str:
    ours = CosineRestartsLR(type="CosineRestartsLR", T_0=spec.T_0, T_mult=float(spec.T_mult), min_lr=spec.eta_min)
    return ours.formula()


def _cyclic(spec: specs.CyclicLR, place: int) -> str:
    base_lr, max_lr = _of(spec.base_lr, place), _of(spec.max_lr, place)
    length = spec.step_size_up + (spec.step_size_down or spec.step_size_up)
    x, ratio = f"(s % {length} / {length})", spec.step_size_up / length
    height = f"({x} / {ratio!r} if {x} <= {ratio!r} else ({x} - 1) / {number(ratio - 1)})"
    scale = {
        "triangular": "1",
        "triangular2": f"0.5 ** (s // {length})",
        "exp_range": f"{number(spec.gamma)} ** s",
    }[spec.mode]
    return f"{number(base_lr)} + {number(max_lr - base_lr)} * {height} * {scale}"


def _one_cycle(spec: specs.OneCycleLR, place: int) -> str:
    steps, highest = spec.total_steps or 1, _of(spec.max_lr, place)
    first, last = highest / spec.div_factor, highest / spec.div_factor / spec.final_div_factor
    peak = spec.pct_start * steps - 1
    turns = [(peak, highest), (2 * peak, first)] if spec.three_phase else [(peak, highest)]
    text, start, low = "", 0.0, first
    for end, high in [*turns, (float(steps - 1), last)]:
        x = f"min((s - {number(start)}) / {number(end - start)}, 1.0)"
        share = x if spec.anneal_strategy == "linear" else f"(1 - cos(pi * {x})) / 2"
        piece = f"({number(low)} + {number(high - low)} * {share})"
        text += piece if end == steps - 1 else f"{piece} if s <= {number(end)} else "
        start, low = end, high
    return text


def _multiplicative(spec: specs.MultiplicativeLR, _place: int) -> str:
    if isinstance(spec.lr_lambda, tuple):
        raise NotExpressible("a MultiplicativeLR with a list of factors has no formula: use a TableLR")
    return f"b * {number(spec.lr_lambda)} ** s"


def _swa(spec: specs.SWALR, place: int) -> str:
    t = f"min(s / {spec.anneal_epochs}, 1.0)" if spec.anneal_epochs else "1.0"
    share = t if spec.anneal_strategy == "linear" else f"(1 - cos(pi * {t})) / 2"
    return f"b + ({number(_of(spec.swa_lr, place))} - b) * {share}"


def _sequential(spec: sequences.SequentialLR, place: int) -> str:
    for child in spec.schedulers[1:]:
        if isinstance(child, specs.SWALR | specs.MultiplicativeLR):
            raise NotExpressible(
                f"{child.type} in a SequentialLR goes on from the LR before it, which no formula knows"
            )
    text = _from(_formula(spec.schedulers[-1], place), spec.milestones[-1] if spec.milestones else 0)
    starts = [0, *spec.milestones]
    for child, start, end in reversed(list(zip(spec.schedulers, starts, spec.milestones, strict=False))):
        text = f"({_from(_formula(child, place), start)}) if s < {end} else ({text})"
    return text


def _chained(spec: sequences.ChainedScheduler, place: int) -> str:
    for child in spec.schedulers:
        if isinstance(child, specs.SWALR | sequences.ChainedScheduler) or getattr(child, "eta_min", 0.0) > 0.0:
            raise NotExpressible(f"{child.type} in a ChainedScheduler depends on the LR before: use a ProductLR")
    return _product([_formula(child, place) for child in spec.schedulers])


def _product(texts: Sequence[str]) -> str:
    return reduce(lambda left, right: f"({left}) * ({substituted(right, {'b': '1.0'})})", texts)


def _product_lr(spec: compositions.ProductLR, place: int) -> str:
    divided = "".join(f" * ({_formula(child, place)}) / b" for child in spec.schedulers)
    return f"b{divided}"


def _extreme(name: str) -> Callable[[Any, int], str]:
    def formula(spec: Any, place: int) -> str:
        texts = [_formula(child, place) for child in spec.schedulers]
        return reduce(lambda left, right: f"{name}({left}, {right})", texts)

    return formula


def _clamp(spec: compositions.ClampLR, place: int) -> str:
    text = _formula(spec.scheduler, place)
    for name, absolute, ratio in (("max", spec.min_lr, spec.min_ratio), ("min", spec.max_lr, spec.max_ratio)):
        if ratio is not None:
            text = f"{name}({text}, {number(ratio)} * b)"
        elif absolute is not None:
            text = f"{name}({text}, {number(absolute)})"
    return text


def _window(spec: compositions.WindowLR, place: int) -> str:
    clock = f"min(max(s - {spec.begin}, 0), {(spec.end or 0) - spec.begin})"
    return substituted(_formula(spec.scheduler, place), {"s": clock})


def _cooldown(spec: compositions.CooldownLR, place: int) -> str:
    inner, start = _formula(spec.scheduler, place), spec.start or 0
    top, low = substituted(inner, {"s": str(start)}), number(spec.min_lr)
    x = f"min((s - {start}) / {spec.length}, 1.0)"
    fall = {"linear": f"1 - {x}", "cosine": f"(1 + cos(pi * {x})) / 2", "1-sqrt": f"1 - sqrt({x})"}[spec.shape]
    return f"({inner}) if s <= {start} else {low} + (({top}) - {low}) * ({fall})"


def _of(value: float | tuple[float, ...], place: int) -> float:
    return value[place] if isinstance(value, tuple) else value


def _from(formula: str, start: int) -> str:
    return substituted(formula, {"s": f"s - {start}"}) if start else formula


_FORMULAS: dict[type[Scheduler], Callable[[Any, int], str]] = {
    specs.StepLR: _step,
    specs.MultiStepLR: _multi_step,
    specs.ConstantLR: _constant,
    specs.LinearLR: _linear,
    specs.ExponentialLR: _exponential,
    specs.PolynomialLR: _polynomial,
    specs.CosineAnnealingLR: _cosine,
    specs.CosineAnnealingWarmRestarts: _warm_restarts,
    specs.CyclicLR: _cyclic,
    specs.OneCycleLR: _one_cycle,
    specs.SWALR: _swa,
    specs.MultiplicativeLR: _multiplicative,
    sequences.SequentialLR: _sequential,
    sequences.ChainedScheduler: _chained,
    compositions.ProductLR: _product_lr,
    compositions.MaxLR: _extreme("max"),
    compositions.MinLR: _extreme("min"),
    compositions.ClampLR: _clamp,
    compositions.WindowLR: _window,
    compositions.CooldownLR: _cooldown,
}
