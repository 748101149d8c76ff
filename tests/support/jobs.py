"""What the worker processes of a test do."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def handler(greeting: str) -> Callable[[tuple[str, Any]], Any]:
    """Does a job by its name: `greet`, `spin` for good, hold the `lock` of Python for s, `take` bytes, `end`, `pid`."""

    def handle(job: tuple[str, Any]) -> Any:
        name, argument = job
        if name == "spin":
            while True:
                pass
        if name == "sleep":
            time.sleep(argument)
        if name == "take":
            return len(bytes(argument))
        if name == "end":
            os._exit(argument)
        if name == "keep":
            _KEPT.append(bytes(argument))
        return os.getpid() if name == "pid" else greeting

    return handle


def endless(file: str) -> Callable[[Any], Any]:
    """Never gets ready: writes its process's id into a file, and sleeps."""
    Path(file).write_text(str(os.getpid()))
    time.sleep(600)
    raise AssertionError("nobody ended this process")


_KEPT: list[bytes] = []
