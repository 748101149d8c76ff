"""What the worker processes of a test do."""

import os
import time
from collections.abc import Callable
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


_KEPT: list[bytes] = []
