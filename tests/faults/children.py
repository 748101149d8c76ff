"""Child processes forked from a server that has imported everything, so that one more costs no second of importing."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from multiprocessing import forkserver
from typing import Any

_CONTEXT = multiprocessing.get_context("forkserver")
_LOCK = threading.Lock()
"""multiprocessing asks after all its children whenever one is started, from whichever thread."""

_DIES_WITH_PARENT = 1  # PR_SET_PDEATHSIG


class Child:
    """A process that runs a function, and can be killed, stopped and continued."""

    def __init__(self, function: Callable[..., Any], *arguments: Any) -> None:
        with _LOCK:
            _start_server()
            self._process = _CONTEXT.Process(target=_begin, args=(function, arguments), daemon=True)
            self._process.start()
        self.pid = int(self._process.pid or 0)

    @property
    def exitcode(self) -> int | None:
        """None while it runs; negative for the signal that ended it."""
        with _LOCK:
            return self._process.exitcode

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal, if it still runs."""
        if self.exitcode is None:
            with suppress(ProcessLookupError):
                os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL; returns once it has gone."""
        self.signal(signal.SIGKILL)
        assert self.wait(60) is not None, f"process {self.pid} is still there a minute after SIGKILL"

    def wait(self, timeout_s: float) -> int | None:
        """Its exit code; None if it runs on."""
        give_up = time.monotonic() + timeout_s
        while (code := self.exitcode) is None and time.monotonic() < give_up:
            time.sleep(0.02)
        return code


@cache
def _start_server() -> None:
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)  # which the server is not told else (python/cpython#117378)
    _CONTEXT.set_forkserver_preload(["faults.preloaded"])
    forkserver.ensure_running()
    if before is None:
        del os.environ["PYTHONPATH"]
    else:
        os.environ["PYTHONPATH"] = before


def _begin(function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
    function(*arguments)
