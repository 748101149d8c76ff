"""Metrics of the service for Prometheus: one object that every part counts on, and its text for /metrics.

Names follow https://prometheus.io/docs/practices/naming; labels have values of ours alone, whatever clients send.
"""

import math
import platform
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Literal, Protocol, get_args

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    Metric,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from preheat import __version__
from preheat.errors import StoreUnavailable
from preheat.observability.requests import BUCKETS_S, RequestMetrics
from preheat.observability.workers import SharedMetrics

Refusal = Literal["busy", "time", "memory", "limit"]
"""Why a request was refused: too many wait, it took too long or too much memory, or it is larger than a setting."""

_ALERTED_EVENTS = ("alarm", "overrun", "recovered")
"""Kinds of events that alerts ask for: counted from 0 on, so that the first is seen as a rise."""


class ObservedCache(Protocol):
    """What is read from a cache: its counts since the start, and its bytes."""

    hits: int
    misses: int
    evictions: int
    bytes_held: int
    max_bytes: int


class Metrics:
    """What the service counts. Each attribute may be used from any thread but `requests`, which is the event loop's.

    `computing`, `drawing` and `waiting` take seconds with `observe`; `busy` counts what is being computed, with `inc`
    and `dec`. With a `folder` several workers share their metrics, and each of them answers for all.
    """

    def __init__(self, torch_version: str, folder: Path | None = None) -> None:
        disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter, which nobody reads
        self.registry = CollectorRegistry()
        self.requests = RequestMetrics()
        self.registry.register(self.requests)
        self.computing = self._histogram("preheat_compute_duration_seconds", "Time that heavy requests computed.")
        self.drawing = self._histogram("preheat_draw_duration_seconds", "Time that pictures took to draw.")
        self.waiting = self._histogram(
            "preheat_compute_wait_duration_seconds", "Time that heavy requests waited for their turn to compute."
        )
        self.busy = Gauge("preheat_compute_in_progress", "Heavy requests being computed.", registry=self.registry)
        self._refused = Counter(
            "preheat_refused",
            "Requests that were refused for their budget: busy (too many wait), time, memory, limit (of a setting).",
            ["reason"],
            registry=self.registry,
        )
        self._store = self._histogram(
            "preheat_store_transaction_duration_seconds", "Time of the database's transactions.", "purpose"
        )
        self._store_errors = Counter(
            "preheat_store_errors",
            "Transactions for which the database was not available.",
            ["purpose"],
            registry=self.registry,
        )
        for reason in get_args(Refusal):  # from 0 on, so that the first is seen as a rise
            self._refused.labels(reason)
        self._run_windows = Counter(
            "preheat_run_windows", "Windows of LRs that jobs of live runs asked for.", registry=self.registry
        )
        self._run_events = Counter(
            "preheat_run_events",
            "What happened to live runs, by kind: attached, change-accepted, overrun, alarm, lr-jump, ….",
            ["kind"],
            registry=self.registry,
        )
        for kind in _ALERTED_EVENTS:
            self._run_events.labels(kind)
        self._workers = Gauge("preheat_workers", "Processes that answer requests.", registry=self.registry)
        Info("preheat_build", "Versions of what is running.", registry=self.registry).info(
            {"version": __version__, "torch": torch_version, "python": platform.python_version()}
        )
        ProcessCollector(registry=self.registry)
        self._shared = SharedMetrics(folder, self.registry) if folder else None

    def count_worker(self) -> None:
        """Counts this process as one that answers requests."""
        self._workers.set(1)

    def refuse(self, reason: Refusal) -> None:
        """Counts a request that was refused for its budget."""
        self._refused.labels(reason).inc()

    def count_window(self) -> None:
        """Counts a window that was handed out."""
        self._run_windows.inc()

    def count_run_event(self, kind: str) -> None:
        """Counts an event of a live run; kinds are ours alone."""
        self._run_events.labels(kind).inc()

    @contextmanager
    def transaction(self, purpose: str) -> Iterator[None]:
        """Times a transaction of the database, and counts it as an error if it raises StoreUnavailable."""
        begun, errors = time.perf_counter(), self._store_errors.labels(purpose)  # from 0 on
        try:
            yield
        except StoreUnavailable:
            errors.inc()
            raise
        finally:
            self._store.labels(purpose).observe(time.perf_counter() - begun)

    def watch_caches(self, caches: Mapping[str, ObservedCache]) -> None:
        """Reads these caches, by name, whenever somebody asks."""
        self.registry.register(_CacheMetrics(caches))

    def watch_runs(self, count: Callable[[], Mapping[str, int]]) -> None:
        """Counts live runs by state, whenever somebody asks, but every few seconds at most."""
        self.registry.register(_RunMetrics(count))

    def watch_watchers(self, count: Callable[[], int]) -> None:
        """Reads how many follow events of live runs, whenever somebody asks."""
        about = "Connections that follow events of live runs as they happen; max_watchers is the limit of a worker."
        Gauge("preheat_run_watchers", about, registry=self.registry).set_function(count)

    def watch_lost_log_lines(self, lost: Callable[[], int]) -> None:
        """Reads how many log lines could not be written, whenever somebody asks."""
        self.registry.register(_LostLogLines(lost))

    def start_sharing(self) -> None:
        """Begins to tell the other workers, once a second; nothing to do for a single one."""
        if self._shared:
            self._shared.start()

    def stop_sharing(self) -> None:
        """Tells the other workers for the last time."""
        if self._shared:
            self._shared.stop()

    def exposition(self, accept: str | None = None) -> tuple[bytes, str]:
        """All metrics as text, and its media type: Prometheus' own, or OpenMetrics if `accept` asks for it."""
        encode, media_type = choose_encoder(accept or "")
        return encode(self._shared.merged() if self._shared else self.registry), media_type

    def _histogram(self, name: str, about: str, *labels: str) -> Histogram:
        return Histogram(name, about, labels, buckets=BUCKETS_S, registry=self.registry)


class _CacheMetrics(Collector):
    def __init__(self, caches: Mapping[str, ObservedCache]) -> None:
        self._caches = caches

    def collect(self) -> Iterator[Metric]:
        counters: tuple[tuple[str, str, Callable[[ObservedCache], int]], ...] = (
            ("hits", "Values that were in memory when asked for.", lambda cache: cache.hits),
            ("misses", "Values that were not in memory when asked for.", lambda cache: cache.misses),
            ("evictions", "Values that left to make room for others.", lambda cache: cache.evictions),
        )
        for name, about, read in counters:
            counter = CounterMetricFamily(f"preheat_cache_{name}", about, labels=["cache"])
            for label, cache in self._caches.items():
                counter.add_metric([label], read(cache))
            yield counter
        held = GaugeMetricFamily("preheat_cache_bytes", "Bytes of memory that a cache holds.", labels=["cache"])
        most = GaugeMetricFamily("preheat_cache_max_bytes", "Bytes of memory a cache may hold.", labels=["cache"])
        for label, cache in self._caches.items():
            held.add_metric([label], cache.bytes_held)
            most.add_metric([label], cache.max_bytes)
        yield held
        yield most


class _LostLogLines(Collector):
    def __init__(self, lost: Callable[[], int]) -> None:
        self._lost = lost

    def collect(self) -> Iterator[Metric]:
        about = "Log lines that could not be written: a full disk, a broken pipe, or a reader that is too slow."
        yield CounterMetricFamily("preheat_log_lines_lost", about, value=self._lost())


_COUNTED_AGAIN_S = 5.0


class _RunMetrics(Collector):
    def __init__(self, count: Callable[[], Mapping[str, int]]) -> None:
        self._count, self._counted_at = count, -math.inf
        self._counts: Mapping[str, int] = {}

    def collect(self) -> Iterator[Metric]:
        if time.monotonic() - self._counted_at > _COUNTED_AGAIN_S:
            self._counted_at = time.monotonic()
            try:
                self._counts = self._count()
            except StoreUnavailable:  # logged by the database; nobody knows how many there are
                self._counts = {}
        about = "Live runs in the database by state; every service on it says the same."
        gauge = GaugeMetricFamily("preheat_runs", about, labels=["state"])
        for state, number in self._counts.items():
            gauge.add_metric([state], number)
        yield gauge
