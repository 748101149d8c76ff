"""The REST API over a real socket: every route, every format, every manner."""

import csv
import io
import json
import math
import threading
import time
from typing import Any, ClassVar

import httpx
import numpy as np
import pytest

from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import service

UNKNOWN = "0" * 32


@pytest.fixture(scope="module")
def schedule_id(http: httpx.Client) -> str:
    """The id of the reference schedule."""
    return str(post(http, REFERENCE_SPEC).json()["id"])


def post(http: httpx.Client, spec: object, **parameters: int) -> httpx.Response:
    """Posts a spec."""
    return http.post("/v1/schedules", json=spec, params=parameters)


def problem(response: httpx.Response, status: int, kind: str) -> dict[str, Any]:
    """The problem document of an answer, after checking its form (RFC 9457) and that nobody caches it."""
    document: dict[str, Any] = response.json()
    assert response.headers["content-type"] == "application/problem+json"
    assert (response.status_code, document["status"], document["type"]) == (status, status, f"urn:preheat:{kind}")
    assert document["title"]
    assert document["detail"]
    assert response.headers["cache-control"] == "no-store"
    return document


class TestCreate:
    """POST /v1/schedules."""

    def test_the_first_time_is_201_with_location_and_later_200(self, http: httpx.Client) -> None:
        """The same spec is the same schedule, even if it leaves out what another one states."""
        spec = {"target_lr": 0.5, "total_iterations": 7, "after_scheduler": {"type": "CosineAnnealingLR"}}
        first = post(http, spec)
        again = post(http, {**spec, "warmup": {}, "after_scheduler": {"type": "CosineAnnealingLR", "T_max": 7}})
        assert (first.status_code, again.status_code) == (201, 200)
        assert first.headers["location"] == again.headers["location"] == f"/v1/schedules/{first.json()['id']}"
        assert http.get(first.headers["location"]).json()["id"] == again.json()["id"]

    def test_the_body_has_everything(self, http: httpx.Client) -> None:
        """Id, normalised spec, torch version, the window and its columns, links that work."""
        body = post(http, REFERENCE_SPEC).json()
        assert body["spec"] == {
            **REFERENCE_SPEC,
            "warmup": {"iterations": 10, "shape": "linear", "convention": "n/W", "decay_clock": "after_warmup"},
            "after_scheduler": {"type": "CosineAnnealingLR", "T_max": 10, "eta_min": 0.0},
        }
        assert (body["total_iterations"], body["start"], body["stop"], body["step"]) == (20, 0, 21, 1)
        assert body["torch_version"] == "2.13.0"
        (group,) = body["groups"]
        assert group["name"] == "default"
        assert [str(lr) for lr in group["lr"]] == ["0.0", *REFERENCE_ROWS]
        for link in body["links"].values():
            assert http.get(link).status_code == 200

    def test_a_window_chooses_rows(self, http: httpx.Client) -> None:
        """Start, stop and step are half-open, as in Python; an empty window is no mistake."""
        assert post(http, REFERENCE_SPEC, start=8, stop=14, step=5).json()["groups"][0]["lr"] == [
            float(REFERENCE_ROWS[7]),
            float(REFERENCE_ROWS[12]),
        ]
        assert post(http, REFERENCE_SPEC, stop=0).json()["groups"][0]["lr"] == []

    def test_param_groups_are_columns_by_name(self, http: httpx.Client) -> None:
        """Named groups keep their names, unnamed ones are numbered."""
        spec = {"target_lr": 0.1, "total_iterations": 2, "warmup": {"iterations": 2}}
        named = post(http, {**spec, "param_groups": [{"name": "a"}, {"name": "b", "target_lr": 0.2}]}).json()
        assert named["groups"] == [{"name": "a", "lr": [0, 0.05, 0.1]}, {"name": "b", "lr": [0, 0.1, 0.2]}]
        unnamed = post(http, {**spec, "param_groups": [{}, {"target_lr": 0.2}]}).json()
        assert [group["name"] for group in unnamed["groups"]] == ["group_0", "group_1"]

    @pytest.mark.parametrize(
        ("body", "pointer", "rule"),
        [
            ('{"target_lr": NaN, "total_iterations": 5}', "/target_lr", "finite"),
            ('{"target_lr": 1e999, "total_iterations": 5}', "/target_lr", "finite"),
            ('{"target_lr": -Infinity, "total_iterations": 5}', "/target_lr", "finite"),
            (f'{{"target_lr": 1{"0" * 400}, "total_iterations": 5}}', "/target_lr", "finite"),
            (f'{{"target_lr": 1, "total_iterations": 1{"0" * 400}}}', "/total_iterations", "≤"),
            ('{"target_lr": 1, "total_iterations": 5, "label": "\\ud800"}', "/label", "must be valid Unicode"),
            ('{"target_lr": 1, "target_lr": 2, "total_iterations": 5}', "", "more than once"),
            ("[" * 100_000, "", "nested too deeply"),
            ("", "", "not valid JSON"),
            ("null", "", "must be an object"),
            ('{"target_lr": "0.1", "total_iterations": 5}', "/target_lr", "must be a number"),
            ('{"target_lr": true, "total_iterations": 5}', "/target_lr", "must be a number"),
            ('{"target_lr": 1, "total_iterations": 5.0}', "/total_iterations", "whole number"),
            ('{"target_lr": 1, "total_iterations": 5, "warmup": {"iterations": 6}}', "/warmup/iterations", "(5)"),
            ('{"target_lr": 1, "total_iterations": 5, "lable": "x"}', "/lable", "did you mean label?"),
        ],
    )
    def test_bad_bodies_name_field_and_rule(self, http: httpx.Client, body: str, pointer: str, rule: str) -> None:
        """Whatever the body, the answer is 422 with a pointer and a rule, and is itself valid JSON."""
        answer = http.post("/v1/schedules", content=body, headers={"content-type": "application/json"})
        (error,) = problem(answer, 422, "invalid-spec")["errors"]
        assert error["pointer"] == pointer
        assert rule in error["detail"]

    def test_every_mistake_is_named_at_once(self, http: httpx.Client) -> None:
        """Three mistakes, three entries."""
        spec = {"target_lr": -1, "total_iterations": 0, "after_scheduler": {"type": "StepLR", "step_size": 0}}
        errors = problem(post(http, spec), 422, "invalid-spec")["errors"]
        assert {error["pointer"] for error in errors} == {
            "/target_lr",
            "/total_iterations",
            "/after_scheduler/step_size",
        }

    @pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", ""])
    def test_another_content_type_is_415(self, http: httpx.Client, content_type: str) -> None:
        """What curl sends by default is told how to do better."""
        answer = http.post("/v1/schedules", content="{}", headers={"content-type": content_type})
        assert "-H 'Content-Type: application/json'" in problem(answer, 415, "unsupported-media-type")["detail"]

    @pytest.mark.parametrize("declares_length", [True, False])
    def test_a_large_body_is_413(self, declares_length: bool) -> None:
        """Whether its length is declared or it comes in chunks; the limit is named."""
        with service(max_body_bytes=1000) as url:
            content: Any = b" " * 2000 if declares_length else (b" " * 100 for _ in range(20))
            headers = {"content-type": "application/json"}
            answer = httpx.post(f"{url}/v1/schedules", content=content, headers=headers)
            document = problem(answer, 413, "request-entity-too-large")
            assert (document["setting"], document["limit"]) == ("max_body_bytes", 1000)


class TestWindow:
    """GET /v1/schedules/{id}/lr."""

    def test_every_format_has_the_same_digits(self, http: httpx.Client, schedule_id: str) -> None:
        """JSON, CSV and NPY of the reference schedule are the printed table."""
        path = f"/v1/schedules/{schedule_id}/lr"
        as_json = http.get(path).json()["groups"][0]["lr"]
        as_csv = list(csv.reader(io.StringIO(http.get(path, headers={"accept": "text/csv"}).text)))
        as_npy = np.load(io.BytesIO(http.get(path, headers={"accept": "application/x-npy"}).content))
        assert [str(lr) for lr in as_json[1:]] == list(REFERENCE_ROWS)
        assert as_csv[0] == ["iteration", "default"]
        assert as_csv[2:] == [[str(n), row] for n, row in enumerate(REFERENCE_ROWS, start=1)]
        assert (as_npy.shape, as_npy.dtype) == ((21, 1), np.float64)
        assert [str(lr) for lr in as_npy[1:, 0].tolist()] == list(REFERENCE_ROWS)

    @pytest.mark.parametrize(("accept", "start"), [("image/png", b"\x89PNG"), ("image/svg+xml", b"<?xml")])
    def test_pictures_are_formats_too(self, http: httpx.Client, schedule_id: str, accept: str, start: bytes) -> None:
        """The window, drawn."""
        answer = http.get(f"/v1/schedules/{schedule_id}/lr", headers={"accept": accept})
        assert answer.headers["content-type"].startswith(accept)
        assert answer.content.startswith(start)

    @pytest.mark.parametrize(
        ("accept", "content_type"),
        [
            ("*/*", "application/json"),
            ("text/*", "text/csv; charset=utf-8"),
            ("text/html, application/x-npy;q=0.5, text/csv;q=0.4", "application/x-npy"),
            ("application/json;q=0.1, image/*;q=0.9", "image/png"),
            ("*/*, application/json;q=0, image/png;q=0", "image/svg+xml"),
        ],
    )
    def test_accept_is_negotiated(self, http: httpx.Client, schedule_id: str, accept: str, content_type: str) -> None:
        """By weight, then by how specific the range is, then by our order (RFC 9110 §12.5.1)."""
        answer = http.get(f"/v1/schedules/{schedule_id}/lr", headers={"accept": accept})
        assert answer.headers["content-type"] == content_type
        assert answer.headers["vary"] == "accept"

    @pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/json;q=x", "nonsense"])
    def test_no_format_in_common_is_406(self, http: httpx.Client, schedule_id: str, accept: str) -> None:
        """The answer lists what there is, for POST and for GET."""
        for answer in (
            http.get(f"/v1/schedules/{schedule_id}/lr", headers={"accept": accept}),
            http.post("/v1/schedules", json=REFERENCE_SPEC, headers={"accept": accept}),
        ):
            assert "application/x-npy" in problem(answer, 406, "not-acceptable")["available"]

    @pytest.mark.parametrize("query", ["start=22", "stop=22", "start=5&stop=4"])
    def test_a_window_outside_the_run_has_the_valid_range(
        self, http: httpx.Client, schedule_id: str, query: str
    ) -> None:
        """422, with first and last."""
        document = problem(http.get(f"/v1/schedules/{schedule_id}/lr?{query}"), 422, "iteration-out-of-range")
        assert document["first"] == 0
        assert document["last"] in {20, 21}

    def test_too_many_values_name_the_limit_and_the_way_around(self) -> None:
        """A list of more values than allowed is refused before it is computed, and a wider step is taken."""
        with service(max_values_per_answer=100) as url, httpx.Client(base_url=url) as http:
            spec = {"target_lr": 1, "total_iterations": 10**12}
            document = problem(post(http, spec), 422, "limit-exceeded")
            assert (document["setting"], document["limit"]) == ("max_values_per_answer", 100)
            assert "step" in document["detail"]
            assert len(post(http, spec, step=2 * 10**10).json()["groups"][0]["lr"]) == 51


class TestPoint:
    """GET /v1/schedules/{id}/lr/{iteration}."""

    def test_a_point_is_the_tables_row(self, http: httpx.Client, schedule_id: str) -> None:
        """Digit for digit, for every iteration, and in this form."""
        for n, row in enumerate(REFERENCE_ROWS, start=1):
            answer = http.get(f"/v1/schedules/{schedule_id}/lr/{n}")
            assert answer.text == f'{{"iteration":{n},"groups":[{{"name":"default","lr":{row}}}]}}'

    @pytest.mark.parametrize("iteration", [21, 10**15])
    def test_past_the_end_is_refused_with_the_valid_range(
        self, http: httpx.Client, schedule_id: str, iteration: int
    ) -> None:
        """The API holds nothing: 422 with 0 … 20."""
        answer = http.get(f"/v1/schedules/{schedule_id}/lr/{iteration}")
        document = problem(answer, 422, "iteration-out-of-range")
        assert (document["first"], document["last"]) == (0, 20)
        assert document["errors"][0]["parameter"] == "iteration"

    @pytest.mark.parametrize("iteration", ["-1", "one", "1.5", "1" + "0" * 400])
    def test_what_is_no_iteration_is_refused(self, http: httpx.Client, schedule_id: str, iteration: str) -> None:
        """422 names the parameter."""
        answer = http.get(f"/v1/schedules/{schedule_id}/lr/{iteration}")
        assert problem(answer, 422, "invalid-parameter")["errors"][0]["parameter"] == "iteration"

    @pytest.mark.parametrize(
        "spec",
        [
            REFERENCE_SPEC,
            {
                "target_lr": 1,
                "total_iterations": 9000,
                "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.9},
            },
        ],
    )
    def test_the_short_way_answers_as_the_route_does(self, http: httpx.Client, spec: dict[str, Any]) -> None:
        """With and without what makes a request take the long way, body and headers are the same."""
        path = f"/v1/schedules/{post(http, spec).json()['id']}/lr/17"
        long_way = http.get(path, headers={"if-none-match": '"another"'})
        short_way = http.get(path)
        assert short_way.content == long_way.content
        unlike = {"date"}
        assert {k: v for k, v in short_way.headers.items() if k not in unlike} == {
            k: v for k, v in long_way.headers.items() if k not in unlike
        }


class TestList:
    """GET /v1/schedules."""

    def test_pages_are_newest_first_and_complete(self) -> None:
        """Following `next` meets every schedule once, newest first, while others are added."""
        with service() as url, httpx.Client(base_url=url) as http:
            ids = [post(http, {"target_lr": 1, "total_iterations": n}).json()["id"] for n in range(1, 8)]
            met, cursor = [], None
            while True:
                page = http.get("/v1/schedules", params={"limit": 3, **({"cursor": cursor} if cursor else {})}).json()
                met += [schedule["id"] for schedule in page["schedules"]]
                post(http, {"target_lr": 2, "total_iterations": len(met)})
                if (cursor := page["next"]) is None:
                    break
            assert met == ids[::-1]

    def test_a_label_filters(self) -> None:
        """Only schedules with exactly this label."""
        with service() as url, httpx.Client(base_url=url) as http:
            for label in ("a", "b", "a'; --"):
                post(http, {"target_lr": 1, "total_iterations": 5, "label": label})
            found = http.get("/v1/schedules", params={"label": "a'; --"}).json()["schedules"]
            assert [schedule["spec"]["label"] for schedule in found] == ["a'; --"]

    @pytest.mark.parametrize("cursor", ["x", "!!!", "AAAA", "LTE", "é"])
    def test_a_made_up_cursor_is_refused(self, http: httpx.Client, cursor: str) -> None:
        """422 names the parameter."""
        answer = http.get("/v1/schedules", params={"cursor": cursor})
        assert problem(answer, 422, "invalid-parameter")["errors"][0]["parameter"] == "cursor"


class TestPlot:
    """Pictures by address."""

    @pytest.mark.parametrize(
        "query",
        ["", "width_px=480&height_px=320", "scale=log", "theme=dark", "start=3&stop=9", "at=12", "at=0&scale=log"],
    )
    def test_every_option_draws(self, http: httpx.Client, schedule_id: str, query: str) -> None:
        """PNG and SVG, each different from the default."""
        for name, start in (("plot.png", b"\x89PNG"), ("plot.svg", b"<?xml")):
            answer = http.get(f"/v1/schedules/{schedule_id}/{name}?{query}")
            assert answer.content.startswith(start)
            if query:
                assert answer.content != http.get(f"/v1/schedules/{schedule_id}/{name}").content

    def test_size_is_in_pixels(self, http: httpx.Client, schedule_id: str) -> None:
        """The PNG's header says what was asked for."""
        picture = http.get(f"/v1/schedules/{schedule_id}/plot.png?width_px=523&height_px=217").content
        assert (int.from_bytes(picture[16:20]), int.from_bytes(picture[20:24])) == (523, 217)

    def test_others_can_be_compared(self, http: httpx.Client, schedule_id: str) -> None:
        """A repeated `compare` draws more lines; an unknown id is 404."""
        other = post(http, {"target_lr": 0.02, "total_iterations": 30, "label": "the other one"}).json()["id"]
        svg = http.get(f"/v1/schedules/{schedule_id}/plot.svg?compare={other}&compare={schedule_id}").text
        assert "the other one" in svg
        answer = http.get(f"/v1/schedules/{schedule_id}/plot.svg?compare={UNKNOWN}")
        problem(answer, 404, "schedule-not-found")

    def test_a_spec_in_the_address_is_drawn_and_not_stored(self, http: httpx.Client) -> None:
        """The picture is there, the schedule is not."""
        spec = {"target_lr": 0.123, "total_iterations": 456, "label": "passing by"}
        svg = http.get("/v1/plot.svg", params={"spec": json.dumps(spec)}).text
        assert "passing by" in svg
        assert http.get("/v1/plot.png", params={"spec": json.dumps(spec)}).content.startswith(b"\x89PNG")
        listed = http.get("/v1/schedules", params={"label": "passing by"}).json()["schedules"]
        assert listed == []

    def test_a_bad_spec_in_the_address_names_field_and_rule(self, http: httpx.Client) -> None:
        """As for POST."""
        answer = http.get("/v1/plot.png", params={"spec": '{"target_lr": 1}'})
        assert problem(answer, 422, "invalid-spec")["errors"][0]["pointer"] == "/total_iterations"

    @pytest.mark.parametrize("query", ["at=21", "start=21", "stop=22", "start=4&stop=4"])
    def test_outside_the_run_is_refused(self, http: httpx.Client, schedule_id: str, query: str) -> None:
        """422 with the valid range."""
        answer = http.get(f"/v1/schedules/{schedule_id}/plot.png?{query}")
        problem(answer, 422, "iteration-out-of-range")

    def test_a_picture_over_the_limit_names_it(self, http: httpx.Client, schedule_id: str) -> None:
        """422 with the setting."""
        answer = http.get(f"/v1/schedules/{schedule_id}/plot.png?width_px=4001")
        assert problem(answer, 422, "limit-exceeded")["setting"] == "max_width_px"


class TestManners:
    """What every route does."""

    @pytest.mark.parametrize(
        "path",
        ["", "/lr", "/lr/7", "/plot.png", "/plot.svg", "/lr?start=3&stop=5"],
    )
    def test_answers_have_strong_tags_and_can_be_cached_for_ever(
        self, http: httpx.Client, schedule_id: str, path: str
    ) -> None:
        """The tag is strong and stable, If-None-Match answers 304 without a body, and the answer is immutable."""
        first = http.get(f"/v1/schedules/{schedule_id}{path}")
        tag = first.headers["etag"]
        assert tag.startswith('"')
        assert "immutable" in first.headers["cache-control"]
        for header in (tag, f'"x", {tag}', f"W/{tag}", "*"):
            again = http.get(f"/v1/schedules/{schedule_id}{path}", headers={"if-none-match": header})
            assert (again.status_code, again.content, again.headers["etag"]) == (304, b"", tag)
        other = http.get(f"/v1/schedules/{schedule_id}{path}", headers={"if-none-match": '"x"'})
        assert (other.status_code, other.content) == (200, first.content)

    def test_formats_and_windows_have_tags_of_their_own(self, http: httpx.Client, schedule_id: str) -> None:
        """Two different bodies never share a tag."""
        answers = [
            http.get(f"/v1/schedules/{schedule_id}/lr", params=query, headers={"accept": accept})
            for query in ({}, {"start": 1}, {"stop": 4}, {"step": 2})
            for accept in ("application/json", "text/csv", "application/x-npy")
        ]
        assert len({answer.headers["etag"] for answer in answers}) == len({answer.content for answer in answers}) == 12

    @pytest.mark.parametrize(
        ("path", "methods"),
        [
            ("/v1/schedules", "GET, HEAD, OPTIONS, POST"),
            (f"/v1/schedules/{UNKNOWN}", "GET, HEAD, OPTIONS"),
            (f"/v1/schedules/{UNKNOWN}/lr/3", "GET, HEAD, OPTIONS"),
            ("/v1/plot.png", "GET, HEAD, OPTIONS"),
            ("/livez", "GET, HEAD, OPTIONS"),
        ],
    )
    def test_options_and_405_list_every_method(self, http: httpx.Client, path: str, methods: str) -> None:
        """OPTIONS is 204 with Allow; any other method is 405 with the same."""
        options = http.options(path)
        assert (options.status_code, options.headers["allow"]) == (204, methods)
        for method in ("PUT", "PATCH", "DELETE", "TRACE"):
            answer = http.request(method, path)
            problem(answer, 405, "method-not-allowed")
            assert answer.headers["allow"] == methods

    @pytest.mark.parametrize("path", ["", "/lr", "/lr/7", "/plot.png"])
    def test_head_is_get_without_a_body(self, http: httpx.Client, schedule_id: str, path: str) -> None:
        """Same status, same headers, nothing after them."""
        get = http.get(f"/v1/schedules/{schedule_id}{path}")
        head = http.head(f"/v1/schedules/{schedule_id}{path}")
        assert (head.status_code, head.content) == (200, b"")
        for name in ("content-type", "content-length", "etag", "cache-control"):
            assert head.headers[name] == get.headers[name]

    @pytest.mark.parametrize("path", ["", "/lr", "/lr/7", "/plot.png"])
    def test_an_unknown_schedule_is_404(self, http: httpx.Client, path: str) -> None:
        """The problem names the id, and says how to get one."""
        for schedule_id in (UNKNOWN, "no-id"):
            document = problem(http.get(f"/v1/schedules/{schedule_id}{path}"), 404, "schedule-not-found")
            assert schedule_id in document["detail"]

    @pytest.mark.parametrize("path", ["/v2", "/v1/nothing", "/v1/schedules/x/y", "/%ff"])
    def test_an_unknown_path_is_404(self, http: httpx.Client, path: str) -> None:
        """A problem document too."""
        problem(http.get(path), 404, "not-found")

    @pytest.mark.parametrize("path", ["", "/lr", "/lr/7", "/plot.png"])
    def test_an_unknown_parameter_is_refused(self, http: httpx.Client, schedule_id: str, path: str) -> None:
        """A mistyped name is not ignored, and the nearest is named."""
        answer = http.get(f"/v1/schedules/{schedule_id}{path}?strat=3")
        detail = problem(answer, 422, "invalid-parameter")["detail"]
        assert ("did you mean start?" in detail) == (path in {"/lr", "/plot.png"})

    def test_a_repeated_parameter_is_refused(self, http: httpx.Client, schedule_id: str) -> None:
        """Neither of two values is silently taken."""
        answer = http.get(f"/v1/schedules/{schedule_id}/lr?start=3&start=4")
        assert problem(answer, 422, "invalid-parameter")["errors"][0]["parameter"] == "start"

    def test_the_root_leads_to_the_documentation(self, http: httpx.Client) -> None:
        """Whoever opens the printed address in a browser finds the routes."""
        answer = http.get("/", follow_redirects=True)
        assert (answer.status_code, answer.url.path) == (200, "/docs")

    def test_health(self, http: httpx.Client) -> None:
        """Live and ready, with the version, never cached."""
        for path, status in (("/livez", "alive"), ("/readyz", "ready")):
            answer = http.get(path)
            assert answer.json() == {"status": status, "version": "0.1.0"}
            assert answer.headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("path", ["/livez", "/openapi.json", "/docs", "/v1/schedules", "/nothing"])
    def test_every_answer_says_how_to_cache_it(self, http: httpx.Client, path: str) -> None:
        """There is no answer without Cache-Control."""
        assert http.get(path).headers["cache-control"]


class TestCompute:
    """Long computations."""

    SLOW: dict[str, Any] = {  # noqa: RUF012 - a constant
        "target_lr": 1,
        "total_iterations": 3_000_000,
        "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 0.999999},
    }

    def test_too_long_is_503_and_the_thread_ends(self) -> None:
        """The answer comes soon after the timeout, says when to come back, and nothing goes on computing."""
        with service(compute_timeout_s=0.3) as url, httpx.Client(base_url=url, timeout=30) as http:
            started = time.monotonic()
            answer = post(http, self.SLOW, start=3_000_000)
            assert "compute_timeout_s (0.3 s)" in problem(answer, 503, "compute-timeout")["detail"]
            assert answer.headers["retry-after"]
            assert time.monotonic() - started < 5
            time.sleep(0.2)
            before = time.process_time()
            time.sleep(0.5)
            assert time.process_time() - before < 0.25

    def test_meanwhile_others_are_answered(self) -> None:
        """A long computation keeps neither liveness nor another schedule's LR waiting for its end."""
        with service(compute_timeout_s=4) as url, httpx.Client(base_url=url, timeout=30) as http:
            path = f"/v1/schedules/{post(http, REFERENCE_SPEC).json()['id']}/lr/7"
            slow = threading.Thread(target=post, args=(http, self.SLOW), kwargs={"start": 3_000_000})
            slow.start()
            time.sleep(0.3)
            for address in ("/livez", path):
                assert http.get(address, timeout=2).is_success
            assert slow.is_alive()
            slow.join()

    def test_asking_again_gets_further(self) -> None:
        """What was computed is kept: enough attempts arrive at the answer."""
        spec = {**self.SLOW, "total_iterations": 300_000}
        with service(compute_timeout_s=0.4) as url, httpx.Client(base_url=url, timeout=30) as http:
            statuses = []
            for _ in range(60):
                statuses.append((answer := post(http, spec, start=300_000)).status_code)
                if answer.is_success:
                    break
            assert set(statuses[:-1]) == {503}
            (lr,) = answer.json()["groups"][0]["lr"]
            assert lr == pytest.approx(math.exp(300_000 * math.log(0.999999)), rel=1e-9)

    @pytest.mark.parametrize(
        ("after_scheduler", "setting"),
        [
            ({"type": "ExponentialLR", "gamma": 0.9}, "max_total_iterations"),
            ({"type": "SWALR", "swa_lr": 0.1}, "max_total_iterations_stepped"),
        ],
    )
    def test_a_run_too_long_for_its_kind_is_refused(
        self, http: httpx.Client, after_scheduler: dict[str, Any], setting: str
    ) -> None:
        """Each kind of scheduler has its limit."""
        spec = {"target_lr": 1, "total_iterations": 10**13, "after_scheduler": after_scheduler}
        assert problem(post(http, spec), 422, "limit-exceeded")["setting"] == setting

    def test_a_trillion_iterations_are_answered_at_any_point(self, http: httpx.Client) -> None:
        """The cosine written out, at T = 10¹²."""
        spec = {"target_lr": 0.1, "total_iterations": 10**12, "after_scheduler": {"type": "CosineAnnealingLR"}}
        schedule_id = post(http, spec, stop=0).json()["id"]
        lr = http.get(f"/v1/schedules/{schedule_id}/lr/123456789012").json()["groups"][0]["lr"]
        assert lr == pytest.approx(0.05 * (1 + math.cos(math.pi * 0.123456789012)), rel=1e-12)


class TestUnits:
    """Places in a run by epoch, samples and tokens."""

    SPEC: ClassVar[dict[str, Any]] = {
        **REFERENCE_SPEC,
        "units": {"iterations_per_epoch": 2.5, "samples_per_iteration": 64, "tokens_per_iteration": 4e6},
    }

    @pytest.mark.parametrize(
        ("query", "iteration"),
        [({"epoch": 3.0}, 8), ({"samples": 640}, 10), ({"tokens": 47.9e6}, 12), ({"iteration": 7}, 7)],
    )
    def test_a_place_is_the_nearest_iteration(self, http: httpx.Client, query: Any, iteration: int) -> None:
        """The answer is that of the iteration itself."""
        schedule_id = post(http, self.SPEC).json()["id"]
        answer = http.get(f"/v1/schedules/{schedule_id}/at", params=query)
        assert answer.status_code == 200
        assert answer.json() == http.get(f"/v1/schedules/{schedule_id}/lr/{iteration}").json()
        assert answer.json()["groups"][0]["lr"] == float(REFERENCE_ROWS[iteration - 1])

    @pytest.mark.parametrize(
        ("query", "detail"),
        [
            ({"epoch": 9.0}, "iteration (23) must be in 0 … 20"),
            ({}, "must be exactly one of iteration, epoch, samples, tokens"),
            ({"epoch": 1, "tokens": 1}, "must be exactly one of iteration, epoch, samples, tokens"),
            ({"epoch": -1}, "must be ≥ 0"),
            ({"epoch": "nan"}, "must be"),
            ({"epochs": 1}, "did you mean epoch?"),
        ],
    )
    def test_another_place_is_refused(self, http: httpx.Client, query: Any, detail: str) -> None:
        """With the parameter and the rule."""
        schedule_id = post(http, self.SPEC).json()["id"]
        answer = http.get(f"/v1/schedules/{schedule_id}/at", params=query)
        assert answer.status_code == 422
        assert detail in answer.json()["detail"]

    def test_a_unit_that_the_spec_does_not_have_is_named(self, http: httpx.Client) -> None:
        """The schedule cannot know how long an epoch is."""
        schedule_id = post(http, REFERENCE_SPEC).json()["id"]
        answer = http.get(f"/v1/schedules/{schedule_id}/at", params={"epoch": 3})
        assert answer.status_code == 422
        assert "give units.iterations_per_epoch in the schedule's spec" in answer.json()["detail"]


class TestHyperparameters:
    """Columns besides the LR."""

    SPEC: ClassVar[dict[str, Any]] = {
        "target_lr": 0.1,
        "total_iterations": 20,
        "param_groups": [{"name": "a"}, {"name": "b", "factor": 0.5}],
        "hyperparameters": {"weight_decay": {"value": 0.4, "warmup": {"iterations": 20}, "param_groups": ["b"]}},
    }

    def test_every_format_has_them(self, http: httpx.Client) -> None:
        """JSON by group, CSV by header, NPY by column, and the point."""
        body = post(http, self.SPEC).json()
        assert body["columns"][2] == {"group": "b", "hyperparameter": "weight_decay"}
        assert body["groups"][0] == {"name": "a", "lr": [0.1] * 21}
        assert body["groups"][1]["hyperparameters"]["weight_decay"] == [0.4 * n / 20 for n in range(21)]
        path = f"/v1/schedules/{body['id']}"
        lines = http.get(f"{path}/lr", headers={"accept": "text/csv"}).text.splitlines()
        assert (lines[0], lines[6]) == ("iteration,a,b,b.weight_decay", "5,0.1,0.05,0.1")
        table = np.load(io.BytesIO(http.get(f"{path}/lr", headers={"accept": "application/x-npy"}).content))
        assert table[5].tolist() == [0.1, 0.05, 0.1]
        assert http.get(f"{path}/lr/5").json()["groups"] == [
            {"name": "a", "lr": 0.1},
            {"name": "b", "lr": 0.05, "hyperparameters": {"weight_decay": 0.1}},
        ]

    def test_a_formula_without_a_value_is_a_problem(self, http: httpx.Client) -> None:
        """Where it was not looked at before, asking says so, and for which iteration."""
        spec = {
            "target_lr": 1.0,
            "total_iterations": 10**7 + 7,
            "after_scheduler": {"type": "ExpressionLR", "expression": "1 / abs(n - 1234567)"},
        }
        created = http.post("/v1/schedules", json=spec, params={"stop": 0})
        answer = http.get(f"{created.headers['location']}/lr/1234567")
        assert answer.status_code == 422
        assert answer.json()["type"] == "urn:preheat:undefined-lr"
        assert answer.json()["iteration"] == 1234567
