from typing import Any

import httpx
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
    for link in body["links"].values():
        assert http.get(link).status_code == 200


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
    empty = post(http, REFERENCE_SPEC, start=5, stop=5).json()
    assert empty.keys() == answer.json().keys() - {"lint"}


def test_who_does_not_wait_for_lint_is_answered(watched: Any) -> None:
    """Neither an empty window nor a schedule by its id takes lint's time; without the time, its lint is null."""
    spec = {"target_lr": 1, "total_iterations": 10**7, "after_scheduler": {"type": "CosineAnnealingLR"}}
    path = f"/v1/schedules/{posted_id(watched.http, spec)}"
    watched.expire_deadlines()
    assert post(watched.http, spec, start=0, stop=0).status_code == 200
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
    monkeypatch.setattr(Catalogue, "curve", None)
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


def test_a_label_filters(http: httpx.Client) -> None:
    """A list has only schedules with exactly this label, whatever SQL it contains."""
    for label in ("a", "b", "a'; --"):
        post(http, {"target_lr": 1, "total_iterations": 5, "label": label})
    found = http.get("/v1/schedules", params={"label": "a'; --"}).json()["schedules"]
    assert [schedule["spec"]["label"] for schedule in found] == ["a'; --"]


@pytest.mark.parametrize("path", ["", "/lr", "/lr/7", "/at?iteration=3", "/sum", "/plot.png", "/export?to=torch"])
def test_an_unknown_schedule_is_404(http: httpx.Client, path: str) -> None:
    """The problem names the id, and says how to get one."""
    for schedule_id in (UNKNOWN, "no-id"):
        document = problem(http.get(f"/v1/schedules/{schedule_id}{path}"), 404, "schedule-not-found")
        assert schedule_id in document["detail"]


def test_health(http: httpx.Client) -> None:
    """The service says that it is alive and ready, with its version."""
    for path, status in (("/livez", "alive"), ("/readyz", "ready")):
        assert http.get(path).json() == {"status": status, "version": "0.1.0"}
