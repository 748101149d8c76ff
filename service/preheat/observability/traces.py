"""Traces by OpenTelemetry: a server span for each request, where the extra is installed and an endpoint is set.

Everything is set up by the standard variables (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/):
OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES and the rest.
"""

import importlib.util
import logging
import os
import threading
import time
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING

from preheat import __version__

if TYPE_CHECKING:  # imported where it is installed and asked for
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

_LOG = logging.getLogger("preheat")
_CONTEXT = frozenset({b"traceparent", b"tracestate", b"baggage"})
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")


def tracing_from_environment(environ: Mapping[str, str] = os.environ) -> "Tracing | None":
    """Tracing as the standard variables say; None where they name no endpoint or the extra is not installed."""
    if not any(environ.get(name) for name in _ENDPOINTS) or environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return None
    if not _is_installed():
        _LOG.warning("an OTLP endpoint is set, and there are no traces: pip install '.[opentelemetry]'")
        return None
    return Tracing()


class Tracing:
    """Server spans, exported in batches by a thread of their own; a collector that is away costs spans and no time."""

    def __init__(self) -> None:
        from opentelemetry import propagate, trace  # noqa: PLC0415

        self._extract, self._trace = propagate.extract, trace
        self._provider: TracerProvider | None = _provider()

    def record(
        self,
        headers: Iterable[tuple[bytes, bytes]],
        method: str,
        route: str | None,
        status: int,
        duration_s: float,
        attributes: Mapping[str, str],
    ) -> str:
        """Records the span of a request that is answered; returns the id of its trace.

        Its parent is what `traceparent` in the headers says; names and attributes follow the conventions for HTTP
        (https://opentelemetry.io/docs/specs/semconv/http/http-spans).
        """
        carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers if name in _CONTEXT}
        end = time.time_ns()
        provider = self._provider = self._provider or _provider()  # a new one, if the service was started again
        span = provider.get_tracer("preheat", __version__).start_span(
            f"{method} {route}" if route else method,
            self._extract(carrier),
            self._trace.SpanKind.SERVER,
            {
                "http.request.method": method,
                "http.response.status_code": status,
                **({"http.route": route} if route else {}),
                **attributes,
            },
            start_time=end - int(duration_s * 1e9),
        )
        if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            span.set_status(self._trace.StatusCode.ERROR)
        span.end(end)
        return self._trace.format_trace_id(span.get_span_context().trace_id)

    def shut_down(self, timeout_s: float) -> None:
        """Exports what is left, for `timeout_s` at most."""
        ending, self._provider = self._provider, None
        if ending is None:
            return
        # An exporter that tries again sleeps longer than a shutdown may take, whatever its own timeout is.
        thread = threading.Thread(target=ending.shutdown, name="traces", daemon=True)
        thread.start()
        thread.join(timeout_s)


def _provider() -> "TracerProvider":
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter  # noqa: PLC0415
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.export import BatchSpanProcessor  # noqa: PLC0415

    provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider


def _resource() -> "Resource":
    from opentelemetry.sdk.resources import Resource  # noqa: PLC0415

    named = Resource.create({"service.version": __version__})  # reads OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES
    if str(named.attributes["service.name"]).startswith("unknown_service"):
        return named.merge(Resource({"service.name": "preheat"}))
    return named


def _is_installed() -> bool:
    try:
        return importlib.util.find_spec("opentelemetry.exporter.otlp.proto.http.trace_exporter") is not None
    except ModuleNotFoundError:
        return False
