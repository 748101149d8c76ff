"""Schedules on disk, for a start without the service."""

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from preheat_client.document import Document, Request
from preheat_client.errors import PreheatError
from preheat_client.windows import Window, data_of, values_of

_LOG = logging.getLogger("preheat_client")
_MAGIC = "preheat-snapshot"
_VERSION = 1
_ABANDONED_AFTER_S = 3600.0


class InvalidSnapshot(PreheatError):
    """A file that is no snapshot of the schedule, or not one that this version can read."""


@dataclass(frozen=True)
class Snapshot:
    """What was known of a schedule when it was saved, in seconds since the epoch."""

    document: Document
    size: int
    windows: tuple[Window, ...]
    saved_at: float


class Snapshots:
    """The snapshots in a folder, one for each service and request.

    A file is a line `preheat-snapshot VERSION SHA-256`, a line of JSON, and the windows' float64, little endian; the
    sum is that of everything after the first line. It is written aside, synchronised and renamed, so that there is
    always a whole one.
    """

    def __init__(self, folder: Path, service: str) -> None:
        self._folder, self._service = folder, service

    def path(self, request: Request) -> Path:
        """The file for a request."""
        key = hashlib.sha256(f"{self._service}\n{request.key}".encode()).hexdigest()[:32]
        return self._folder / f"{key}.preheat"

    def save(self, request: Request, document: Document, size: int, windows: Iterable[Window]) -> None:
        """Writes a snapshot. Raises OSError; what was there before then stays."""
        kept = tuple(windows)
        header = {
            "service": self._service,
            "request": request.key,
            "document": asdict(document),
            "size": size,
            "starts": [window.start for window in kept],
            "lengths": [len(window.values) for window in kept],
            "saved_at": time.time(),
        }
        content = json.dumps(header).encode() + b"\n" + b"".join(data_of(window.values) for window in kept)
        first = f"{_MAGIC} {_VERSION} {hashlib.sha256(content).hexdigest()}\n".encode()
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        _replace(self.path(request), first + content)

    def read(self, request: Request) -> Snapshot | None:
        """The snapshot of a request; None if there is none, or none that is right, which is logged."""
        path = self.path(request)
        try:
            return self._parsed(path.read_bytes(), request)
        except FileNotFoundError:
            return None
        except (OSError, PreheatError, ValueError, KeyError, TypeError, RecursionError) as error:
            _LOG.warning("the snapshot %s is ignored: %s", path, error)
            return None

    def _parsed(self, data: bytes, request: Request) -> Snapshot:
        first, _, content = data.partition(b"\n")
        magic, _, rest = first.decode("latin-1").partition(" ")
        version, _, checksum = rest.partition(" ")
        if magic != _MAGIC:
            raise InvalidSnapshot("it is not a snapshot")
        if version != str(_VERSION):
            raise InvalidSnapshot(f"its version is {version:.20}, this client reads {_VERSION}")
        if checksum != hashlib.sha256(content).hexdigest():
            raise InvalidSnapshot("its checksum is wrong")
        line, _, values = content.partition(b"\n")
        header: dict[str, Any] = json.loads(line)
        if (header["service"], header["request"]) != (self._service, request.key):
            raise InvalidSnapshot(f"it belongs to {header['service']}, {header['request']:.60}")
        return _snapshot(header, values)

    def _sweep(self) -> None:
        """Removes what writers that were killed have left."""
        for path in self._folder.glob("*.preheat-writing"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                    path.unlink()


def _snapshot(header: dict[str, Any], data: bytes) -> Snapshot:
    stored = header["document"]
    names, others = tuple(stored["group_names"]), tuple(tuple(each) for each in stored["hyperparameter_columns"])
    document = Document(stored["id"], stored["spec"], stored["total_iterations"], names, others)
    windows, first = [], 0
    for start, length in zip(header["starts"], header["lengths"], strict=True):
        values = values_of(data[first : first + length * 8], length)
        windows.append(Window(start, values, len(names), document.columns))
        first += length * 8
    return Snapshot(document, header["size"], tuple(windows), header["saved_at"])


def _replace(path: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(suffix=".preheat-writing", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
