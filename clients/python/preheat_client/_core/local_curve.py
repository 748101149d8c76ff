"""Curves that the client computes itself: of a plain spec, of a fallback, of an override file."""

import json
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from preheat_client._core.curve import UNKNOWN, Curve, Metadata, Row, Window
from preheat_client._core.fields import LARGEST, NotComputed, mapping_of, number, optional, rate, text, whole
from preheat_client._core.formulas import Run, scheduler_of, warmup_of
from preheat_client._core.request import Request, plain
from preheat_client.errors import InvalidFallback
from preheat_client.status import Source

_SIZE = 1024  # LRs computed at a time: a loop that reads one is not held up for more
_MOST_GROUPS = 256
_UNITS = ("iterations_per_epoch", "samples_per_iteration", "tokens_per_iteration")
_SPEC = ("target_lr", "total_iterations", "warmup", "after_scheduler", "param_groups", "label", "units")
_GROUP = ("name", "target_lr", "factor", "warmup", "after_scheduler")
# These change LRs or columns: null, the default, is all of them that is computed here.
_NOT_COMPUTED = ("layer_decay", "hyperparameters", "batch_scaling", "recipe", "amendments")

LRAt = Callable[[int], float]
"""The LR of one param group at an iteration."""


class LocalCurve(Curve):
    """A curve of a function for each param group."""

    def __init__(self, metadata: Metadata, lrs: Sequence[LRAt], source: Source) -> None:
        super().__init__(metadata, max(_SIZE // len(lrs), 1), source)
        self._lrs = lrs

    def window(self, index: int) -> Window | None:
        """A window, computed; None if an LR in it would be negative or not finite."""
        start, stop = self.bounds(index)
        return self.part(start, stop)

    def row(self, iteration: int) -> tuple[Row, list[float]] | None:
        """As of every curve, without the rest of its window."""
        part = self.part(iteration, iteration + 1)
        return None if part is None else part.row(iteration)

    def part(self, start: int, stop: int) -> Window | None:
        """Iterations start … stop − 1, as `window`."""
        try:
            values = array("d", (lr(n) for n in range(start, stop) for lr in self._lrs))
        except (ArithmeticError, ValueError):
            return None
        is_sound = math.isfinite(sum(values)) and min(values, default=0.0) >= 0
        return Window(start, values, len(self._lrs), len(self._lrs)) if is_sound else None


def curve_of_spec(spec: Mapping[str, Any], schedule_id: str | None = None) -> LocalCurve:
    """The curve of a plain spec, the service's bit for bit.

    Computed are warm-ups but dampened and untuned ones; no after_scheduler, StepLR, MultiStepLR, ConstantLR, LinearLR,
    ExponentialLR, PolynomialLR, CosineAnnealingLR, CosineLR, PolynomialDecayLR, WSDLR, InverseSqrtLR; param_groups with
    targets or factors; every duration in iterations. Raises NotComputed, with field, value and rule, for anything else,
    and for whatever the service would refuse.
    """
    total, lrs = _of_spec(spec)
    metadata = Metadata(schedule_id, dict(spec), total, tuple(lrs))
    return LocalCurve(metadata, list(lrs.values()), "computed")


def curve_of_fallback(fallback: Any, source: Source, request: Request) -> LocalCurve:
    """The curve of a fallback.

    A fallback is a number; a list, its index the iteration, whose last value is held; a spec as `curve_of_spec` takes
    it; or a mapping from names of param groups to any of these. Raises InvalidFallback, with name and value, for
    anything else.
    """
    try:
        return _of_fallback(plain(fallback, ""), source, request)
    except (NotComputed, TypeError) as error:
        raise InvalidFallback(f"{'an' if source == 'override' else 'a'} {source}'s {error}") from None


def curve_of_file(path: Path, request: Request) -> LocalCurve:
    """The curve in an override file. Raises InvalidFallback, naming the file, unless it has one; OSError."""
    try:
        # Not the request's spec: an override has the length that it says, a constant has none.
        of_id = Request(schedule_id=request.schedule_id)
        return curve_of_fallback(json.loads(path.read_text(encoding="utf-8")), "override", of_id)
    except (ValueError, RecursionError) as error:
        raise InvalidFallback(f"{path}: {error}") from error


def _of_fallback(fallback: Any, source: Source, request: Request) -> LocalCurve:
    asked = request.spec_dict.get("total_iterations")
    longest = asked if isinstance(asked, int) and asked > 0 else UNKNOWN
    if isinstance(fallback, Mapping) and "target_lr" in fallback:
        total, lrs = _of_spec(fallback)
        metadata = Metadata(request.schedule_id, dict(fallback), min(total, longest), tuple(lrs))
        return LocalCurve(metadata, list(lrs.values()), source)
    by_group = fallback if isinstance(fallback, Mapping) else {"default": fallback}
    if not by_group:
        raise InvalidFallback("a fallback needs at least one param group")
    curves = [_of_group(value, str(name)) for name, value in by_group.items()]
    total = min(longest, max(total for _, total in curves))
    return LocalCurve(
        Metadata(request.schedule_id, {}, total, tuple(map(str, by_group))), [lr for lr, _ in curves], source
    )


def _of_group(fallback: Any, name: str) -> tuple[LRAt, int]:
    """The LR at an iteration, and the last iteration."""
    if isinstance(fallback, Mapping):
        total, lrs = _of_spec(fallback)
        if len(lrs) > 1:
            raise NotComputed(f"{name} must be of one param group, not of {', '.join(lrs)}")
        return next(iter(lrs.values())), total
    if isinstance(fallback, Sequence) and not isinstance(fallback, str):
        values = [number(value, f"{name}[{n}]", most=LARGEST) for n, value in enumerate(fallback)]
        if not values:
            raise NotComputed(f"{name} ([]) must have at least one LR")
        return lambda n: values[min(n, len(values) - 1)], max(len(values) - 1, 1)
    lr = number(fallback, name, most=LARGEST)
    return lambda _: lr, UNKNOWN


def _of_spec(spec: Any) -> tuple[int, dict[str, LRAt]]:
    """The length of the run, and the LR at an iteration of each param group."""
    given = mapping_of(spec, "spec", (*_SPEC, *_NOT_COMPUTED))
    for name in _NOT_COMPUTED:
        if given.get(name) is not None:
            raise NotComputed(f"{name} ({given[name]!r:.80}) must not be given to be computed by the client")
    _check_units(given.get("units"))
    optional(lambda label, name: text(label, name, 200))(given.get("label"), "label")
    target_lr = rate(given.get("target_lr"), "target_lr")
    total = whole(given.get("total_iterations"), "total_iterations")
    warmup = warmup_of(given.get("warmup", {}), total)
    after = scheduler_of(given.get("after_scheduler"), Run(total - warmup.origin, total, warmup.iterations))

    def lr_of(target: float) -> LRAt:
        return lambda n: warmup.lr(target, n) if n <= warmup.last else after(target, n - warmup.origin)

    groups = given.get("param_groups")
    targets = {"default": target_lr} if groups is None else _targets(groups, target_lr)
    return total, {name: lr_of(target) for name, target in targets.items()}


def _targets(groups: Any, target_lr: float) -> dict[str, float]:
    """Target LR of each param group, by name."""
    if not isinstance(groups, list | tuple) or not 1 <= len(groups) <= _MOST_GROUPS:
        raise NotComputed(f"param_groups ({groups!r:.80}) must be a list of 1 … {_MOST_GROUPS} groups")
    targets: dict[str, float] = {}
    have_name = []
    for index, each in enumerate(groups):
        place = f"param_groups[{index}]"
        group = {name: value for name, value in mapping_of(each, place, _GROUP).items() if value is not None}
        have_name.append("name" in group)
        unnamed = "default" if len(groups) == 1 else f"group_{index}"
        name = text(group.get("name", unnamed), f"{place}.name", 100)
        if name in targets:
            raise NotComputed(f"{place}.name ({name!r}) must not repeat that of another group")
        targets[name] = _target(group, place, target_lr)
    if len(set(have_name)) > 1:
        raise NotComputed("param_groups must all have a name, or none")
    return targets


def _target(group: Mapping[str, Any], place: str, target_lr: float) -> float:
    for name in ("warmup", "after_scheduler"):
        if name in group:  # it would have another part of the run before it
            raise NotComputed(f"{place}.{name} must not be given to be computed by the client")
    if "target_lr" in group and "factor" in group:
        raise NotComputed(f"{place}.factor must not be given beside target_lr")
    own = rate(group.get("target_lr", target_lr), f"{place}.target_lr")
    return rate(own * rate(group.get("factor", 1.0), f"{place}.factor"), f"{place}.target_lr, with its factor,")


def _check_units(units: Any) -> None:
    """They change nothing where every duration is in iterations; of a ramp only the service knows the rules."""
    for name, size in mapping_of({} if units is None else units, "units", _UNITS).items():
        optional(lambda value, place: number(value, place, 1e-6, 1e15))(size, f"units.{name}")
