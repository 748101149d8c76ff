"""A command on a terminal of its own, as a person sees it; Ctrl-C is the signal that a terminal sends for it."""

import codecs
import fcntl
import os
import re
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

_ESCAPES = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
_LINE_ENDS = re.compile(r"[\r\n]|\x1b\[[0-9]*[AK]")  # the cursor goes up, or a line is cleared
_TIMEOUT_S = 60.0


class Terminal:
    """A process whose stdin, stdout and stderr are one terminal; `written` is all that it wrote, escapes included."""

    def __init__(self, process: "subprocess.Popen[bytes]", descriptor: int) -> None:
        self.process, self.written = process, ""
        self._descriptor = descriptor
        # A frame that Ctrl-C cuts may end within a character.
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    @property
    def text(self) -> str:
        """What it wrote, without escapes."""
        return _ESCAPES.sub("", self.written)

    @property
    def lines(self) -> list[str]:
        """The lines that it drew, those that it drew over included."""
        return [_ESCAPES.sub("", line) for line in _LINE_ENDS.split(self.written)]

    def read_until(self, text: str, timeout_s: float = _TIMEOUT_S) -> None:
        """Reads until the text was written; fails the test if it is not within the time, or before the end."""
        give_up = time.monotonic() + timeout_s
        while text not in self.text:
            assert time.monotonic() < give_up, f"{text!r} was not written, but {self.text!r}"
            assert self._read(), f"{text!r} was not written to the end, but {self.text!r}"

    def type(self, line: str) -> None:
        """Types a line."""
        os.write(self._descriptor, line.encode() + b"\n")

    def interrupt(self) -> None:
        """Ctrl-C."""
        self.process.send_signal(signal.SIGINT)

    def exit_code(self) -> int:
        """How it ended, after reading what is left; fails the test if it does not end within the time."""
        give_up = time.monotonic() + _TIMEOUT_S
        while self._read():
            assert time.monotonic() < give_up, f"it has not ended, but wrote {self.text!r}"
        return self.process.wait(_TIMEOUT_S)

    def _read(self) -> bool:
        """Reads what there is; False at the end."""
        if select.select([self._descriptor], [], [], 0.2)[0]:
            try:
                piece = os.read(self._descriptor, 65_536)
            except OSError:  # what Linux says at the end
                return False
            self.written += self._decoder.decode(piece)
            return bool(piece)
        return self.process.poll() is None


@contextmanager
def on_a_terminal(*command: str, columns: int = 100, lines: int = 50, **variables: str) -> Iterator[Terminal]:
    """A command that runs on a terminal of so many columns; killed at the end if it has not ended."""
    ours, theirs = os.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        environment = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
        environment |= {"TERM": "xterm-256color", **variables}
        with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment) as process:
            os.close(theirs)
            try:
                yield Terminal(process, ours)
            finally:
                if process.poll() is None:
                    process.kill()
    finally:
        os.close(ours)
