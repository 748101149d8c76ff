"""The command line in processes of its own that need not import anything: they are forked from one that has.

Importing torch and the web framework takes seconds of CPU, a fork a few milliseconds. What a test says of the start
itself (imports, closed streams, encodings) it says of a process that is started as a user does.
"""

import atexit
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, Self

_MOST_BYTES = 1_000_000
_SCRIPT = (
    "import sys; sys.path.insert(0, sys.argv[1]); from support.forked import fork_each; fork_each(int(sys.argv[2]))"
)


def start_preheat(
    arguments: Sequence[str],
    environment: Mapping[str, str],
    stdout: Any = subprocess.DEVNULL,
    stderr: Any = subprocess.DEVNULL,
    *,
    is_forked: bool = True,
) -> "Forked | subprocess.Popen[bytes]":
    """`preheat` with these arguments, in a session of its own; `stdout` and `stderr` are files, or the null device."""
    if is_forked and sys.platform == "linux":  # elsewhere there are no pidfds
        return Forked(arguments, environment, stdout, stderr)
    command = [sys.executable, "-m", "preheat", *arguments]
    return subprocess.Popen(command, env=environment, stdout=stdout, stderr=stderr, start_new_session=True)


def run_preheat(*arguments: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """`preheat` with these arguments and further environment variables, once it has ended by itself."""
    with TemporaryFile() as out, TemporaryFile() as err:
        process = start_preheat(arguments, {**os.environ, **variables}, out, err)
        try:
            process.wait(120)
        finally:
            process.kill()
        out.seek(0)
        err.seek(0)
        return subprocess.CompletedProcess(arguments, process.wait(), out.read().decode(), err.read().decode())


class Forked:
    """A process that was forked, with the methods of a `subprocess.Popen`."""

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], stdout: Any, stderr: Any) -> None:
        asked = {"arguments": list(arguments), "environment": dict(environment), "folder": str(Path.cwd())}
        self._told, telling = socket.socketpair()
        with telling, _opened(stdout) as out, _opened(stderr) as err:
            socket.send_fds(_forker(), [json.dumps(asked).encode()], [out, err, telling.fileno()])
        self.returncode: int | None = None
        self.pid = int(self._told.recv(100))

    def __enter__(self) -> Self:
        """Itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Waits for its end."""
        self.wait()

    def poll(self) -> int | None:
        """Its exit code, or minus the signal that ended it, if it has ended."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The same, once it has. Raises TimeoutExpired."""
        if self.returncode is None:
            self._told.settimeout(timeout)
            try:
                self.returncode = int(self._told.recv(100))
            except (TimeoutError, BlockingIOError):
                raise subprocess.TimeoutExpired("preheat", timeout or 0) from None
            self._told.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends it, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)


@contextmanager
def _opened(stream: Any) -> Iterator[int]:
    """The number of a file, or of the null device."""
    if stream != subprocess.DEVNULL:
        yield stream.fileno()
        return
    with Path(os.devnull).open("wb") as null:
        yield null.fileno()


@cache
def _forker() -> socket.socket:
    """What is asked for each process: one for this process, ended with it."""
    asking, asked = socket.socketpair(type=socket.SOCK_SEQPACKET)
    with asked:
        command = [sys.executable, "-c", _SCRIPT, str(Path(__file__).parents[1]), str(asked.fileno())]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, pass_fds=[asked.fileno()], start_new_session=True
        )

    def end() -> None:
        asking.close()
        process.wait()

    atexit.register(end)
    return asking


def fork_each(number: int) -> None:
    """Forks as often as it is asked to at a socket, and tells each asker pid and exit code; ends with the asker."""
    import preheat.api  # noqa: PLC0415 - once, for all
    import preheat.server  # noqa: F401, PLC0415
    from preheat.__main__ import main  # noqa: PLC0415

    gc.freeze()
    order = _order_of_this_process(number)
    if order is not None:
        os.closerange(3, os.sysconf("SC_OPEN_MAX"))  # what is for other processes
        sys.argv = ["preheat", *order["arguments"]]
        os.environ.clear()
        os.environ.update(order["environment"])
        os.chdir(order["folder"])
        main()


def _order_of_this_process(number: int) -> dict[str, Any] | None:
    """What is ordered, in each process that is forked for an order; in the one that forks them None, at the end."""
    with socket.socket(fileno=number) as orders, selectors.DefaultSelector() as watched:
        watched.register(orders, selectors.EVENT_READ)
        while True:
            for key, _ in watched.select():
                if key.data is not None:
                    watched.unregister(key.fd)
                    _tell_the_end(key.fd, *key.data)
                    continue
                order, streams, _, _ = socket.recv_fds(orders, _MOST_BYTES, 3)
                if not order:
                    return None
                child = os.fork()
                if not child:
                    os.setsid()
                    with Path(os.devnull).open("rb") as null:
                        os.dup2(null.fileno(), 0)
                    os.dup2(streams[0], 1)
                    os.dup2(streams[1], 2)
                    wanted: dict[str, Any] = json.loads(order)
                    return wanted
                os.close(streams[0])
                os.close(streams[1])
                os.write(streams[2], str(child).encode())
                watched.register(os.pidfd_open(child), selectors.EVENT_READ, (child, streams[2]))


def _tell_the_end(pidfd: int, child: int, telling: int) -> None:
    os.close(pidfd)
    os.write(telling, str(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])).encode())
    os.close(telling)
