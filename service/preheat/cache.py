"""A cache of the values used last, within a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class _Entry(Generic[Value]):
    """A kept value, what it weighs in bytes, and whether it was used since it was last looked at for eviction."""

    __slots__ = ("is_used", "value", "weight")

    def __init__(self, value: Value, weight: int) -> None:
        self.value, self.weight, self.is_used = value, weight, False


class BoundedCache(Generic[Value]):
    """Values by key, together at most `max_bytes`; those that were not used for longest leave first.

    A value is weighed by `size_of` when it is put, and again by `grew`; the others are not. Second chance stands for
    the order of use: the oldest value leaves unless it was used meanwhile, which makes it the youngest. So `get` moves
    nothing and takes no lock; it is on the way of every point. Safe to use from several threads.

    `hits`, `misses` and `evictions` count since the start; two threads at once may count one for two.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        self.max_bytes = max_bytes
        self.bytes_held = 0
        self.hits = self.misses = self.evictions = 0
        self._size_of = size_of
        self._entries: OrderedDict[str, _Entry[Value]] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Value | None:
        """The value, or None."""
        entry = self._entries.get(key)  # one look-up, which no other thread can interrupt
        if entry is None:
            self.misses += 1
            return None
        self.hits += 1
        entry.is_used = True
        return entry.value

    def put(self, key: str, value: Value) -> None:
        """Keeps the value, at the expense of older ones; one larger than the whole cache is not kept."""
        weight = self._size_of(value)
        with self._lock:
            left = self._settle(key, value, weight)
        del left  # a large value takes its time to be freed: not under the lock

    def grew(self, key: str) -> None:
        """Weighs the value again, if it is kept."""
        with self._lock:
            entry = self._entries.get(key)
            left = self._settle(key, entry.value, self._size_of(entry.value)) if entry else None
        del left

    def drop(self, key: str) -> None:
        """Keeps the value no longer."""
        with self._lock:
            self._remove(key)

    def clear(self) -> None:
        """Keeps nothing longer."""
        with self._lock:
            left, self._entries = self._entries, OrderedDict()
            self.bytes_held = 0
        del left

    def _settle(self, key: str, value: Value, weight: int) -> list[_Entry[Value] | None]:
        """Makes a value the youngest, and evicts others until it fits; returns what left."""
        if weight > self.max_bytes:
            return [self._remove(key)]
        before = self._entries.get(key)
        self._entries[key] = _Entry(value, weight)  # in the place of the one before: `get` finds one or the other
        self._entries.move_to_end(key)
        self.bytes_held += weight - (before.weight if before else 0)
        left = [before]
        while self.bytes_held > self.max_bytes:
            oldest, entry = next(iter(self._entries.items()))
            if entry.is_used or oldest == key:
                entry.is_used = False
                self._entries.move_to_end(oldest)
            else:
                self.evictions += 1
                left.append(self._remove(oldest))
        return left

    def _remove(self, key: str) -> _Entry[Value] | None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes_held -= entry.weight
        return entry
