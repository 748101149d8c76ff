"""Work in a child process that has so much memory and time and no more, and work counted by calls."""

import multiprocessing
import resource
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

_MODULES = [
    "preheat.analysis.difference",
    "preheat.analysis.window",
    "preheat.conversions.exporters",
    "preheat.conversions.importers",
    "preheat.lint",
    "preheat.plot.render",
]
_MB = 1_000_000


def in_child(function: Callable[..., Any], *arguments: Any, seconds: float, megabytes: int) -> Any:
    """What a function of a module returns in a process that is killed after `seconds`.

    It can have `megabytes` of data more than when it starts. Fails with what it raises, or if it has to be killed.
    """
    context = multiprocessing.get_context("forkserver")  # torch is imported once, and not by every child
    context.set_forkserver_preload(_MODULES)
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_run, args=(theirs, megabytes, function, arguments), daemon=True)
    child.start()
    theirs.close()
    try:
        assert ours.poll(seconds), f"{function.__name__} had to be killed after {seconds} s"
        result, error = ours.recv()
    finally:
        child.kill()
        child.join()
        ours.close()
    assert error is None, error
    return result


def calls(function: Callable[..., Any], *arguments: Any) -> int:
    """How many functions are called, Python's own and others: a measure of work that a busy machine does not change."""
    count = 0

    def count_call(_frame: Any, event: str, _argument: Any) -> None:
        nonlocal count
        count += event in {"call", "c_call"}

    before = sys.getprofile()
    sys.setprofile(count_call)
    try:
        function(*arguments)
    finally:
        sys.setprofile(before)
    return count


def _run(pipe: Any, megabytes: int, function: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    data = next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith("VmData"))
    resource.setrlimit(resource.RLIMIT_DATA, (data + megabytes * _MB,) * 2)
    try:
        pipe.send((function(*arguments), None))
    except BaseException as error:  # noqa: BLE001 - MemoryError too: all of it is told to the test
        pipe.send((None, f"{type(error).__name__}: {error}"))
