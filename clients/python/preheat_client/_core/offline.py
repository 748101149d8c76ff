"""LRs without the service: snapshots on disk, and fallbacks and override files, whose LRs are computed here."""

import contextlib
import hashlib
import json
import logging
import math
import os
import time
from array import array
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preheat_client._core.curve import UNKNOWN, Curve, FetchedCurve, Metadata, Request, Window, data_of, values_of
from preheat_client.errors import InvalidFallback, PreheatError
from preheat_client.status import Source

_LOG = logging.getLogger("preheat_client")
_MAGIC = "preheat-snapshot"
_VERSION = 1
_ABANDONED_AFTER_S = 3600.0
_SIZE = 1024  # LRs computed at a time: a loop that reads one is not held up for more

_Formula = Callable[[int], float]


class InvalidSnapshot(PreheatError):
    """A file that is not a snapshot of the schedule, or not one that this version can read."""


class Snapshots:
    """The snapshots in a folder, one for each service and request.

    A file is a line `preheat-snapshot VERSION SHA-256`, a line of JSON, and the windows' float64, little endian; the
    sum is that of everything after the first line. It is written under another name, synchronised and renamed, so that
    there is always a whole one.
    """

    def __init__(self, folder: Path, service: str) -> None:
        self._folder, self._service = folder, service

    def path(self, request: Request) -> Path:
        """The file for a request."""
        # Not the id: that is not known before the service has answered.
        key = hashlib.sha256(f"{self._service}\n{request.key}".encode()).hexdigest()[:32]
        return self._folder / f"{key}.preheat"

    def save(self, request: Request, curve: FetchedCurve) -> None:
        """Writes a snapshot. Raises OSError; what was there before then stays."""
        windows = curve.windows()
        header = {
            "service": self._service,
            "request": request.key,
            "document": asdict(curve.metadata),
            "size": curve.size,
            "starts": [window.start for window in windows],
            "lengths": [len(window.values) for window in windows],
            "saved_at": time.time(),
        }
        content = json.dumps(header).encode() + b"\n" + b"".join(data_of(window.values) for window in windows)
        first = f"{_MAGIC} {_VERSION} {hashlib.sha256(content).hexdigest()}\n".encode()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        _replace(self.path(request), first + content)

    def read(self, request: Request) -> tuple[FetchedCurve, float] | None:
        """The curve in the snapshot of a request, and when it was saved, in seconds since the epoch.

        None if there is no snapshot, or only one that cannot be used, which is logged.
        """
        path = self.path(request)
        try:
            return self._parsed(path.read_bytes(), request)
        except FileNotFoundError:
            return None
        except (OSError, PreheatError, ValueError, KeyError, TypeError, RecursionError) as error:
            _LOG.warning("the snapshot %s is ignored: %s", path, error)
            return None

    def _parsed(self, data: bytes, request: Request) -> tuple[FetchedCurve, float]:
        first, _, content = data.partition(b"\n")
        magic, _, rest = first.decode("latin-1").partition(" ")
        version, _, checksum = rest.partition(" ")
        if magic != _MAGIC:
            raise InvalidSnapshot("it is not a snapshot")
        if version != str(_VERSION):
            raise InvalidSnapshot(f"its version is {version:.20}, this client reads {_VERSION}")
        if checksum != hashlib.sha256(content).hexdigest():
            raise InvalidSnapshot("its checksum is wrong")
        line, _, values = content.partition(b"\n")
        header: dict[str, Any] = json.loads(line)
        if (header["service"], header["request"]) != (self._service, request.key):
            raise InvalidSnapshot(f"it belongs to {header['service']}, {header['request']:.60}")
        return _curve_of_snapshot(header, values), header["saved_at"]

    def _sweep(self) -> None:
        """Removes what writers that were killed have left."""
        for path in self._folder.glob("*.preheat-writing"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                    path.unlink()


def _curve_of_snapshot(header: dict[str, Any], data: bytes) -> FetchedCurve:
    stored = header["document"]
    names = tuple(stored["group_names"])
    others = tuple((group, name) for group, name in stored["hyperparameter_columns"])
    metadata = Metadata(stored["id"], stored["spec"], stored["total_iterations"], names, others)
    windows, first = [], 0
    for start, length in zip(header["starts"], header["lengths"], strict=True):
        values = values_of(data[first : first + length * 8], length)
        windows.append(Window(start, values, len(names), metadata.columns))
        first += length * 8
    return FetchedCurve(metadata, header["size"], "snapshot", windows)


def _replace(path: Path, content: bytes) -> None:
    writing = path.with_name(f"{os.urandom(8).hex()}.preheat-writing")
    try:
        with os.fdopen(os.open(writing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before the rename, or a crash may leave an empty file under the right name
        writing.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            writing.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)  # the rename itself is in the folder
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


class LocalCurve(Curve):
    """The curve of a fallback.

    A fallback is a number; a list, its index the iteration, whose last value is held; a spec in the small language
    below; or a mapping from names of param groups to any of these. A spec has target_lr, total_iterations, and if
    wanted warmup.iterations and one of the after_schedulers CosineAnnealingLR, PolynomialLR, StepLR, MultiStepLR and
    ExponentialLR, durations in iterations; it means what it means to the service.

    Raises InvalidFallback, with name and value, for anything else.
    """

    def __init__(self, fallback: Any, source: Source, request: Request) -> None:
        is_spec = isinstance(fallback, Mapping) and "target_lr" in fallback
        by_group = fallback if isinstance(fallback, Mapping) and not is_spec else {"default": fallback}
        if not by_group:
            raise InvalidFallback("a fallback needs at least one param group")
        curves = {str(name): _lrs(value, str(name)) for name, value in by_group.items()}
        self._formulas = [formula for formula, _ in curves.values()]
        asked = request.spec_dict.get("total_iterations")
        longest = asked if isinstance(asked, int) and asked > 0 else UNKNOWN
        total = min(longest, max(total for _, total in curves.values()))
        spec = dict(fallback) if is_spec else {}
        super().__init__(Metadata(request.schedule_id, spec, total, tuple(curves)), _SIZE, source)

    def window(self, index: int) -> Window:
        """A window, computed."""
        start, stop = self.bounds(index)
        values = array("d", (formula(n) for n in range(start, stop) for formula in self._formulas))
        return Window(start, values, len(self._formulas), len(self._formulas))


def curve_of_file(path: Path, request: Request) -> LocalCurve:
    """The curve in an override file. Raises InvalidFallback, naming the file, unless it has one; OSError."""
    try:
        # Not the request's spec: an override has the length that it says, a constant has none.
        of_id = Request(schedule_id=request.schedule_id)
        return LocalCurve(json.loads(path.read_text(encoding="utf-8")), "override", of_id)
    except (ValueError, RecursionError) as error:
        raise InvalidFallback(f"{path}: {error}") from error


def _lrs(fallback: Any, name: str) -> tuple[_Formula, int]:
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
    total = _iterations(spec.get("total_iterations"), "total_iterations")
    warmup = spec.get("warmup") or {}
    _closed(warmup, "warmup of a fallback spec", {"iterations"})
    length = _iterations(warmup.get("iterations", 0), "warmup.iterations", 0)
    if length > total:
        raise InvalidFallback(f"warmup.iterations ({length}) must not exceed total_iterations ({total})")
    after = _after_scheduler(spec.get("after_scheduler"), target_lr, total - length)
    return lambda n: target_lr * n / length if n <= length and length else after(n - length), total


def _after_scheduler(parameters: Any, lr: float, left: int) -> _Formula:
    """The LR at an iteration after the warm-up, counted from its end; `left` is how many of these there are."""
    if parameters is None:
        return lambda _: lr
    kind = parameters.get("type") if isinstance(parameters, Mapping) else None
    if kind not in list(_FORMULAS):  # a list, since JSON has types that cannot be looked up in a dict
        raise InvalidFallback(f"after_scheduler.type ({kind!r}) of a fallback must be one of {', '.join(_FORMULAS)}")
    readers, formula = _FORMULAS[kind]
    if unknown := [name for name in parameters if name not in {"type", *readers}]:
        raise InvalidFallback(f"after_scheduler.{unknown[0]} is not known in a fallback's {kind}")
    given = {"T_max": max(left, 1), **parameters}  # torch has no default for T_max, the service has the rest of the run
    values = [read(given.get(name, default), f"after_scheduler.{name}") for name, (read, default) in readers.items()]
    return lambda s: formula(lr, s, *values)


def _closed(mapping: Any, name: str, known: set[str]) -> None:
    if not isinstance(mapping, Mapping):
        raise InvalidFallback(f"{name} ({mapping!r:.80}) must be an object")
    if unknown := sorted(set(mapping) - known):
        raise InvalidFallback(f"{name} knows no {unknown[0]!r}, only {', '.join(sorted(known))}")


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InvalidFallback(f"{name} ({value!r:.80}) must be a number ≥ 0 and finite")
    return float(value)


def _iterations(value: Any, name: str, least: int = 1) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidFallback(f"{name} ({value!r:.80}) must be iterations, a whole number ≥ {least}")
    return value


def _milestones(value: Any, name: str) -> list[int]:
    if not isinstance(value, list | tuple):
        raise InvalidFallback(f"{name} ({value!r:.80}) must be a list of iterations")
    return [_iterations(each, name, 0) for each in value]


def _gamma(value: Any, name: str) -> float:
    gamma = _number(value, name)
    if gamma > 1:  # a power of it would overflow in the middle of a run
        raise InvalidFallback(f"{name} ({gamma}) of a fallback must be in 0 … 1")
    return gamma


# The closed forms of torch.optim.lr_scheduler (`_get_closed_form_lr`) with torch's defaults: None has to be given. A
# formula takes target LR, iteration since the warm-up, and the parameters in the order of the table.
_FORMULAS: dict[str, tuple[dict[str, tuple[Callable[[Any, str], Any], Any]], Callable[..., float]]] = {
    "CosineAnnealingLR": (
        {"T_max": (_iterations, None), "eta_min": (_number, 0.0)},
        lambda lr, s, length, low: low + (lr - low) * (1 + math.cos(math.pi * s / length)) / 2,
    ),
    "PolynomialLR": (
        {"total_iters": (_iterations, 5), "power": (_number, 1.0)},
        lambda lr, s, length, power: lr * (1 - min(s, length) / length) ** power,
    ),
    "StepLR": (
        {"step_size": (_iterations, None), "gamma": (_gamma, 0.1)},
        lambda lr, s, size, gamma: lr * gamma ** (s // size),
    ),
    "MultiStepLR": (
        {"milestones": (_milestones, ()), "gamma": (_gamma, 0.1)},
        lambda lr, s, milestones, gamma: lr * gamma ** sum(milestone <= s for milestone in milestones),
    ),
    "ExponentialLR": ({"gamma": (_gamma, None)}, lambda lr, s, gamma: lr * gamma**s),
}
