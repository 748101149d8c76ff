"""Metrics: what /metrics says of requests, caches and the store, for one worker and for several."""

import json
import os
import re
import select
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
import yaml
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.registry import Collector

from preheat.api import create_app
from preheat.observability.metrics import Metrics
from preheat.observability.requests import BUCKETS_S
from preheat.runs.states import State
from preheat.settings import Settings
from reference import REFERENCE_SPEC
from rest import UNKNOWN, posted_id
from running_service import service, service_process, serving, wait_until
from support.disks import disk, fill
from support.raw_client import PATIENCE_S, RawClient, statuses

DEPLOY = Path(__file__).parents[2] / "deploy"
POINT = "/v1/schedules/{schedule_id}/lr/{iteration}"
Samples = dict[tuple[str, tuple[str, ...]], float]


def samples(text: str) -> Samples:
    """Values by name and the values of the labels, in the order of the labels' names."""
    return {
        (sample.name, tuple(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def scraped(http: httpx.Client) -> Samples:
    """What a service says of itself."""
    return samples(http.get("/metrics").text)


def requests(found: Samples) -> dict[tuple[str, ...], float]:
    """Counts of requests by method, route and status."""
    return {labels: value for (name, labels), value in found.items() if name == "preheat_http_requests_total"}


@pytest.fixture
def http() -> Any:
    """A service of its own, so that its counts are."""
    with service() as url, httpx.Client(base_url=url, timeout=30) as client:
        yield client


def promtool(*arguments: str, stdin: str = "") -> None:
    """Runs promtool, which must find nothing to say."""
    command = shutil.which("promtool")
    assert command, "promtool is missing: apt-get install prometheus (Debian, Ubuntu), or brew install prometheus"
    run = subprocess.run([command, *arguments], input=stdin, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_requests_are_counted_by_template_method_and_status(http: httpx.Client) -> None:
    """Points, routes, HEAD, problems and unknown paths: each under its template, none under its path."""
    schedule_id = posted_id(http, REFERENCE_SPEC)
    for path in (f"{schedule_id}/lr/7", f"{schedule_id}/lr/8", f"{schedule_id}/lr/99", f"{UNKNOWN}/lr/1", schedule_id):
        http.get(f"/v1/schedules/{path}")
    http.head(f"/v1/schedules/{schedule_id}")
    http.put(f"/v1/schedules/{schedule_id}")
    http.get("/v1/nothing")
    assert requests(scraped(http)) == {
        ("POST", "/v1/schedules", "201"): 1,
        ("GET", POINT, "200"): 2,
        ("GET", POINT, "422"): 1,
        ("GET", POINT, "404"): 1,
        ("GET", "/v1/schedules/{schedule_id}", "200"): 1,
        ("HEAD", "/v1/schedules/{schedule_id}", "200"): 1,
        ("PUT", "/v1/schedules/{schedule_id}", "405"): 1,
        ("GET", "none", "404"): 1,
    }


def test_no_client_can_make_series(http: httpx.Client) -> None:
    """Fifty unknown paths and methods are two series."""
    for number in range(50):
        http.get(f"/{number}")
        http.request(("PROPFIND", "LOCK", "REPORT")[number % 3], f"/v1/schedules/{number:032}/lr/{number}")
    assert set(requests(scraped(http))) == {("GET", "none", "404"), ("OTHER", POINT, "405")}


def test_what_the_server_refuses_by_itself_is_counted() -> None:
    """With its status: under the route `socket` where there is none yet, and else under its own, once."""
    limits: dict[str, Any] = {
        "head_timeout_s": 0.3,
        "body_timeout_s": 0.3,
        "max_head_bytes": 4096,
        "max_target_bytes": 512,
        "max_body_bytes": 1000,
    }
    post = b"POST /v1/lint HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    with service(**limits) as url, httpx.Client(base_url=url, timeout=60) as http:
        for sent, status in (
            (b"\x16\x03\x01", 400),
            (b"GET / HTTP/1.1\r\nHost: x\r\nHost: x\r\n\r\n", 400),
            (b"GET /" + b"x" * 600, 414),
            (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"x" * 5000, 431),
            (b"GET / HT", 408),
            (post % 9 + b"{", 408),
            (post % 9999 + b" " * 2000, 413),
        ):
            with RawClient(url) as client:
                assert statuses(client.send(sent).until_closed()) == [status]
        found = scraped(http)
        timed = {labels[1] for name, labels in found if name == "preheat_http_request_duration_seconds_count"}
        assert timed >= {"/v1/lint"}
        assert "socket" not in timed  # it would make every quantile better
        assert {labels: count for labels, count in requests(found).items() if labels[1] != "/metrics"} == {
            ("OTHER", "socket", "400"): 1,
            ("GET", "socket", "400"): 1,
            ("OTHER", "socket", "414"): 1,
            ("OTHER", "socket", "431"): 1,
            ("OTHER", "socket", "408"): 1,
            ("POST", "/v1/lint", "408"): 1,
            ("POST", "/v1/lint", "413"): 1,
        }


def test_refusals_for_want_of_room_are_counted() -> None:
    """503, whether connections or bodies are too many."""
    post = (
        b"POST /v1/lint HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 9999\r\n\r\n"
    )
    with service(max_connections=2, max_arriving_bytes=5000) as url:
        with RawClient(url) as one, RawClient(url) as other:
            for client in (one, other):
                client.send(post, b" " * 4000)
            readable, _, _ = select.select([one.socket, other.socket], [], [], PATIENCE_S)
            [refused] = [client for client in (one, other) if client.socket in readable]
            assert statuses(refused.until_closed()) == [503]
            with RawClient(url).send(post, b" " * 100):
                wait_until(lambda: "too-many" in httpx.get(f"{url}/v1/recipes", timeout=60).text, PATIENCE_S)
                found = requests(samples(httpx.get(f"{url}/metrics", timeout=60).text))
        assert found["POST", "/v1/lint", "503"] == 1
        assert found["GET", "socket", "503"] >= 1


def test_the_histogram_counts_as_its_bounds_say() -> None:
    """A duration on a bound belongs to the bucket of this bound (Prometheus: le), and the last bucket has all."""
    metrics = Metrics("2.13.0")
    observer = metrics.requests.of("/x", "GET", 200)
    for seconds in (0.0001, 0.00011, 99.0):
        observer.observe(seconds, bytes_out=10, bytes_in=1)
    found = samples(metrics.exposition()[0].decode())
    buckets = {
        labels[0]: value
        for (name, labels), value in found.items()
        if name == "preheat_http_request_duration_seconds_bucket"
    }
    assert [buckets["0.0001"], buckets["0.00025"], buckets["25.0"], buckets["+Inf"]] == [1, 2, 2, 3]
    assert len(buckets) == len(BUCKETS_S) + 1
    assert found["preheat_http_request_duration_seconds_sum", ("GET", "/x")] == pytest.approx(99.00021)
    assert found["preheat_http_response_body_bytes_total", ("GET", "/x")] == 30
    assert found["preheat_http_request_body_bytes_total", ("GET", "/x")] == 3


def test_counting_a_point_costs_next_to_nothing() -> None:
    """About 0.5 µs; bounded with a wide margin."""
    observer = Metrics("2.13.0").requests.of(POINT, "GET", 200)
    begun = time.perf_counter()
    for _ in range(100_000):
        observer.observe(0.0002, 55)
    assert (time.perf_counter() - begun) / 100_000 < 20e-6


def test_bytes_caches_drawing_store_and_refusals_are_counted(http: httpx.Client) -> None:
    """Each by what a client did and sees of it."""
    schedule_id = posted_id(http, REFERENCE_SPEC)
    picture = http.get(f"/v1/schedules/{schedule_id}/plot.png")
    http.get(f"/v1/schedules/{schedule_id}/plot.png")
    refused = {"target_lr": 1, "total_iterations": 10**13}
    assert http.post("/v1/schedules", json=refused).status_code == 422
    found = scraped(http)
    route = ("GET", "/v1/schedules/{schedule_id}/plot.png")
    assert found["preheat_http_response_body_bytes_total", route] == 2 * len(picture.content)
    body = len(httpx.Request("POST", "http://x", json=REFERENCE_SPEC).content)
    assert found["preheat_http_request_body_bytes_total", ("POST", "/v1/schedules")] > body
    assert found["preheat_cache_hits_total", ("pictures",)] == 1
    assert found["preheat_cache_misses_total", ("pictures",)] == 1
    assert found["preheat_cache_bytes", ("pictures",)] == len(picture.content)
    assert found["preheat_draw_duration_seconds_count", ()] == 1
    assert found["preheat_store_transaction_duration_seconds_count", ("write",)] >= 1
    assert found["preheat_refused_total", ("limit",)] == 1


def test_a_database_that_is_away_is_counted(tmp_path: Path) -> None:
    """A folder in the place of the file: transactions fail, and /readyz says 503."""
    (tmp_path / "p.db").mkdir()
    with service(database_url=f"sqlite:///{tmp_path}/p.db") as url, httpx.Client(base_url=url, timeout=60) as http:
        assert http.get("/readyz").status_code == 503
        found = scraped(http)
    assert found["preheat_store_errors_total", ("write",)] >= 1
    assert requests(found)["GET", "/readyz", "503"] == 1


def test_several_workers_are_added_up_and_the_dead_are_not_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever is asked answers for all; after the kill of a worker counts do not fall; their folder goes at the end."""
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with service_process(tmp_path / "p.db", workers=2) as running:

        def asked(path: str) -> httpx.Response:
            return httpx.get(f"{running.url}{path}", timeout=30)  # each on a connection of its own

        def total() -> float:
            return requests(samples(asked("/metrics").text)).get(("GET", "/v1/recipes", "200"), 0)

        wait_until(lambda: samples(asked("/metrics").text)["preheat_workers", ()] == 2, 60)
        for _ in range(20):
            asked("/v1/recipes")
        wait_until(lambda: total() == 20, 30)
        (folder,) = temporary.glob("preheat-metrics-*")
        victim = next(folder.glob("*.alive"))
        draft = victim.with_suffix(".draft")
        time.sleep(1.5)  # a kill loses what was counted since the last write, a second ago at most
        os.kill(int(victim.name.partition("-")[0]), signal.SIGKILL)
        draft.touch()  # it might have been writing
        wait_until(lambda: total() == 20 and not victim.exists(), 30)
        assert not draft.exists()
        assert [path.name for path in folder.glob("gone*")] == ["gone.json"]
        running.process.send_signal(signal.SIGTERM)
        assert running.process.wait(60) == 0
    assert list(temporary.iterdir()) == []


class Shared:
    """Two workers, as processes have them, on one folder; the first is asked."""

    def __init__(self, folder: Path) -> None:
        self.asked, self.other = Metrics("2.13.0", folder), Metrics("2.13.0", folder)
        for count, metrics in ((1, self.asked), (10, self.other)):
            metrics.start_sharing()
            for _ in range(count):
                metrics.requests.of("/x", "GET", 200).observe(0.1, 1)
            metrics.exposition()  # writes them down at once

    def total(self) -> float:
        """Requests of both, as far as the first knows."""
        return requests(samples(self.asked.exposition()[0].decode()))["GET", "/x", "200"]

    def stop(self) -> None:
        """Stops both."""
        self.asked.stop_sharing()
        self.other.stop_sharing()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one, for shared metrics."""
    folder = tmp_path / "metrics"
    folder.mkdir()
    return folder


@pytest.fixture
def shared(folder: Path) -> Iterator[Shared]:
    """Two workers who know of each other."""
    workers = Shared(folder)
    assert workers.total() == 11
    yield workers
    workers.stop()


DAMAGE = {
    "empty": b"",
    "truncated": b'{"preheat_http_requests": ["counter", "",',
    "zeros": bytes(4096),
    "no object": b"[]",
    "another form": b'{"a": 1}',
    "no number": b'{"a": ["counter", "", {"[\\"a\\", {}]": null}]}',
    "no name": b'{"a": ["counter", "", {"x": 1}]}',
    "no kind": b'{"a": ["x", "", {}]}',
    "not UTF-8": b"\xff",
}


def test_a_damaged_file_of_metrics_is_left_out(shared: Shared, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of the dead as of the living: /metrics has the others, and the log names each file once."""
    files = {folder / f"{number}-dead.json": content for number, content in enumerate(DAMAGE.values())}
    files[folder / "gone.json"] = DAMAGE["truncated"]
    for file, content in files.items():
        file.write_bytes(content)
    assert [shared.total() for _ in range(5)] == [11] * 5
    assert [caplog.text.count(f"metrics in {file} are left out") for file in files] == [1] * len(files)
    for file in files:
        file.with_suffix(".alive").touch()  # a worker that died: what it left is put together with the rest
    caplog.clear()
    assert [shared.total() for _ in range(2)] == [11] * 2
    assert not list(folder.glob("*-dead*"))
    assert not caplog.records


def test_a_folder_of_metrics_that_is_removed_and_made_again(
    shared: Shared, folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Each worker answers for itself meanwhile, and for all when it is back; logged once."""
    shutil.rmtree(folder)
    assert [shared.total() for _ in range(5)] == [1] * 5
    wait_until(lambda: caplog.text.count("metrics cannot be shared") == 2, 30)
    time.sleep(1.5)  # the next write
    assert caplog.text.count("metrics cannot be shared") == 2
    folder.mkdir()
    wait_until(lambda: shared.total() == 11, 30)


def test_a_worker_whose_file_was_cleaned_up_is_not_taken_for_another(shared: Shared, folder: Path) -> None:
    """As by what removes old files in /tmp: it makes another one, and is counted once."""
    for file in folder.glob("*.alive"):
        file.unlink()
    wait_until(lambda: len(list(folder.glob("*.alive"))) == 2, 30)
    assert shared.total() == 11


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a disk")
def test_a_full_disk_under_shared_metrics(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """At the start and later: every worker counts itself, and the others as they were last."""
    with disk(tmp_path / "disk", "64k") as folder:
        fill(folder / "full")
        workers = Shared(folder)
        assert workers.total() == 1
        (folder / "full").unlink()
        wait_until(lambda: workers.total() == 11, 30)
        fill(folder / "full")
        workers.asked.requests.of("/x", "GET", 200).observe(0.1, 1)
        assert workers.total() == 12
        caplog.clear()
        dead = folder / "1-dead.alive"
        (folder / "full").unlink()
        dead.touch()
        fill(folder / "full")
        assert [workers.total() for _ in range(3)] == [12] * 3
        assert caplog.text.count("metrics of dead workers cannot be put together") == 1
        workers.stop()


class Slow(Collector):
    """A metric that takes a while, and how many ask for it at once at most."""

    def __init__(self) -> None:
        self.asking = self.most = 0

    def collect(self) -> Iterator[Metric]:
        """Nothing."""
        self.asking += 1
        self.most = max(self.most, self.asking)
        time.sleep(0.1)
        self.asking -= 1
        yield from ()


def test_metrics_that_are_asked_for_at_once_take_few_threads() -> None:
    """Nobody needs a key for them: many at once must not be as many threads."""
    app = create_app(Settings(database_url="sqlite:///:memory:"))
    slow = Slow()
    app.state.metrics.registry.register(slow)
    with serving(app) as url, ThreadPoolExecutor(16) as clients:
        answers = list(clients.map(lambda _: httpx.get(f"{url}/metrics", timeout=60), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert slow.most == 2


def test_promtool_finds_nothing_to_say_of_names_and_help(http: httpx.Client) -> None:
    """After a request of every kind, with all series there."""
    http.get(f"/v1/schedules/{posted_id(http, REFERENCE_SPEC)}/plot.svg")
    promtool("check", "metrics", stdin=http.get("/metrics").text)


def test_openmetrics_is_given_to_who_asks_for_it(http: httpx.Client) -> None:
    """Prometheus asks so; the text ends as the format says."""
    answer = http.get("/metrics", headers={"accept": "application/openmetrics-text; version=1.0.0"})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


def test_alerts_fire_when_they_should_and_only_then() -> None:
    """By promtool: the rules are valid, and their own tests pass; each says what to do."""
    promtool("check", "rules", str(DEPLOY / "prometheus/alerts.yaml"))
    promtool("test", "rules", str(DEPLOY / "prometheus/alerts_test.yaml"))
    for rule in _rules():
        assert rule["annotations"].keys() == {"summary", "description", "runbook"}, rule["alert"]


def test_dashboard_and_alerts_ask_for_metrics_that_there_are() -> None:
    """Every name in a PromQL expression is a series of /metrics, or Prometheus' own `up`."""
    metrics = Metrics("2.13.0")
    metrics.watch_caches({})
    metrics.watch_lost_log_lines(int)
    metrics.watch_runs(dict)
    known = {"up"}
    for family in metrics.registry.collect():
        suffixes = {"counter": ("_total",), "histogram": ("_bucket", "_sum", "_count"), "info": ("_info",)}
        known |= {family.name + suffix for suffix in suffixes.get(family.type, ("",))}
    expressions = [rule["expr"] for rule in _rules()] + [each["expr"] for each in _targets()]
    asked = {name for expression in expressions for name in _names(expression)}
    assert len(asked) > 15
    assert asked <= known


def test_alerts_ask_for_events_that_are_counted_from_the_start() -> None:
    """A counter that begins at 1 has not risen for PromQL, so that its first event would go unseen."""
    expressions = " ".join(rule["expr"] for rule in _rules())
    asked = set(re.findall(r'preheat_run_events_total\{kind="([^"]+)"', expressions))
    counted = {
        labels[0]: value
        for (name, labels), value in samples(Metrics("2.13.0").exposition()[0].decode()).items()
        if name == "preheat_run_events_total"
    }
    assert asked
    assert counted == dict.fromkeys(asked, 0)


def test_dashboard_and_alerts_ask_for_states_that_there_are() -> None:
    """Each value of the label `state` is a state of a live run."""
    expressions = [rule["expr"] for rule in _rules()] + [each["expr"] for each in _targets()]
    asked = set(re.findall(r'state!?="([^"]+)"', " ".join(expressions)))
    assert asked >= {"SILENT", "STALLED"}
    assert asked <= set(get_args(State))


def test_every_panel_has_a_title_a_unit_and_the_data_source_that_is_chosen() -> None:
    """So that the dashboard works in any Grafana, whatever its data source is called."""
    for panel in _dashboard()["panels"]:
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert panel["description"]
            sources = {panel["datasource"]["uid"], *(target["datasource"]["uid"] for target in panel["targets"])}
            assert sources == {"${datasource}"}
    ids = [panel["id"] for panel in _dashboard()["panels"]]
    assert len(set(ids)) == len(ids)


def _dashboard() -> dict[str, Any]:
    content: dict[str, Any] = json.loads((DEPLOY / "grafana/preheat.json").read_text(encoding="utf-8"))
    return content


def _targets() -> list[dict[str, str]]:
    return [target for panel in _dashboard()["panels"] for target in panel.get("targets", [])]


def _rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DEPLOY / "prometheus/alerts.yaml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def _names(expression: str) -> set[str]:
    """Names of series in a PromQL expression: words that are no labels, functions, keywords or parts of texts."""
    without = re.sub(r'"[^"]*"|\{[^"{}]*(?:"[^"]*"[^"{}]*)*\}|\b(by|without|on)\s*\([^)]*\)', " ", expression)
    words = re.findall(r"[a-zA-Z_:][\w:]*(?!\w*\s*\()", re.sub(r"\[[^\]]*\]", " ", without))
    return {word for word in words if not re.search(rf"\b{word}\s*\(", without)} - {"and", "or", "unless", "bool"}
