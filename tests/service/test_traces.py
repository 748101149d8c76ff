"""Traces: spans that a collector gets, and that nothing waits for a collector that is away."""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from preheat.observability.traces import tracing_from_environment
from reference import REFERENCE_SPEC
from rest import posted_id
from running_service import free_port, service

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"


@contextmanager
def collector() -> Iterator[tuple[str, list[Any]]]:
    """The address of an OTLP/HTTP receiver, and the resource and spans that it got."""
    got: list[Any] = []

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service_name = _attributes(resource.resource)["service.name"]
                got.extend((service_name, span) for scope in resource.scope_spans for span in scope.spans)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", got
    finally:
        server.shutdown()
        server.server_close()


def _attributes(of: Any) -> dict[str, Any]:
    return {each.key: getattr(each.value, each.value.WhichOneof("value")) for each in of.attributes}


def test_a_request_is_a_span(monkeypatch: pytest.MonkeyPatch) -> None:
    """Named by its template, child of the caller's span, with status and request id; what is left goes at the end."""
    with collector() as (address, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        with service() as url, httpx.Client(base_url=url, timeout=60) as http:
            schedule_id = posted_id(http, REFERENCE_SPEC)
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "x-request-id": "mine"}
            http.get(f"/v1/schedules/{schedule_id}/lr/7", headers=headers)
            http.get("/v1/nothing")
            http.get("/livez")
    assert {name for name, _ in got} == {"preheat"}
    spans = {span.name: span for _, span in got}
    point = "/v1/schedules/{schedule_id}/lr/{iteration}"
    assert spans.keys() == {"POST /v1/schedules", f"GET {point}", "GET"}
    span = spans[f"GET {point}"]
    assert (span.trace_id.hex(), span.parent_span_id.hex(), span.kind) == (TRACE, PARENT, span.SPAN_KIND_SERVER)
    assert 0 < span.end_time_unix_nano - span.start_time_unix_nano < 30e9
    assert _attributes(span) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "http.route": point,
        "url.path": f"/v1/schedules/{schedule_id}/lr/7",
        "client.address": "127.0.0.1",
        "preheat.request_id": "mine",
    }
    assert _attributes(spans["GET"])["http.response.status_code"] == 404


def test_a_service_that_is_started_again_has_traces_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is recorded after a shutdown is exported by the next one."""
    with collector() as (address, got):
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", address)
        tracing = tracing_from_environment()
        assert tracing is not None
        for method in ("GET", "PUT"):
            tracing.record([], method, None, 200, 0.1, {})
            tracing.shut_down(30)
        tracing.shut_down(30)
    assert [span.name for _, span in got] == ["GET", "PUT"]


def test_nothing_waits_for_a_collector_that_is_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests are answered, and the service ends within its time."""
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    begun = time.monotonic()
    with service() as url:
        assert httpx.get(f"{url}/v1/recipes", timeout=60).is_success
    assert time.monotonic() - begun < 20


def test_without_an_endpoint_nothing_is_imported() -> None:
    """Neither the API nor the SDK."""
    script = (
        "import sys; from preheat.api import create_app; from preheat.settings import Settings; "
        "create_app(Settings(database_url='sqlite:///:memory:')); "
        "print([name for name in sys.modules if name.startswith('opentelemetry.sdk')])"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "environ",
    [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": ""}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "x", "OTEL_SDK_DISABLED": "true"}],
)
def test_tracing_is_off_unless_it_is_asked_for(environ: dict[str, str]) -> None:
    """By the standard variables."""
    assert tracing_from_environment(environ) is None


def test_an_endpoint_without_the_extra_is_said(tmp_path: Path) -> None:
    """A process that cannot find OpenTelemetry warns, with the command that installs it."""
    script = (
        "import sys, importlib.abc\n"
        "class Hidden(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('opentelemetry'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hidden())\n"
        "from preheat.observability.traces import tracing_from_environment\n"
        "print(tracing_from_environment({'OTEL_EXPORTER_OTLP_ENDPOINT': 'http://x'}))\n"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert run.stdout.strip() == "None"
    assert "pip install '.[opentelemetry]'" in run.stderr
