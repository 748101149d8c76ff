"""Metrics of several worker processes: each writes its own into a shared folder, and whoever is asked adds them up.

prometheus-client's multiprocess mode keeps the files of every worker that ever died, and takes no collectors of one's
own. Here what a dead worker counted goes over into one file: counters never fall, and files do not pile up.
"""

import fcntl
import logging
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import orjson
from prometheus_client import CollectorRegistry, Metric
from prometheus_client.registry import Collector
from pydantic import TypeAdapter, ValidationError

from preheat.service_thread import ServiceThread

_LOG = logging.getLogger("preheat")

INTERVAL_S = 1.0
"""How often a worker writes; others know no more than what it wrote last, and a kill loses no more than that."""

_GONE, _LOCK, _DRAFT = "gone.json", "folder.lock", ".draft"
_LEAST = {"process_start_time_seconds"}
_MOST = {"preheat_runs"}
_SAME = "info"

_Families = dict[str, tuple[str, str, dict[str, float]]]
"""By name: type, help, and the samples' values by the JSON text of name and labels."""

_FORM = TypeAdapter(_Families)
_NAME_AND_LABELS = TypeAdapter(tuple[str, dict[str, str]])


class SharedMetrics:
    """The metrics of this worker in the folder, and the sum over all workers.

    A folder that is full, damaged or gone costs what others counted, is logged once, and is used again when it is back.
    """

    def __init__(self, folder: Path, registry: CollectorRegistry) -> None:
        self._folder, self._registry = folder, registry
        name = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._file, self._alive = folder / f"{name}.json", folder / f"{name}.alive"
        self._let_go: Callable[[], object] = lambda: None
        self._writing = threading.Lock()
        self._thread = ServiceThread("metrics", self._run, INTERVAL_S)
        self._failing: set[str] = set()

    def start(self) -> None:
        """Writes for the first time, and then every second."""
        self._write(self._own())
        self._thread.start()

    def stop(self) -> None:
        """Writes for the last time; this worker counts as dead from when its process ends."""
        self._thread.stop(INTERVAL_S)
        self._write(self._own())

    def merged(self) -> CollectorRegistry:
        """A registry with the sum over all workers, this one up to date."""
        own = self._own()
        self._write(own)  # what was told of this worker must not be forgotten when it is killed
        registry = CollectorRegistry()
        registry.register(_Merged(_sum([own, *self._others()])))
        return registry

    def _own(self) -> _Families:
        return _families(self._registry.collect())

    def _run(self, stopping: threading.Event) -> None:
        while not stopping.wait(INTERVAL_S):
            self._write(self._own())

    def _write(self, families: _Families) -> None:
        with self._writing, self._reporting("metrics cannot be shared between workers"):
            self._hold()
            _replace(self._file, families)

    def _hold(self) -> None:
        """Makes the file by which others know that this worker lives, and locks it, unless it is there."""
        with suppress(FileNotFoundError):
            os.utime(self._alive)  # a cleaner of temporary files takes those that are old
            return
        self._let_go()
        with _locked(self._folder / _LOCK):  # until its lock is held, the file would look like a dead worker's
            descriptor = os.open(self._alive, os.O_CREAT | os.O_RDWR, 0o600)
            # The system lets go of it when this process ends, however it ends.
            self._let_go = weakref.finalize(self, os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)

    def _others(self) -> list[_Families]:
        """What the other workers counted, dead ones too."""
        found: list[_Families] = []
        with self._reporting("metrics of other workers cannot be read"), _locked(self._folder / _LOCK):
            self._bury()
            found.extend(self._read(file) for file in self._folder.glob("*.json") if file != self._file)
        return found

    def _bury(self) -> None:
        """Adds what dead workers counted to one file, and removes theirs. The folder is locked."""
        with self._reporting("metrics of dead workers cannot be put together"):
            dead = [file for file in self._folder.glob("*.alive") if is_dead(file)]
            if not dead:
                return
            gone = self._folder / _GONE
            files = [file.with_suffix(".json") for file in dead]
            counted = _sum(self._read(file) for file in [gone, *files])
            _replace(gone, {name: family for name, family in counted.items() if family[0] in {"counter", "histogram"}})
            drafts = [file.with_suffix(_DRAFT) for file in files]  # of a worker that was killed while it wrote
            for file in [*drafts, *files, *dead]:
                file.unlink(missing_ok=True)

    def _read(self, file: Path) -> _Families:
        """What a file has; nothing if it is gone or damaged."""
        found: _Families = {}
        with self._reporting(f"metrics in {file} are left out"), suppress(FileNotFoundError):
            found = _checked(file.read_bytes())
        return found

    @contextmanager
    def _reporting(self, trouble: str) -> Iterator[None]:
        """Logs what fails when it begins to, and not at each look."""
        try:
            yield
        except (OSError, ValueError) as error:
            if trouble not in self._failing:
                self._failing.add(trouble)
                _LOG.error("%s: %s", trouble, "damaged" if isinstance(error, ValidationError) else error)
        else:
            self._failing.discard(trouble)


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
    """Counters, histograms and gauges added up; of a start the earliest, of versions one, of what all see the most."""
    total: _Families = {}
    for families in found:
        for name, (kind, about, samples) in families.items():
            kept = total.setdefault(name, (kind, about, {}))[2]
            for key, value in samples.items():
                if name in _LEAST:
                    kept[key] = min(value, kept.get(key, value))
                elif name in _MOST:
                    kept[key] = max(value, kept.get(key, value))
                else:
                    kept[key] = value if kind == _SAME else kept.get(key, 0.0) + value
    return total


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


def _checked(content: bytes) -> _Families:
    """The metrics in a file. Raises ValueError if there is anything else in it."""
    families = _FORM.validate_json(content, strict=True)
    for name, (kind, about, samples) in families.items():
        Metric(name, about, kind)
        for key in samples:
            _NAME_AND_LABELS.validate_json(key)
    return families


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
