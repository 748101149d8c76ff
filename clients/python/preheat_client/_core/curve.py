"""Curves: metadata and LRs of a schedule in memory, the LRs cut into windows of successive iterations."""

import math
import sys
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from preheat_client._core.version import VERSION
from preheat_client.errors import ServiceUnavailable
from preheat_client.status import Source

Row = float | list[float]
"""The LR of one iteration: a number for one param group, a list for several."""

View = tuple[int, Sequence[Row], Sequence[list[float]]]
"""The window that a loop is in: its first iteration, LRs, other hyperparameters."""

KEPT_WINDOWS = 16
"""A schedule of no more windows than these is kept whole."""

UNKNOWN = sys.maxsize
"""`total_iterations` where nothing but a constant is known."""


@dataclass(frozen=True)
class Metadata:
    """A schedule without its LRs; `id` is None for a fallback of a spec."""

    id: str | None = None
    spec: dict[str, Any] = field(default_factory=dict)
    total_iterations: int = UNKNOWN
    group_names: tuple[str, ...] = ()
    hyperparameter_columns: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> int:
        """How many LRs and other hyperparameters one iteration has."""
        return len(self.group_names) + len(self.hyperparameter_columns)

    def has_shape_of(self, other: "Metadata") -> bool:
        """Whether `lr(n)` gives the same param groups, in the same order, for both."""
        return self.group_names == other.group_names or len(self.group_names) == len(other.group_names) == 1


class Known:
    """What is known of a schedule besides its LRs; other `metadata` once another curve is read."""

    def __init__(self, metadata: Metadata) -> None:
        self.metadata = metadata


class Described:
    """The properties of a schedule that its metadata has."""

    _known: Known

    @property
    def id(self) -> str:
        """The schedule's id, the same everywhere for the same spec; empty while only a fallback is known."""
        return self._known.metadata.id or ""

    @property
    def spec(self) -> dict[str, Any]:
        """The normalised spec; that of the fallback, or an empty one, while only a fallback is known."""
        return self._known.metadata.spec

    @property
    def total_iterations(self) -> int:
        """Iterations of the run, warm-up included; LRs are defined for 0 … total_iterations.

        `sys.maxsize` while nothing but a constant is known.
        """
        return self._known.metadata.total_iterations

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the param groups, in order."""
        return self._known.metadata.group_names

    @property
    def hyperparameter_columns(self) -> tuple[tuple[str, str], ...]:
        """Group and name of every hyperparameter besides the LR that has a schedule."""
        return self._known.metadata.hyperparameter_columns

    def lr(self, iteration: int) -> Row:
        """The learning rate at an iteration."""
        raise NotImplementedError

    def lr_of(self, iteration: int, group: str | None = None) -> float:
        """The learning rate at an iteration as one number: of the param group with a name, or of the only one.

        Read as by `lr`, and raises what that raises; ValueError for a group that there is not, or without one where
        there are several.
        """
        row, names = self.lr(iteration), self.group_names
        if group is None and isinstance(row, float):
            return row
        if group not in names:
            raise ValueError(f"group ({group!r:.80}) must be one of {', '.join(names)}")
        return row if isinstance(row, float) else row[names.index(group)]


@dataclass(frozen=True)
class Window:
    """Successive iterations from `start` on: the LRs of each and, if there are any, its other hyperparameters."""

    start: int
    values: "array[float]"
    groups: int
    columns: int

    @property
    def lrs(self) -> Sequence[Row]:
        """The LR of each iteration."""
        if self.groups == 1:
            return self.values if self.columns == 1 else self.values[:: self.columns]
        return Rows(self.values, self.columns, 0, self.groups)

    @property
    def others(self) -> Sequence[list[float]]:
        """The other hyperparameters of each iteration; empty if there are none."""
        return Rows(self.values, self.columns, self.groups, self.columns) if self.columns > self.groups else ()

    def row(self, iteration: int) -> tuple[Row, list[float]]:
        """LR and other hyperparameters of one of its iterations."""
        first = (iteration - self.start) * self.columns
        row = self.values[first : first + self.columns].tolist()
        return row[0] if self.groups == 1 else row[: self.groups], row[self.groups :]


class Rows(Sequence[list[float]]):
    """Some columns of a table, a list for each row."""

    def __init__(self, values: "array[float]", columns: int, first: int, end: int) -> None:
        self._values, self._columns, self._first, self._width = values, columns, first, end - first

    def __len__(self) -> int:
        return len(self._values) // self._columns

    def __getitem__(self, row: int) -> list[float]:  # type: ignore[override] # rows are never sliced
        if not 0 <= row < len(self):
            raise IndexError(row)
        first = row * self._columns + self._first
        return self._values[first : first + self._width].tolist()

    def column(self, index: int) -> "array[float]":
        """One of the columns."""
        return self._values[self._first + index :: self._columns]


class Curve:
    """A schedule as far as it is known: iterations 0 … total_iterations, in windows of `size`."""

    def __init__(self, metadata: Metadata, size: int, source: Source) -> None:
        self.metadata, self.size, self.source = metadata, size, source

    def window(self, index: int) -> Window | None:
        """A window, None if it is not known."""
        raise NotImplementedError

    def index(self, iteration: int) -> int:
        """Number of the window that an iteration lies in."""
        return iteration // self.size

    def row(self, iteration: int) -> tuple[Row, list[float]] | None:
        """LR and other hyperparameters of an iteration, None if they are not known."""
        window = self.window(self.index(iteration))
        return None if window is None else window.row(iteration)

    def bounds(self, index: int) -> tuple[int, int]:
        """First iteration of a window, and the first one after it."""
        return index * self.size, min((index + 1) * self.size, self.metadata.total_iterations + 1)


class FetchedCurve(Curve):
    """A curve of windows that the service gave, now or before a snapshot was saved.

    Windows are added and dropped by the client's thread, and read by any, without a lock: `_windows` is replaced, never
    altered.
    """

    def __init__(self, metadata: Metadata, size: int, source: Source, windows: Iterable[Window] = ()) -> None:
        super().__init__(metadata, size, source)
        self._windows = {self.index(window.start): window for window in windows}

    def window(self, index: int) -> Window | None:
        """A window, None if it is not known."""
        return self._windows.get(index)

    def windows(self) -> list[Window]:
        """All windows that are known, in order."""
        return [self._windows[index] for index in sorted(self._windows)]

    def nearest(self, iteration: int) -> int | None:
        """The iteration nearest to one whose LR is known; None if none is."""
        ends = [
            min(max(iteration, window.start), window.start + len(window.lrs) - 1) for window in self._windows.values()
        ]
        return min(ends, key=lambda known: abs(known - iteration), default=None)

    def missing(self, focus: int) -> int | None:
        """The first window to fetch while the loop is in window `focus`, None if all that are wanted are known."""
        return next((index for index in self._wanted(focus) if index not in self._windows), None)

    def keep(self, window: Window, focus: int) -> None:
        """Adds a window, and drops those that are not wanted any more."""
        wanted = self._wanted(focus)
        kept = {index: known for index, known in self._windows.items() if index in wanted}
        self._windows = kept | {self.index(window.start): window}  # at once: a reader has the old or the new ones

    def _wanted(self, index: int) -> list[int]:
        """The windows to have in memory while the loop is in one of them, the most urgent first.

        All of them, or those ahead, the one before, and the first: a scheduler is made at the start of the run, and
        only then told where to resume.
        """
        count = self.index(self.metadata.total_iterations) + 1
        if count <= KEPT_WINDOWS:
            return [*range(index, count), *range(index)]
        behind = sorted({0, max(index - 1, 0)} - {index}, reverse=True)
        return [*range(index, min(index + KEPT_WINDOWS - len(behind), count)), *behind]


def metadata_of(answer: dict[str, Any]) -> Metadata:
    """The schedule in an answer of the service. Raises ServiceUnavailable if there is no valid one in it."""
    try:
        names = tuple(_of(group["name"], str) for group in answer["groups"])
        columns = [(_of(column["group"], str), _of(column["hyperparameter"], str)) for column in answer["columns"]]
        total_iterations = _of(answer["total_iterations"], int)
        others = tuple(columns[len(names) :])
        metadata = Metadata(_of(answer["id"], str), _of(answer["spec"], dict), total_iterations, names, others)
    except KeyError as error:
        raise ServiceUnavailable(
            f"the service answered a schedule without {error}, which preheat-client {VERSION} needs: is it a Preheat, "
            "and of a version that is not far from the client's?"
        ) from error
    except TypeError as error:
        raise ServiceUnavailable(f"the service answered something that is not a schedule ({error!r})") from error
    if not names or columns[: len(names)] != [(name, "lr") for name in names]:
        raise ServiceUnavailable("the service answered a schedule whose columns are not those of its param groups")
    if total_iterations < 1:
        raise ServiceUnavailable(f"the service answered a schedule of {total_iterations} iterations")
    return metadata


def npy_bytes(length: int, columns: int) -> int:
    """An upper bound of the size of a NPY file of float64, shape (length, columns)."""
    return 256 + length * columns * 8


def window_of(npy: bytes, start: int, length: int, groups: int, columns: int) -> Window:
    """The window in a NPY file (format version 1.0: numpy.lib.format) of float64, shape (length, columns), LRs first.

    Raises ServiceUnavailable unless it is exactly that, of values that are finite and not negative.
    """
    header_length = int.from_bytes(npy[8:10], "little")
    header, data = npy[10 : 10 + header_length], npy[10 + header_length :]
    expected = f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({length}, {columns}), }}"
    if npy[:8] != b"\x93NUMPY\x01\x00" or header.decode("latin-1").strip() != expected:
        raise ServiceUnavailable(f"the service answered something that is not {length} × {columns} LRs")
    return Window(start, values_of(data, length * columns), groups, columns)


def values_of(data: bytes, count: int) -> "array[float]":
    """So many float64, little endian. Raises ServiceUnavailable unless they are, each finite and not negative."""
    if len(data) != count * 8:
        raise ServiceUnavailable(f"the service answered {len(data)} bytes of {count} values")
    values = array("d", data)
    if sys.byteorder == "big":
        values.byteswap()
    if not math.isfinite(sum(values)) or min(values, default=0.0) < 0:  # one that is not finite makes the sum so
        raise ServiceUnavailable("the service answered an LR that is negative or not finite")
    return values


def data_of(values: "array[float]") -> bytes:
    """The inverse of `values_of`."""
    if sys.byteorder == "big":
        values = array("d", values)
        values.byteswap()
    return values.tobytes()


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r:.80} is not {kind.__name__}")
    return value
