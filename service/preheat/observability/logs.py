"""Logging: every line of the service in one format, JSON or text, written so that no reader can stop the service."""

import atexit
import json
import logging
import os
import queue
import re
import threading
import time
import traceback
from datetime import UTC, datetime
from typing import Any, Literal

from preheat.masking import masked
from preheat.observability.request_id import current_request_id, current_trace_id

Format = Literal["auto", "json", "text"]
Level = Literal["debug", "info", "warning", "error"]

_STDERR = 2
_MOST_LINES_WAITING = 10_000
_FLUSH_TIMEOUT_S = 1.0
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
"""Characters that begin a line, move a terminal's cursor, change the direction of text, or are none in UTF-8."""


def configure(log_format: Format, log_level: Level) -> None:
    """Sends every log line of this process to stderr: ours, those of libraries, warnings, and errors of threads."""
    root = logging.getLogger()
    handler = next((each for each in root.handlers if isinstance(each, _Output)), None) or _Output(_STDERR)
    handler.setFormatter(JSONFormatter() if resolved(log_format) == "json" else TextFormatter())
    root.addHandler(handler)
    level = log_level.upper()
    # Libraries tell of their steps at info: of each connection, of each migration that was looked for.
    root.setLevel(level if log_level in {"debug", "error"} else logging.WARNING)
    logging.getLogger("preheat").setLevel(level)
    logging.captureWarnings(capture=True)
    threading.excepthook = _log_error_of_thread


def resolved(log_format: Format, descriptor: int = _STDERR) -> Literal["json", "text"]:
    """The format itself: `auto` is text on a terminal and JSON elsewhere."""
    if log_format == "auto":
        return "text" if os.isatty(descriptor) else "json"
    return log_format


def flush() -> None:
    """Waits until what was logged is written, for a second at most."""
    for handler in logging.getLogger().handlers:
        handler.flush()


def lost_lines() -> int:
    """How many lines could not be written since the start."""
    return sum(handler.lost for handler in logging.getLogger().handlers if isinstance(handler, _Output))


def say(text: str, log_format: Format, descriptor: int = 1) -> None:
    """Tells whoever started the service something on stdout; nobody need be there to read it."""
    if resolved(log_format, descriptor) == "json":
        text = json.dumps({"time": _timestamp(time.time()), "level": "info", "logger": "preheat", "message": text})
    try:
        os.write(descriptor, f"{text}\n".encode())
    except OSError:
        return  # a closed terminal, a full disk


class JSONFormatter(logging.Formatter):
    """A JSON object in one line of ASCII; what a record has in `fields` are members of it."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": _timestamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _message(record),
            **_fields(record),
        }
        if record.exc_info and record.exc_info[1]:
            line["traceback"] = "".join(traceback.format_exception(record.exc_info[1]))
        return json.dumps(line, default=str)


class TextFormatter(logging.Formatter):
    """A line for people, then a traceback below it, indented so that none of its lines looks like another record's."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, or the lines."""
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        # Without the date: it is today's.
        time_of_day = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        text = one_line(f"{time_of_day} {record.levelname.lower():7} {_message(record)} {fields}".rstrip())
        if record.exc_info and record.exc_info[1]:
            lines = "".join(traceback.format_exception(record.exc_info[1])).splitlines()
            text = "\n    ".join([text, *map(one_line, lines)])
        return text


def one_line(text: str) -> str:
    """The text with an escape for each character that would begin a line or command a terminal."""
    return _UNSAFE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


class _Output(logging.Handler):
    """Writes lines to a file descriptor on a thread of its own.

    A reader that is slow or gone, or a full disk, costs lines and never a request's time. `lost` counts them.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self.lost = 0
        self._descriptor = descriptor
        self._lines: queue.Queue[bytes] = queue.Queue(_MOST_LINES_WAITING)
        self._thread = threading.Thread(target=self._write, name="log", daemon=True)
        self._thread.start()
        atexit.register(self.flush)  # logging's own shutdown may come before somebody's last words

    def emit(self, record: logging.LogRecord) -> None:
        """Hands a line to the thread."""
        try:
            self._lines.put_nowait(f"{masked(self.format(record))}\n".encode(errors="backslashreplace"))
        except queue.Full:
            self.lost += 1

    def flush(self) -> None:
        """Waits until every line is written, for a second at most."""
        give_up = time.monotonic() + _FLUSH_TIMEOUT_S
        while self._lines.unfinished_tasks and time.monotonic() < give_up:
            time.sleep(0.002)

    def _write(self) -> None:
        while True:
            line = self._lines.get()
            try:
                while line:
                    line = line[os.write(self._descriptor, line) :]
            except OSError:
                self.lost += 1
            finally:
                self._lines.task_done()


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except (TypeError, ValueError):  # arguments that do not fit: better the bare text than no line
        return str(record.msg)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    """What a record says besides its message; the request that it belongs to first."""
    request = {"request_id": current_request_id.get(), "trace_id": current_trace_id.get()}
    own: dict[str, Any] = getattr(record, "fields", {})
    return {name: value for name, value in (request | own).items() if value is not None}


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _log_error_of_thread(arguments: threading.ExceptHookArgs) -> None:
    if arguments.exc_type is SystemExit or arguments.exc_value is None:
        return
    name = arguments.thread.name if arguments.thread else "?"
    error = arguments.exc_value
    logging.getLogger("preheat").error("the thread %s failed", name, exc_info=error)
