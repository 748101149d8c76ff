"""The memory of a worker process: its limit, which the system keeps, and how much of it is in use."""

import gc
import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


class MemoryLimit:
    """Lets this process take `max_bytes` more than it has now; what needs more gets a MemoryError.

    The limit is RLIMIT_DATA, which on Linux counts what a process could write to, and not only what it has written to.
    Where there is no /proc there is no limit.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._at_start = _data_bytes()
        if self._at_start is not None:
            _, most = resource.getrlimit(resource.RLIMIT_DATA)
            limit = self._at_start + max_bytes
            if most != resource.RLIM_INFINITY:
                limit = min(limit, most)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, most))

    def is_half_used(self) -> bool:
        """Whether what is kept between two jobs leaves less than half of the limit to the next."""
        if self._at_start is None or self._taken(self._at_start) <= self._max_bytes // 2:
            return False
        gc.collect()
        return self._taken(self._at_start) > self._max_bytes // 2

    def _taken(self, at_start: int) -> int:
        return (_data_bytes() or 0) - at_start


def _data_bytes() -> int | None:
    """What RLIMIT_DATA counts of this process, in bytes; None if the system does not say."""
    try:
        status = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    found = [line.split()[1] for line in status.splitlines() if line.startswith("VmData:")]
    return int(found[0]) * 1024 if found else None
