"""Metrics of HTTP requests: counts, durations and bytes by route template, method and status.

A point lookup is answered in some tens of microseconds, of which the histogram and counters of prometheus-client
would take four. Here a request adds to plain integers, and a collector reads them when somebody asks.
"""

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

BUCKETS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05),
    *(0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0),
)
"""Upper bounds of durations in seconds, from a point in memory to what compute_timeout_s allows."""

NO_ROUTE = "none"
"""The route of requests whose path no route has."""

SOCKET = "socket"
"""The route of requests that the server refused before it was known: malformed, too large, too slow, too many."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER = "OTHER"
_LABELS = ("route", "method")


class RequestObserver:
    """Counts the answers of one route to one method with one status. Called on the event loop alone: no lock."""

    __slots__ = ("buckets", "bytes_in", "bytes_out", "seconds")

    def __init__(self) -> None:
        self.buckets = [0] * (len(BUCKETS_S) + 1)
        self.seconds = 0.0
        self.bytes_in = self.bytes_out = 0

    def observe(self, seconds: float, bytes_out: int, bytes_in: int = 0) -> None:
        """Counts one answer that took `seconds`, with the bytes of its body and of the request's."""
        self.buckets[bisect_left(BUCKETS_S, seconds)] += 1
        self.seconds += seconds
        self.bytes_out += bytes_out
        self.bytes_in += bytes_in


class RequestMetrics(Collector):
    """The observers of all routes, and how many requests are being answered."""

    def __init__(self) -> None:
        self.in_progress = 0
        self._observers: dict[tuple[str, str, int], RequestObserver] = {}

    def of(self, route: str, method: str, status: int) -> RequestObserver:
        """The observer of a route template, a method and a status; methods that HTTP does not know are one."""
        key = (route, method if method in _METHODS else _OTHER, status)
        observer = self._observers.get(key)
        if observer is None:
            observer = self._observers[key] = RequestObserver()
        return observer

    def collect(self) -> Iterator[Metric]:
        """The metrics as prometheus-client writes them down."""
        # A copy of each list in one step: the event loop goes on counting while this thread reads.
        seen = [
            (key, list(each.buckets), each.seconds, each.bytes_in, each.bytes_out)
            for key, each in list(self._observers.items())
        ]
        requests = CounterMetricFamily(
            "preheat_http_requests",
            "Requests that were answered, by route template, method and status (499: the client hung up).",
            labels=(*_LABELS, "status"),
        )
        buckets: dict[tuple[str, str], list[int]] = defaultdict(lambda: [0] * (len(BUCKETS_S) + 1))
        sums: dict[tuple[str, str], list[float]] = defaultdict(lambda: [0.0, 0, 0])
        for (route, method, status), counts, seconds, bytes_in, bytes_out in seen:
            if total := sum(counts):
                requests.add_metric([route, method, str(status)], total)
                place = (route, method)
                if route != SOCKET:  # refused before it had a time of its own
                    buckets[place] = [a + b for a, b in zip(buckets[place], counts, strict=True)]
                sums[place] = [a + b for a, b in zip(sums[place], (seconds, bytes_in, bytes_out), strict=True)]
        yield requests
        yield _durations(buckets, sums)
        yield _bytes("preheat_http_request_body_bytes", "Bytes of the bodies of requests.", sums, 1)
        yield _bytes("preheat_http_response_body_bytes", "Bytes of the bodies of answers.", sums, 2)
        yield GaugeMetricFamily(
            "preheat_http_requests_in_progress", "Requests being answered, point lookups left out.", self.in_progress
        )


def _durations(
    buckets: dict[tuple[str, str], list[int]], sums: dict[tuple[str, str], list[float]]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(
        "preheat_http_request_duration_seconds",
        "Time from a request's headers to the end of its answer, by route template and method.",
        labels=_LABELS,
    )
    bounds = [*(str(bound) for bound in BUCKETS_S), "+Inf"]
    for place, counts in buckets.items():
        family.add_metric(place, list(zip(bounds, accumulate(counts), strict=True)), sums[place][0])
    return family


def _bytes(name: str, about: str, sums: dict[tuple[str, str], list[float]], index: int) -> CounterMetricFamily:
    family = CounterMetricFamily(name, about, labels=_LABELS)
    for place, values in sums.items():
        family.add_metric(place, values[index])
    return family
