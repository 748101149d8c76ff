"""A folder in which the processes of one service share their metrics, where no setting names one."""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from pathlib import Path

from preheat.observability.workers import is_dead

_PREFIX = "preheat-metrics-"


class MetricsFolder:
    """Made at the start and removed at the end; what a service that was killed has left, the next one removes."""

    def __init__(self) -> None:
        """Raises OSError if there is no place for one."""
        _remove_leftovers(Path(tempfile.gettempdir()))
        self.path, self._held = _made()

    def remove(self) -> None:
        """Removes it with all that is in it, and lets go of its lock."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._held)


def _made() -> tuple[Path, int]:
    """A new folder, and a descriptor by which this process holds its lock for as long as it runs, however it ends."""
    while True:
        path = Path(tempfile.mkdtemp(prefix=_PREFIX))
        with suppress(FileNotFoundError):  # another one that starts at this moment has taken it for a leftover
            descriptor = os.open(path, os.O_RDONLY)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if path.exists():
                return path, descriptor
            os.close(descriptor)


def _remove_leftovers(parent: Path) -> None:
    for path in parent.glob(f"{_PREFIX}*"):
        with suppress(OSError):  # somebody else's, or gone meanwhile
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            try:
                if os.fstat(descriptor).st_uid == os.getuid() and _is_left(path, descriptor):
                    shutil.rmtree(path, ignore_errors=True)
            finally:
                os.close(descriptor)


def _is_left(path: Path, descriptor: int) -> bool:
    """Whether neither the service that made the folder runs, nor a worker that has outlived it for a while.

    If so, the lock of the folder is held.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return all(is_dead(file) for file in path.glob("*.alive"))
