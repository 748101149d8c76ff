"""Metrics of several worker processes: each writes its own into a shared folder, and whoever is asked adds them up.

prometheus-client's multiprocess mode keeps the files of every worker that ever died, and takes no collectors of one's
own. Here what a dead worker counted goes over into one file: counters never fall, and files do not pile up.
"""

import fcntl
import logging
import os
import secrets
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import orjson
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector

_LOG = logging.getLogger("preheat")

INTERVAL_S = 1.0
"""How often a worker writes; others know no more than what it wrote last, and a kill loses no more than that."""

_GONE, _LOCK, _DRAFT = "gone.json", "folder.lock", ".draft"
_LEAST = {"process_start_time_seconds"}
_SAME = "info"

_Families = dict[str, tuple[str, str, dict[str, float]]]
"""By name: type, help, and the samples' values by the JSON text of name and labels."""


class SharedMetrics:
    """The metrics of this worker in the folder, and the sum over all workers."""

    def __init__(self, folder: Path, registry: CollectorRegistry) -> None:
        self._folder, self._registry = folder, registry
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file, self._alive = folder / f"{name}.json", folder / f"{name}.alive"
        self._held: int | None = None
        self._writing = threading.Lock()
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._is_failing = False

    def start(self) -> None:
        """Writes for the first time, and then every second."""
        with _locked(self._folder / _LOCK):  # until its lock is held, the file would look like a dead worker's
            self._held = os.open(self._alive, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_EX)  # the system lets go of it when this process ends, however it ends
        self._write()
        self._thread.start()

    def stop(self) -> None:
        """Writes for the last time; from then on this worker counts as dead."""
        if self._held is None:
            return
        self._stopped.set()
        self._thread.join(INTERVAL_S)
        self._write()
        os.close(self._held)
        self._held = None

    def merged(self) -> CollectorRegistry:
        """A registry with the sum over all workers, this one up to date."""
        self._write()
        try:
            with _locked(self._folder / _LOCK):
                _bury(self._folder)
                found = [_read(file) for file in self._folder.glob("*.json")]
        except OSError:
            return self._registry  # `_write` has said why
        registry = CollectorRegistry()
        registry.register(_Merged(_sum(found)))
        return registry

    def _run(self) -> None:
        while not self._stopped.wait(INTERVAL_S):
            self._write()

    def _write(self) -> None:
        try:
            with self._writing:
                _replace(self._file, _families(self._registry.collect()))
        except OSError as error:
            if not self._is_failing:  # said once, and not every second
                _LOG.error("metrics cannot be shared between workers: %s", error)
            self._is_failing = True
        else:
            self._is_failing = False


class _Merged(Collector):
    def __init__(self, families: _Families) -> None:
        self._families = families

    def collect(self) -> Iterator[Metric]:
        for name, (kind, about, samples) in self._families.items():
            metric = Metric(name, about, kind)
            for key, value in samples.items():
                sample, labels = orjson.loads(key)
                metric.add_sample(sample, labels, value)
            yield metric


def _families(metrics: Iterable[Metric]) -> _Families:
    return {
        metric.name: (
            metric.type,
            metric.documentation,
            {orjson.dumps([each.name, each.labels]).decode(): each.value for each in metric.samples},
        )
        for metric in metrics
    }


def _sum(found: Iterable[_Families]) -> _Families:
    """Counters, histograms and gauges added up; of a start the earliest, of versions one."""
    total: _Families = {}
    for families in found:
        for name, (kind, about, samples) in families.items():
            kept = total.setdefault(name, (kind, about, {}))[2]
            for key, value in samples.items():
                if name in _LEAST:
                    kept[key] = min(value, kept.get(key, value))
                else:
                    kept[key] = value if kind == _SAME else kept.get(key, 0.0) + value
    return total


def _bury(folder: Path) -> None:
    """Adds what dead workers counted to one file, and removes theirs. The folder is locked."""
    dead = [file for file in folder.glob("*.alive") if is_dead(file)]
    if not dead:
        return
    gone = folder / _GONE
    files = [file.with_suffix(".json") for file in dead]
    counted = _sum(_read(file) for file in [gone, *files])
    _replace(gone, {name: family for name, family in counted.items() if family[0] in {"counter", "histogram"}})
    drafts = [file.with_suffix(_DRAFT) for file in files]  # of a worker that was killed while it wrote
    for file in [*drafts, *files, *dead]:
        file.unlink(missing_ok=True)


def is_dead(alive: Path) -> bool:
    """Whether nobody holds the lock of a worker's file."""
    descriptor = os.open(alive, os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(descriptor)
    return True


def _read(file: Path) -> _Families:
    with suppress(FileNotFoundError):
        content: Any = orjson.loads(file.read_bytes())
        return {name: (kind, about, samples) for name, (kind, about, samples) in content.items()}
    return {}


def _replace(file: Path, families: _Families) -> None:
    """Writes a file whole or not at all: a reader finds the one before until this one is complete."""
    draft = file.with_suffix(_DRAFT)
    draft.write_bytes(orjson.dumps(families))
    draft.replace(file)


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    descriptor = os.open(file, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
