"""Snapshots: what is known of a schedule, kept on disk for a start without the service."""

import contextlib
import hashlib
import json
import logging
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from preheat_client._core.curve import FetchedCurve, Metadata, Window, data_of, values_of
from preheat_client._core.request import Request
from preheat_client.errors import PreheatError

_LOG = logging.getLogger("preheat_client")
_MAGIC = "preheat-snapshot"
_VERSION = 1
_ABANDONED_AFTER_S = 3600.0


class InvalidSnapshot(PreheatError):
    """A file that is not a snapshot of the schedule, or not one that this version can read."""


class Snapshots:
    """The snapshots in a folder: for each service one by the spec that was asked for, and one by the schedule's id.

    A file is a line `preheat-snapshot VERSION SHA-256`, a line of JSON, and the windows' float64, little endian; the
    sum is that of everything after the first line. It is written under another name, synchronised and renamed, so that
    there is always a whole one.
    """

    def __init__(self, folder: Path, service: str) -> None:
        self._folder, self._service = folder, service

    def path(self, request: Request) -> Path:
        """The file for a request."""
        # Not the id: that is not known before the service has answered.
        key = hashlib.sha256(f"{self._service}\n{request.key}".encode()).hexdigest()[:32]
        return self._folder / f"{key}.preheat"

    def save(self, request: Request, curve: FetchedCurve) -> None:
        """Writes a snapshot, to be found by the spec that was asked for and by the schedule's id.

        Raises OSError; what was there before then stays.
        """
        windows = curve.windows()
        header = {
            "service": self._service,
            "document": asdict(curve.metadata),
            "size": curve.size,
            "starts": [window.start for window in windows],
            "lengths": [len(window.values) for window in windows],
            "saved_at": time.time(),
        }
        values = b"".join(data_of(window.values) for window in windows)
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._sweep()
        # First what this process would look for: a disk may be full after it.
        for each in dict.fromkeys((request, Request(schedule_id=curve.metadata.id))):
            content = json.dumps({**header, "request": each.key}).encode() + b"\n" + values
            first = f"{_MAGIC} {_VERSION} {hashlib.sha256(content).hexdigest()}\n".encode()
            _replace(self.path(each), first + content)

    def read(self, request: Request) -> tuple[FetchedCurve, float] | None:
        """The curve in the snapshot of a request, and when it was saved, in seconds since the epoch.

        None if there is no snapshot, or only one that cannot be used, which is logged.
        """
        path = self.path(request)
        try:
            return self._parsed(path.read_bytes(), request)
        except FileNotFoundError:
            return None
        except (OSError, PreheatError, ValueError, KeyError, TypeError, RecursionError) as error:
            _LOG.warning("the snapshot %s is ignored: %s", path, error)
            return None

    def _parsed(self, data: bytes, request: Request) -> tuple[FetchedCurve, float]:
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
        return _curve_of_snapshot(header, values), header["saved_at"]

    def _sweep(self) -> None:
        """Removes what writers that were killed have left."""
        for path in self._folder.glob("*.preheat-writing"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                    path.unlink()


def _curve_of_snapshot(header: dict[str, Any], data: bytes) -> FetchedCurve:
    stored = header["document"]
    names = tuple(stored["group_names"])
    others = tuple((group, name) for group, name in stored["hyperparameter_columns"])
    metadata = Metadata(stored["id"], stored["spec"], stored["total_iterations"], names, others)
    windows, first = [], 0
    for start, length in zip(header["starts"], header["lengths"], strict=True):
        values = values_of(data[first : first + length * 8], length)
        windows.append(Window(start, values, len(names), metadata.columns))
        first += length * 8
    return FetchedCurve(metadata, header["size"], "snapshot", windows)


def _replace(path: Path, content: bytes) -> None:
    writing = path.with_name(f"{os.urandom(8).hex()}.preheat-writing")
    try:
        with os.fdopen(os.open(writing, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # before the rename, or a crash may leave an empty file under the right name
        writing.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            writing.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)  # the rename itself is in the folder
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
