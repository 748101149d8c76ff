"""Logs: a line for each request, in one format with everything else, and nothing that a reader can do to it."""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from preheat.keys import make_token
from preheat.observability.line_budget import LineBudget
from preheat.observability.logs import JSONFormatter, TextFormatter, one_line
from preheat.observability.request_id import request_id_of, trace_id_of
from preheat.store import Database, KeyStore
from reference import REFERENCE_SPEC
from rest import UNKNOWN, posted_id, problem
from running_service import free_port, service, wait_until
from support.forked import Forked, start_preheat
from support.keys import bearer
from support.raw_client import RawClient

TRACE = "0af7651916cd43dd8448eb211c80319c"
TRACEPARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@dataclass
class Logging:
    """A service in a process of its own, and what it has logged."""

    http: httpx.Client
    process: "Forked | subprocess.Popen[bytes]"
    file: Path

    def lines(self) -> list[dict[str, Any]]:
        """Every line so far; each must be JSON."""
        return [json.loads(line) for line in self.file.read_text(encoding="ascii").splitlines()]

    def line_of(self, request_id: str) -> dict[str, Any]:
        """The line of a request, once it is there."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found[:] = [line for line in self.lines() if line.get("request_id") == request_id]
            return bool(found)

        wait_until(is_there, 10)
        return found[-1]


@contextlib.contextmanager
def logging_service(folder: Path, stderr: Any = None, **variables: str) -> Iterator[Logging]:
    """`preheat serve`, with its log in a file or whatever `stderr` is."""
    port, file = free_port(), folder / "log"
    environment = {**os.environ, "PREHEAT_DATABASE_URL": "sqlite:///:memory:", "PREHEAT_PORT": str(port), **variables}
    with (
        file.open("wb") as log,
        start_preheat(
            ["serve"], environment, stderr or subprocess.DEVNULL, stderr or log, is_forked=stderr is None
        ) as process,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as http,
    ):
        try:
            wait_until(lambda: _is_alive(http) or process.poll() is not None, 60)
            assert process.poll() is None, file.read_text()
            yield Logging(http, process, file)
        finally:
            process.terminate()
            process.wait(30)


def _is_alive(http: httpx.Client) -> bool:
    try:
        return http.get("/livez").is_success
    except httpx.TransportError:
        return False


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Logging]:
    """A service that logs as it does by default."""
    with logging_service(tmp_path_factory.mktemp("logged")) as running:
        yield running


def test_a_request_is_a_line(logged: Logging) -> None:
    """Its id, trace, route, status, sizes and the address that it came from; the answer has the id too."""
    body = json.dumps(REFERENCE_SPEC).encode()
    headers = {"content-type": "application/json", "x-request-id": "mine/1", "traceparent": TRACEPARENT}
    answer = logged.http.post("/v1/schedules?stop=1", content=body, headers=headers)
    assert answer.headers["x-request-id"] == "mine/1"
    line = logged.line_of("mine/1")
    assert 0 < line.pop("duration_s") < 30
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "preheat.request",
        "message": "POST /v1/schedules 201",
        "request_id": "mine/1",
        "trace_id": TRACE,
        "method": "POST",
        "route": "/v1/schedules",
        "path": "/v1/schedules",
        "status": 201,
        "bytes_in": len(body),
        "bytes_out": len(answer.content),
        "client": "127.0.0.1",
    }


def test_a_refused_request_says_from_where_and_why(logged: Logging) -> None:
    """The line has the address and the first words of the reason; the document has the id; the query is in neither."""
    answer = logged.http.get(
        f"/v1/schedules/{UNKNOWN}?lint=false&token=secret", headers={"authorization": "Bearer secret"}
    )
    document = problem(answer, 422, "invalid-parameter")
    line = logged.line_of(document["request_id"])
    assert (line["level"], line["client"], line["problem"]) == ("warning", "127.0.0.1", document["type"])
    assert document["detail"].startswith(line["reason"][:20])
    assert "secret" not in logged.file.read_text()
    assert answer.headers["x-request-id"] == document["request_id"]


def test_what_the_server_refuses_by_itself_has_a_line(logged: Logging) -> None:
    """The same fields as others, as far as they are known; a flood of it has twenty lines a minute."""
    for _ in range(50):
        with RawClient(str(logged.http.base_url)) as client:
            client.send(b"GET /x HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n").until_closed()

    def lines() -> list[dict[str, Any]]:
        return [line for line in logged.lines() if line.get("route") == "socket"]

    wait_until(lambda: len(lines()) >= 20, 10)
    time.sleep(0.1)
    assert len(lines()) == 20
    line = lines()[0]
    assert line.pop("time")
    assert line == {
        "level": "info",
        "logger": "preheat.request",
        "message": "GET socket 400",
        "method": "GET",
        "route": "socket",
        "path": "",
        "status": 400,
        "duration_s": 0.0,
        "bytes_in": 0,
        "bytes_out": 0,
        "client": "127.0.0.1",
        "problem": "urn:preheat:bad-request",
        "reason": "a request must have one Host (RFC 9112 \\xa73.2)",
    }


def test_a_flood_of_lines_is_held_back_and_said() -> None:
    """Of each minute the first 20 lines; the first of the next minute says how many were held back."""
    budget = LineBudget()
    assert [budget.take(1000.0 + number) for number in range(30)] == [0] * 20 + [None] * 10
    assert [budget.take(1059.9), budget.take(1060.0), budget.take(1060.1)] == [None, 11, 0]


def test_a_line_names_the_key_and_never_its_token(tmp_path: Path) -> None:
    """Of requests, and of points where they are logged; who has no key has no name, and no token either."""
    url = f"sqlite:///{tmp_path}/keys.db"
    with closing(Database(url, 30)) as database:
        made = {scope: KeyStore(database).make(f"GPU {scope}", {scope}).token for scope in ("write", "read")}
    with logging_service(tmp_path, PREHEAT_DATABASE_URL=url, PREHEAT_LOG_POINTS="1") as running:
        path = "/v1/schedules"

        def line(method: str, path: str, token: str, **body: Any) -> dict[str, Any]:
            headers = bearer(token)
            answer = running.http.request(method, path, headers=headers, **body)
            assert token not in answer.text
            return running.line_of(answer.headers["x-request-id"])

        posted = line("POST", path, made["write"], json=REFERENCE_SPEC)
        assert (posted["status"], posted["key"]) == (201, "GPU write")
        schedule_id = running.http.get(path, headers=bearer(made["read"])).json()["schedules"][0]["id"]
        point = line("GET", f"{path}/{schedule_id}/lr/7", made["read"])
        assert (point["status"], point["key"]) == (200, "GPU read")
        refused = line("POST", path, made["read"], json=REFERENCE_SPEC)
        assert (refused["status"], refused["problem"]) == (403, "urn:preheat:scope-missing")
        unknown = make_token()
        assert refused["key"] == "GPU read"
        assert "key" not in line("GET", path, unknown)
        for misplaced in (f"{path}/{made['read']}", f"/v1/recipes/{made['read']}", f"/{made['read']}"):
            assert line("GET", misplaced, made["read"])["status"] == 404
        assert (
            made["read"] not in running.http.get(path, headers={"x-request-id": made["read"]}).headers["x-request-id"]
        )
        logged = running.file.read_text()
        assert not [token for token in (unknown, *made.values()) if token[-40:] in logged]


def test_a_line_names_the_key_that_is_refused(tmp_path: Path) -> None:
    """One that has expired, was revoked, or asks too often, by the short way of points too; never its token."""
    url = f"sqlite:///{tmp_path}/keys.db"
    with closing(Database(url, 30)) as database:
        store = KeyStore(database)
        expired, revoked, often = (store.make(name, {"write"}).token for name in ("expired", "revoked", "often"))
        store.rotate("expired", 0)
        store.revoke("revoked")
    settings = {"PREHEAT_RATE_LIMIT_PER_S": "1", "PREHEAT_RATE_LIMIT_BURST": "1"}
    with logging_service(tmp_path, PREHEAT_DATABASE_URL=url, **settings) as running:
        answer = running.http.post("/v1/schedules?stop=0", json=REFERENCE_SPEC, headers=bearer(often))
        point = f"{answer.headers['location']}/lr/7"
        for token, name, kind in (
            (expired, "expired", "key-refused"),
            (revoked, "revoked", "key-refused"),
            (often, "often", "rate-limited"),
        ):
            for path in (point, "/v1/recipes"):
                answers = (running.http.get(path, headers=bearer(token)) for _ in range(100))
                refused = next(answer for answer in answers if not answer.is_success)
                line = running.line_of(refused.headers["x-request-id"])
                assert (line["key"], line["problem"]) == (name, f"urn:preheat:{kind}")
        logged = running.file.read_text()
        assert not [token for token in (expired, revoked, often) if token[-40:] in logged]


@pytest.mark.parametrize("path", ["/livez", "/readyz", "/metrics"])
def test_probes_and_points_have_no_line(logged: Logging, path: str) -> None:
    """What is asked every second would bury the rest; a point that is refused has one."""
    point = f"/v1/schedules/{posted_id(logged.http, REFERENCE_SPEC)}/lr"
    for quiet in (path, f"{point}/7"):
        assert logged.http.get(quiet, headers={"x-request-id": f"quiet{path}"}).is_success
    logged.http.get(f"{point}/99", headers={"x-request-id": f"loud{path}"})
    assert logged.line_of(f"loud{path}")["status"] == 422
    assert [line for line in logged.lines() if line.get("request_id") == f"quiet{path}"] == []


def test_nothing_in_a_request_begins_a_line(logged: Logging) -> None:
    """Newlines and a terminal's commands in path, method and id are escaped or refused."""
    evil = "/%0a%7b%22level%22%3a%22error%22%7d%1b%5b2J%e2%80%a8"
    answer = logged.http.get(evil, headers={"x-request-id": "a b"})
    line = logged.line_of(answer.headers["x-request-id"])
    assert (line["status"], line["path"]) == (404, '/\n{"level":"error"}\x1b[2J\\u2028')
    assert b"\x1b" not in logged.file.read_bytes()


@pytest.mark.parametrize("formatter", [JSONFormatter(), TextFormatter()])
def test_a_record_is_one_line_and_its_traceback_no_other_record(formatter: logging.Formatter) -> None:
    """Whatever is in the message; a traceback is a field, or indented below."""
    try:
        int("first\nsecond\x1b[2J")
    except ValueError:
        record = logging.LogRecord("x", 40, "f", 1, "a\nb %s", ("\r\u2028\ud800",), sys.exc_info())
    first, *below = formatter.format(record).splitlines()
    assert "\x1b" not in first + "".join(below)
    assert r"a\nb" in first
    assert all(line.startswith("    ") for line in below)
    assert "ValueError" in first + "".join(below)


def test_arguments_that_do_not_fit_lose_no_line() -> None:
    """A slip in a call of the log is still logged."""
    record = logging.LogRecord("x", 40, "f", 1, "%d of", ("many",), None)
    assert json.loads(JSONFormatter().format(record))["message"] == "%d of"


@pytest.mark.parametrize(
    ("given", "is_taken"),
    [
        (b"abc-1.2:3/4+5=6@7_8", True),
        (b"a" * 128, True),
        (b"a" * 129, False),
        (b"", False),
        (b"a\nb", False),
        (b"\xff", False),
    ],
)
def test_a_request_id_is_taken_if_it_is_sane(given: bytes, is_taken: bool) -> None:
    """Up to 128 letters, digits and a few signs; else it is made, and never the same twice."""
    assert (request_id_of(given) == given) is is_taken
    assert request_id_of(None) != request_id_of(None)


@pytest.mark.parametrize(
    ("traceparent", "trace_id"),
    [
        (TRACEPARENT, TRACE),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (TRACEPARENT.upper(), None),
        ("", None),
    ],
)
def test_a_trace_id_is_read_as_w3c_says(traceparent: str, trace_id: str | None) -> None:
    """Trace Context §3.2.2: lower-case hexadecimal, and neither id all zeros."""
    assert trace_id_of(traceparent.encode()) == trace_id


def test_text_is_made_safe_character_by_character() -> None:
    """Letters of any language stay; what commands a terminal does not."""
    assert one_line("a…ü\x1b[2J\x9b\u202e") == r"a…ü\x1b[2J\x9b\u202e"


def test_a_client_that_hangs_up_is_no_error(logged: Logging) -> None:
    """Half a body, then nobody: 499 at info, and no traceback."""
    host, port = logged.http.base_url.host, logged.http.base_url.port
    with socket.create_connection((host, port)) as leaving:
        head = "POST /v1/lint HTTP/1.1\r\nHost: localhost\r\nX-Request-ID: left\r\nContent-Type: application/json\r\n"
        leaving.sendall(f"{head}Content-Length: 99\r\n\r\n{{".encode())
        time.sleep(0.2)
    line = logged.line_of("left")
    assert (line["status"], line["level"], "traceback" in line) == (499, "info", False)
    metrics = logged.http.get("/metrics").text
    assert 'preheat_http_requests_total{method="POST",route="/v1/lint",status="499"} 1.0' in metrics


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a disk that is always full")
def test_a_full_disk_and_a_broken_pipe_do_not_stop_it(tmp_path: Path) -> None:
    """Neither at the start nor later; lost lines are counted."""
    with open("/dev/full", "wb") as full, logging_service(tmp_path, full, PREHEAT_LOG_POINTS="1") as running:  # noqa: PTH123
        path = f"/v1/schedules/{posted_id(running.http, REFERENCE_SPEC)}/lr/7"
        assert all(running.http.get(path).status_code == 200 for _ in range(5))

        def lost() -> float:
            return float(running.http.get("/metrics").text.partition("\npreheat_log_lines_lost_total ")[2].split()[0])

        wait_until(lambda: lost() >= 5, 60)  # lines are written, or lost, by a thread of their own
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as broken, logging_service(tmp_path, broken) as running:
        assert running.http.get("/v1/nothing").status_code == 404
        assert running.http.get("/livez").is_success


def test_an_unexpected_error_is_one_document_and_one_traceback(capfd: pytest.CaptureFixture[str]) -> None:
    """The document names the request, the log has its traceback under the same id."""
    script = """
import sys
from preheat.api import create_app
from preheat.observability import logs
from preheat.settings import Settings
from running_service import serving
import httpx
logs.configure("json", "info")
app = create_app(Settings(database_url="sqlite:///:memory:"))
with serving(app) as url:
    app.get("/broken")(lambda: 1 / 0)  # only now: a service does not start with a route that has no scope
    print(httpx.get(f"{url}/broken", timeout=60).text)
logs.flush()
"""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60, env=environment)
    out, err = capfd.readouterr()
    document = json.loads(out)
    assert (document["type"], document["status"]) == ("urn:preheat:internal-error", 500)
    lines = [json.loads(line) for line in err.splitlines()]
    own = [line for line in lines if line.get("request_id") == document["request_id"]]
    assert [("traceback" in line, line["level"]) for line in own] == [(True, "error"), (False, "error")]
    assert own[0]["traceback"].rstrip().endswith("ZeroDivisionError: division by zero")
    assert own[1]["status"] == 500
    assert sum("traceback" in line for line in lines) == 1


def test_log_level_and_format_are_settings(tmp_path: Path) -> None:
    """At warning, answers have no line; text is for people."""
    with logging_service(tmp_path, PREHEAT_LOG_LEVEL="warning", PREHEAT_LOG_FORMAT="text") as running:
        running.http.get("/v1/recipes")
        running.http.get("/v1/nothing")
        wait_until(lambda: running.file.read_bytes().endswith(b"\n"), 10)
        (line,) = running.file.read_text().splitlines()
    assert "warning GET /v1/nothing 404 request_id=" in line


def test_nobody_waits_for_the_log() -> None:
    """A process whose stderr is a pipe that nobody reads goes on, and counts what it loses."""
    reader, writer = os.pipe()
    try:
        script = """
import logging, sys, time
from preheat.observability import logs
logs.configure("json", "info")
begun = time.monotonic()
for _ in range(12000):
    logging.getLogger("preheat").info("x" * 100)
print(time.monotonic() - begun < 10, logs.lost_lines() > 0)
import os
sys.stdout.flush()
os._exit(0)
"""
        run = subprocess.run(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=writer, timeout=60, check=True
        )
        assert run.stdout == b"True True\n"
    finally:
        os.close(reader)
        os.close(writer)


def test_the_short_way_takes_an_id_too() -> None:
    """A point's answer has the client's id, or a new one each time."""
    with service() as url, httpx.Client(base_url=url, timeout=60) as http:
        path = f"/v1/schedules/{posted_id(http, REFERENCE_SPEC)}/lr/7"
        assert http.get(path, headers={"x-request-id": "rank-0"}).headers["x-request-id"] == "rank-0"
        assert http.get(path).headers["x-request-id"] != http.get(path).headers["x-request-id"]
