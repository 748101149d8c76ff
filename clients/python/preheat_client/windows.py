"""Windows: successive iterations of a schedule, as numbers in memory."""

import math
import sys
from array import array
from collections.abc import Sequence
from dataclasses import dataclass

from preheat_client.errors import ServiceUnavailable

Row = float | list[float]
"""The LR of one iteration: a number for one param group, a list for several."""

KEPT = 16
"""How many windows are kept: a schedule that has no more is kept whole."""


@dataclass(frozen=True)
class Layout:
    """How the iterations 0 … rows − 1 are cut into windows of `size`."""

    rows: int
    size: int

    @property
    def count(self) -> int:
        """How many windows there are."""
        return -(-self.rows // self.size)

    @property
    def is_whole(self) -> bool:
        """Whether all of them are kept."""
        return self.count <= KEPT

    def index(self, iteration: int) -> int:
        """Number of the window that an iteration lies in."""
        return iteration // self.size

    def bounds(self, index: int) -> tuple[int, int]:
        """First iteration of a window, and the first one after it."""
        return index * self.size, min((index + 1) * self.size, self.rows)

    def wanted(self, index: int) -> list[int]:
        """The windows to have in memory while the loop is in one of them, the most urgent first.

        All of them, or those ahead, the one before, and the first: a scheduler is made at the start of the run, and
        only then told where to resume.
        """
        if self.is_whole:
            return [*range(index, self.count), *range(index)]
        behind = sorted({0, max(index - 1, 0)} - {index}, reverse=True)
        return [*range(index, min(index + KEPT - len(behind), self.count)), *behind]


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
        return _Rows(self.values, self.columns, 0, self.groups)

    @property
    def others(self) -> Sequence[list[float]]:
        """The other hyperparameters of each iteration; empty if there are none."""
        return _Rows(self.values, self.columns, self.groups, self.columns) if self.columns > self.groups else ()


class _Rows(Sequence[list[float]]):
    """Some columns of a table, a list for each row."""

    def __init__(self, values: "array[float]", columns: int, first: int, end: int) -> None:
        self._values, self._columns, self._first, self._width = values, columns, first, end - first

    def __len__(self) -> int:
        return len(self._values) // self._columns

    def __getitem__(self, row: int) -> list[float]:  # type: ignore[override] # nobody slices rows
        if not 0 <= row < len(self):
            raise IndexError(row)
        first = row * self._columns + self._first
        return self._values[first : first + self._width].tolist()


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
