"""LRs that are computed here, while the service cannot be asked."""

import json
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from preheat_client.document import UNKNOWN, Document
from preheat_client.errors import InvalidFallback
from preheat_client.windows import Layout, Window

LocalSource = Literal["override", "fallback"]

_SIZE = 1024
_Formula = Callable[[int], float]


class LocalCurve:
    """The curve of a fallback.

    A fallback is a number; a list, its index the iteration, whose last value is held; a spec in the small language
    below; or a mapping from names of param groups to any of these. A spec has target_lr, total_iterations, and if
    wanted warmup.iterations and one of the after_schedulers CosineAnnealingLR, PolynomialLR, StepLR, MultiStepLR and
    ExponentialLR, durations in iterations; it means what it means to the service.

    Raises InvalidFallback, with name and value, for anything else.
    """

    def __init__(self, fallback: Any, source: LocalSource, total_iterations: int = UNKNOWN) -> None:
        self.source = source
        by_group = fallback if isinstance(fallback, Mapping) and "target_lr" not in fallback else {"default": fallback}
        if not by_group:
            raise InvalidFallback("a fallback needs at least one param group")
        curves = {str(name): _curve(value, str(name)) for name, value in by_group.items()}
        self._formulas = [formula for formula, _ in curves.values()]
        total = min(total_iterations, max(total for _, total in curves.values()))
        spec = dict(fallback) if isinstance(fallback, Mapping) and "target_lr" in fallback else {}
        self.document = Document(None, spec, total, tuple(curves))
        self.layout = Layout(total + 1, _SIZE)

    def window(self, index: int) -> Window:
        """A window, computed."""
        start, stop = self.layout.bounds(index)
        values = array("d", (formula(n) for n in range(start, stop) for formula in self._formulas))
        return Window(start, values, len(self._formulas), len(self._formulas))


def curve_of_file(path: Path) -> LocalCurve:
    """The curve in an override file. Raises InvalidFallback, naming the file, unless it has one; OSError."""
    try:
        return LocalCurve(json.loads(path.read_text(encoding="utf-8")), "override")
    except (ValueError, RecursionError) as error:
        raise InvalidFallback(f"{path}: {error}") from error


def _curve(fallback: Any, name: str) -> tuple[_Formula, int]:
    """LR of an iteration, and the last iteration."""
    if isinstance(fallback, Mapping):
        return _of_spec(fallback)
    if isinstance(fallback, Sequence) and not isinstance(fallback, str):
        values = [_number(value, f"{name}[{n}]") for n, value in enumerate(fallback)]
        if not values:
            raise InvalidFallback(f"{name} ([]) must have at least one LR")
        return lambda n: values[min(n, len(values) - 1)], max(len(values) - 1, 1)
    lr = _number(fallback, name)
    return lambda _: lr, UNKNOWN


def _of_spec(spec: Mapping[str, Any]) -> tuple[_Formula, int]:
    _closed(spec, "a fallback spec", {"target_lr", "total_iterations", "warmup", "after_scheduler", "label"})
    target_lr = _number(spec["target_lr"], "target_lr")
    total = _iterations(spec.get("total_iterations"), "total_iterations", 1)
    warmup = spec.get("warmup") or {}
    _closed(warmup, "warmup of a fallback spec", {"iterations"})
    length = _iterations(warmup.get("iterations", 0), "warmup.iterations", 0)
    if length > total:
        raise InvalidFallback(f"warmup.iterations ({length}) must not exceed total_iterations ({total})")
    after = _after_scheduler(spec.get("after_scheduler"), target_lr, total - length)
    return lambda n: target_lr * n / length if n <= length and length else after(n - length), total


def _after_scheduler(parameters: Any, lr: float, left: int) -> _Formula:
    """The after_scheduler's closed form, as torch.optim.lr_scheduler has it in `_get_closed_form_lr`; s counts on."""
    if parameters is None:
        return lambda _: lr
    kind = parameters.get("type") if isinstance(parameters, Mapping) else parameters
    if kind not in _FORMULAS:
        raise InvalidFallback(f"after_scheduler.type ({kind!r}) of a fallback must be one of {', '.join(_FORMULAS)}")
    rest = {name: value for name, value in parameters.items() if name != "type"}
    formula: _Formula = _FORMULAS[kind](rest, lr, left)
    if rest:
        raise InvalidFallback(f"after_scheduler.{next(iter(rest))} is not known in a fallback's {kind}")
    return formula


def _cosine(parameters: dict[str, Any], lr: float, left: int) -> _Formula:
    length = _iterations(parameters.pop("T_max", max(left, 1)), "after_scheduler.T_max", 1)
    low = _number(parameters.pop("eta_min", 0.0), "after_scheduler.eta_min")
    return lambda s: low + (lr - low) * (1 + math.cos(math.pi * s / length)) / 2


def _polynomial(parameters: dict[str, Any], lr: float, _left: int) -> _Formula:
    length = _iterations(parameters.pop("total_iters", 5), "after_scheduler.total_iters", 1)
    power = _number(parameters.pop("power", 1.0), "after_scheduler.power")
    return lambda s: lr * (1 - min(s, length) / length) ** power


def _step(parameters: dict[str, Any], lr: float, _left: int) -> _Formula:
    size = _iterations(parameters.pop("step_size", None), "after_scheduler.step_size", 1)
    gamma = _gamma(parameters, 0.1)
    return lambda s: lr * gamma ** (s // size)


def _multi_step(parameters: dict[str, Any], lr: float, _left: int) -> _Formula:
    milestones = [_iterations(each, "after_scheduler.milestones", 0) for each in parameters.pop("milestones", ())]
    gamma = _gamma(parameters, 0.1)
    return lambda s: lr * gamma ** sum(milestone <= s for milestone in milestones)


def _exponential(parameters: dict[str, Any], lr: float, _left: int) -> _Formula:
    gamma = _gamma(parameters, None)
    return lambda s: lr * gamma**s


_FORMULAS: dict[str, Callable[[dict[str, Any], float, int], _Formula]] = {
    "CosineAnnealingLR": _cosine,
    "PolynomialLR": _polynomial,
    "StepLR": _step,
    "MultiStepLR": _multi_step,
    "ExponentialLR": _exponential,
}


def _gamma(parameters: dict[str, Any], default: float | None) -> float:
    gamma = _number(parameters.pop("gamma", default), "after_scheduler.gamma")
    if gamma > 1:
        raise InvalidFallback(f"after_scheduler.gamma ({gamma}) of a fallback must be in 0 … 1")
    return gamma


def _closed(mapping: Any, name: str, known: set[str]) -> None:
    if not isinstance(mapping, Mapping):
        raise InvalidFallback(f"{name} ({mapping!r:.80}) must be an object")
    if unknown := sorted(set(mapping) - known):
        raise InvalidFallback(f"{name} knows no {unknown[0]!r}, only {', '.join(sorted(known))}")


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidFallback(f"{name} ({value!r:.80}) must be a number ≥ 0 and finite")
    return float(value)


def _iterations(value: Any, name: str, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidFallback(f"{name} ({value!r:.80}) must be iterations, a whole number ≥ {least}")
    return value
