import io
import itertools
from datetime import UTC, datetime
from typing import Any

import httpx
import numpy as np
import pytest

from preheat.store.curves import Catalogue
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from rest import UNKNOWN, post, posted_id, problem


def test_the_first_time_is_201_with_location_and_later_200(http: httpx.Client) -> None:
    """The same spec is the same schedule, even if it leaves out what another one states."""
    spec = {"target_lr": 0.5, "total_iterations": 7, "after_scheduler": {"type": "CosineAnnealingLR"}}
    first = post(http, spec)
    again = post(http, {**spec, "warmup": {}, "after_scheduler": {"type": "CosineAnnealingLR", "T_max": 7}})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.headers["location"] == again.headers["location"] == f"/v1/schedules/{first.json()['id']}"
    assert http.get(first.headers["location"]).json()["id"] == again.json()["id"]


def test_the_body_has_everything(http: httpx.Client) -> None:
    """A POST answers with id, normalised spec, torch version, window, columns, lint and links that work."""
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
    assert (body["is_complete"], body["links"]["next"]) == (True, None)


def test_every_link_leads_somewhere(http: httpx.Client) -> None:
    """Filled in where it has braces; there is one to each route about a schedule, and DELETE removes it."""
    body = post(http, {**REFERENCE_SPEC, "units": {"iterations_per_epoch": 5}, "label": "with links"}).json()
    links = {name: link for name, link in body["links"].items() if link is not None}
    assert http.get(body["links"]["self"]).json()["links"] == {k: v for k, v in body["links"].items() if k != "next"}
    values = {"iteration": 7, "epoch": 2, "value": 0.004, "other_id": body["id"]}
    assert http.post(links.pop("resume").format(**values), json=REFERENCE_SPEC).status_code == 200
    exports, last = links.pop("export"), links.pop("delete")
    assert {http.get(link).status_code for link in exports.values()} == {200, 422}  # a target may not express it
    assert "torch.optim" in http.get(exports["torch"]).text
    for name, link in links.items():
        assert http.get(link.format(**values)).status_code == 200, name
    paths = {link.partition("?")[0] for link in (*links.values(), *exports.values())}
    documented = {path.replace("{schedule_id}", body["id"]) for path in http.get("/openapi.json").json()["paths"]}
    assert {path for path in documented if body["id"] in path} <= {*paths, f"{last}/resume"}
    assert (http.delete(last).status_code, http.get(last).status_code) == (204, 404)


def test_a_long_run_is_answered_with_its_first_values(http: httpx.Client) -> None:
    """At most 5,000 values of any valid spec, which the answer says; following `next` meets every iteration once."""
    scheduler = {"type": "LinearLR", "total_iters": 12_000}
    spec = {"target_lr": 1.0, "total_iterations": 12_000, "after_scheduler": scheduler}
    answer = post(http, spec)
    body = answer.json()
    assert answer.status_code == 201
    assert (body["start"], body["stop"], body["step"], body["is_complete"]) == (0, 5000, 1, False)
    met = list(body["groups"][0]["lr"])
    assert len(met) == 5000
    address = body["links"]["next"]
    while address:
        window = http.get(address).json()
        met += window["groups"][0]["lr"]
        address = window["links"]["next"]
    assert met == pytest.approx([1 / 3 + (1 - 1 / 3) * n / 12_000 for n in range(12_001)], rel=1e-12)


@pytest.mark.parametrize(
    "spec",
    [
        {"recipe": "llama-3-405b"},
        {"target_lr": 1, "total_iterations": 10**7},
        {"target_lr": 1, "total_iterations": 10**12, "after_scheduler": {"type": "CosineLR"}},
        {"target_lr": 1, "total_iterations": 10**7, "after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": 1.0}},
        {"target_lr": 1, "total_iterations": 10**6, "param_groups": [{"factor": 1 / (n + 1)} for n in range(250)]},
    ],
    ids=["recipe", "long", "longest", "stepped", "wide"],
)
def test_no_valid_spec_is_refused_for_its_length(http: httpx.Client, spec: dict[str, Any]) -> None:
    """It is stored, and answered within 200 kB with lint's findings and the whole run's picture."""
    answer = post(http, spec)
    body = answer.json()
    assert (answer.status_code, body["is_complete"]) == (201, False)
    assert len(answer.content) < 200_000
    assert body["stop"] == 5000 // len(body["columns"])
    assert body["lint"] is not None
    assert http.get(f"{body['links']['self']}?lint=false").status_code == 200


def test_more_columns_than_values_are_still_answered_with_an_iteration(http: httpx.Client) -> None:
    """With 256 groups and 20 hyperparameters one iteration has 5,376 values: it is sent, and the next is linked."""
    wide = {
        "target_lr": 0.1,
        "total_iterations": 100,
        "param_groups": [{"factor": 1.0}] * 256,
        "hyperparameters": {f"other_{index}": {"value": 0.1} for index in range(20)},
    }
    body = post(http, wide).json()
    assert (body["start"], body["stop"], body["is_complete"]) == (0, 1, False)
    assert body["links"]["next"].endswith("?start=1&stop=2&step=1")


def test_whoever_asks_for_a_window_gets_it(http: httpx.Client) -> None:
    """Any of start, stop and step asks for one; CSV and NPY, which cannot say that there is more, have all."""
    spec = {"target_lr": 1.0, "total_iterations": 9_999}
    for query, rows in (({"stop": 8000}, 8000), ({"start": 0}, 10_000), ({"step": 1}, 10_000), ({"step": 5000}, 2)):
        body = post(http, spec, **query).json()
        assert len(body["groups"][0]["lr"]) == rows
        assert body["is_complete"] == (rows == 10_000)
    table = http.post("/v1/schedules", json=spec, headers={"accept": "text/csv"}).text
    assert table.splitlines()[-1] == "9999,1.0"
    npy = http.post("/v1/schedules", json=spec, headers={"accept": "application/x-npy"}).content
    assert np.load(io.BytesIO(npy)).shape == (10_000, 1)


def test_following_windows_are_as_long_as_the_first(http: httpx.Client) -> None:
    """`next` keeps the step and ends with the run; an empty window has none, nor has the last one."""

    def following(**query: int) -> str | None:
        posted = post(http, REFERENCE_SPEC, **query).json()
        address: str | None = posted["links"]["next"]
        assert http.get(posted["links"]["lr"], params=query).json()["links"]["next"] == address
        return address and address.rpartition("?")[2]

    assert following(stop=8) == "start=8&stop=16&step=1"
    assert following(start=8, stop=16) == "start=16&stop=21&step=1"
    assert following(start=1, stop=10, step=4) == "start=13&stop=21&step=4"
    assert [following(start=16), following(stop=0), following(start=20, stop=21)] == [None] * 3


def looks_at_the_deadline(watched: Any, spec: dict[str, Any]) -> int:
    """How often a POST looks at its deadline that computes no LRs and no lint."""
    looks = itertools.count()
    watched.set_deadline(1.0, lambda: next(looks) * 0.0)
    assert post(watched.http, spec, stop=0).is_success
    return next(looks)


def test_lint_that_takes_too_long_is_null(watched: Any) -> None:
    """The schedule is made all the same: LRs come before lint, and one more look at the deadline is all they need."""
    spec = {"target_lr": 1, "total_iterations": 100, "after_scheduler": {"type": "CosineLR"}}
    looks_of_validation = looks_at_the_deadline(watched, {**spec, "label": "another"})
    watched.set_deadline_of_looks(looks_of_validation + 1)
    answer = post(watched.http, spec)
    assert (answer.status_code, answer.json()["lint"]) == (201, None)
    assert len(answer.json()["groups"][0]["lr"]) == 101
    assert watched.http.get("/v1/schedules").json()["schedules"][0]["id"] == answer.json()["id"]


def test_a_window_chooses_rows(http: httpx.Client) -> None:
    """Start, stop and step are half-open, as in Python; an empty window is no mistake."""
    assert post(http, REFERENCE_SPEC, start=8, stop=14, step=5).json()["groups"][0]["lr"] == [
        float(REFERENCE_ROWS[7]),
        float(REFERENCE_ROWS[12]),
    ]
    assert post(http, REFERENCE_SPEC, stop=0).json()["groups"][0]["lr"] == []


def test_lint_comes_with_lrs_and_with_the_schedule(http: httpx.Client) -> None:
    """Findings are the same when a schedule is made and when it is asked for; an answer without LRs has none."""
    answer = post(http, REFERENCE_SPEC)
    again = http.get(answer.headers["location"])
    assert [finding["rule"] for finding in answer.json()["lint"]] == ["first-update-at-zero", "last-update-at-zero"]
    assert again.json()["lint"] == answer.json()["lint"]
    assert post(http, REFERENCE_SPEC, start=5, stop=5).json()["lint"] is None


def test_who_does_not_wait_for_lint_is_answered(watched: Any) -> None:
    """Neither an empty window nor a schedule by its id takes lint's time; without the time, its lint is null."""
    spec = {"target_lr": 1, "total_iterations": 10**7, "after_scheduler": {"type": "CosineAnnealingLR"}}
    looks_of_validation = looks_at_the_deadline(watched, spec)
    path = f"/v1/schedules/{posted_id(watched.http, spec)}"
    watched.set_deadline_of_looks(looks_of_validation)
    assert post(watched.http, spec, start=0, stop=0).status_code == 200
    watched.expire_deadlines()
    cut_off, unlinted = watched.http.get(path), watched.http.get(path, params={"lint": "false"})
    assert cut_off.json() == unlinted.json()
    assert (cut_off.status_code, cut_off.json()["lint"]) == (200, None)
    # What lint was cut off from must not be taken for the whole answer later; what has no lint by request may.
    assert (cut_off.headers["cache-control"], "etag" in cut_off.headers) == ("no-store", False)
    assert unlinted.headers["cache-control"] == "no-cache"
    watched.set_deadline(60.0)
    whole = watched.http.get(path, headers={"if-none-match": unlinted.headers["etag"]})
    assert [finding["rule"] for finding in whole.json()["lint"]] == ["last-update-at-zero"]


def test_a_schedule_by_its_id_is_not_computed(http: httpx.Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """With `?lint=false` no curve is made of a stored schedule: making one takes seconds for many param groups."""
    path = f"/v1/schedules/{posted_id(http, {**REFERENCE_SPEC, 'label': 'opened by id'})}"
    monkeypatch.setattr(Catalogue, "curve_of_stored", None)
    assert http.get(path, params={"lint": "false"}).json()["computes"]


def test_param_groups_are_columns_by_name(http: httpx.Client) -> None:
    """Named groups keep their names, unnamed ones are numbered."""
    spec = {"target_lr": 0.1, "total_iterations": 2, "warmup": {"iterations": 2}}
    named = post(http, {**spec, "param_groups": [{"name": "a"}, {"name": "b", "target_lr": 0.2}]}).json()
    assert named["groups"] == [{"name": "a", "lr": [0, 0.05, 0.1]}, {"name": "b", "lr": [0, 0.1, 0.2]}]
    unnamed = post(http, {**spec, "param_groups": [{}, {"target_lr": 0.2}]}).json()
    assert [group["name"] for group in unnamed["groups"]] == ["group_0", "group_1"]


def test_pages_are_newest_first_and_complete(http: httpx.Client) -> None:
    """Following `next` meets every schedule once, newest first, while others are added."""
    label = "a list of pages"
    ids = [post(http, {"target_lr": 1, "total_iterations": n, "label": label}).json()["id"] for n in range(1, 8)]
    met, cursor = [], None
    while True:
        query: dict[str, Any] = {"limit": 3, "label": label, **({"cursor": cursor} if cursor else {})}
        page = http.get("/v1/schedules", params=query).json()
        met += [schedule["id"] for schedule in page["schedules"]]
        post(http, {"target_lr": 2, "total_iterations": len(met), "label": label})
        if (cursor := page["next"]) is None:
            break
    assert met == ids[::-1]


@pytest.mark.parametrize(
    ("query", "labels"),
    [
        ({"label": "a'; --"}, ["a'; --"]),
        ({"label": "ResNet-50%"}, ["ResNet-50%"]),
        ({"label": "resnet-50%"}, []),
        ({"label_prefix": "ResNet-50"}, ["ResNet-50%", "ResNet-50"]),
        ({"label_prefix": "a'"}, ["a'; --"]),
        ({"label_contains": "NET-5"}, ["ResNet-50%", "ResNet-50", "my resnet-50"]),
        ({"label_contains": "%"}, ["ResNet-50%"]),
        ({"label_contains": "50", "label_prefix": "my"}, ["my resnet-50"]),
    ],
)
def test_a_label_filters(http: httpx.Client, query: dict[str, str], labels: list[str]) -> None:
    """Exactly, by its beginning, or by what it has in it; nothing in it is taken for SQL or for a pattern."""
    for label in ("my resnet-50", "ResNet-50", "a'; --", "ResNet-50%"):
        post(http, {"target_lr": 1, "total_iterations": 5, "label": label})
    found = http.get("/v1/schedules", params=query).json()["schedules"]
    assert [schedule["label"] for schedule in found] == labels


def test_a_list_says_what_tells_schedules_apart(http: httpx.Client) -> None:
    """Not the whole spec, but what a reader looks for, and where the rest is."""
    before = datetime.now(UTC).replace(microsecond=0)
    body = post(http, {**REFERENCE_SPEC, "label": "in a list"}).json()
    (entry,) = http.get("/v1/schedules", params={"label": "in a list"}).json()["schedules"]
    created_at = datetime.fromisoformat(entry.pop("created_at"))
    assert before <= created_at <= datetime.now(UTC)
    assert entry == {
        "id": body["id"],
        "label": "in a list",
        "target_lr": 0.01,
        "total_iterations": 20,
        "after_scheduler": "CosineAnnealingLR",
        "links": {name: body["links"][name] for name in ("self", "lr", "plot_png", "plot_svg")},
    }
    post(http, {"target_lr": 1, "total_iterations": 5, "label": "held"})
    (held,) = http.get("/v1/schedules", params={"label": "held"}).json()["schedules"]
    assert held["after_scheduler"] is None


@pytest.mark.parametrize("path", ["", "/lr", "/lr/7", "/at?iteration=3", "/sum", "/plot.png", "/export?to=torch"])
def test_an_unknown_schedule_is_404(http: httpx.Client, path: str) -> None:
    """The problem names the id, and says how to get one."""
    for schedule_id in (UNKNOWN, "no-id"):
        document = problem(http.get(f"/v1/schedules/{schedule_id}{path}"), 404, "schedule-not-found")
        assert schedule_id in document["detail"]


def test_health(http: httpx.Client) -> None:
    """The service says that it is alive and ready, with its version and the levels of the API that it speaks."""
    for path, status in (("/livez", "alive"), ("/readyz", "ready")):
        assert http.get(path).json() == {"status": status, "version": "0.1.0", "api_level": 1, "oldest_api_level": 1}
