"""The most recently used values, within a number of bytes."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class BoundedCache(Generic[Value]):
    """Values by key; the ones unused for longest leave once `size_of` all exceeds `max_bytes`.

    Values may grow: they are measured again whenever one is added. Safe to use from several threads.
    """

    def __init__(self, max_bytes: int, size_of: Callable[[Value], int]) -> None:
        self._max_bytes = max_bytes
        self._size_of = size_of
        self._values: OrderedDict[str, Value] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Value | None:
        """The value, now the most recently used, or None."""
        with self._lock:
            value = self._values.get(key)
            if value is not None:
                self._values.move_to_end(key)
            return value

    def put(self, key: str, value: Value) -> None:
        """Keeps the value, at the expense of older ones; one larger than the whole cache is not kept."""
        with self._lock:
            self._values[key] = value
            self._values.move_to_end(key)
            sizes = {key: self._size_of(value) for key, value in self._values.items()}
            total = sum(sizes.values())
            while total > self._max_bytes:
                oldest, _ = self._values.popitem(last=False)
                total -= sizes[oldest]
