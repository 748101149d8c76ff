"""Routes for questions, lint and recipes, over a real socket."""

import json
from typing import Any

import httpx
import pytest

from preheat.specs.recipes import recipes
from reference import REFERENCE_ROWS, REFERENCE_SPEC

LRS = [0.0, *map(float, REFERENCE_ROWS)]


def created(http: httpx.Client, **fields: Any) -> str:
    """The path of a schedule."""
    return str(http.post("/v1/schedules", json={**REFERENCE_SPEC, **fields}).headers["location"])


def test_a_window_is_summed(http: httpx.Client) -> None:
    """Sum and mean of every column, cachable for ever."""
    path = created(http)
    answer = http.get(f"{path}/sum", params={"start": 3, "stop": 21})
    assert answer.status_code == 200
    (column,) = answer.json()["columns"]
    assert column["sum"] == pytest.approx(sum(LRS[3:21]))
    assert column["mean"] == pytest.approx(sum(LRS[3:21]) / 18)
    assert (column["group"], column["hyperparameter"]) == ("default", "lr")
    assert "immutable" in answer.headers["cache-control"]
    again = http.get(f"{path}/sum", params={"start": 3, "stop": 21}, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    assert http.get(f"{path}/sum", params={"step": 2}).status_code == 422


def test_a_crossing_is_found(http: httpx.Client) -> None:
    """Up, down, never, and in a column that there is not."""
    path = created(http)
    up = http.get(f"{path}/crossing", params={"value": 0.0051}).json()
    assert (up["iteration"], up["reached"], up["rises"]) == (6, 0.006, True)
    down = http.get(f"{path}/crossing", params={"value": 0.0051, "start": 10}).json()
    assert (down["iteration"], down["reached"], down["rises"]) == (15, 0.005, False)
    never = http.get(f"{path}/crossing", params={"value": 1.0})
    assert never.json()["iteration"] is None
    assert never.status_code == 200
    missing = http.get(f"{path}/crossing", params={"value": 1.0, "hyperparameter": "momentum"})
    assert missing.status_code == 422
    assert "must name a column of the schedule (known: default)" in missing.json()["detail"]
    cached = http.get(f"{path}/crossing", params={"value": 1.0}, headers={"if-none-match": never.headers["etag"]})
    assert cached.status_code == 304


def test_two_schedules_are_compared(http: httpx.Client) -> None:
    """First and largest difference, table, and pictures."""
    a, b = created(http), created(http, after_scheduler={"type": "PolynomialDecayLR"})
    ids = {"a": a.rpartition("/")[2], "b": b.rpartition("/")[2]}
    answer = http.get("/v1/diff", params={**ids, "rows": 3})
    assert answer.status_code == 200
    body = answer.json()
    assert body["first"]["iteration"] == 11
    assert body["first"]["a"] == LRS[11]
    assert body["first"]["b"] == pytest.approx(0.009)
    linear = [0.01 * (1 - (n - 10) / 10) if n > 10 else LRS[n] for n in range(21)]
    assert abs(body["largest"]["difference"]) == pytest.approx(
        max(abs(x - y) for x, y in zip(LRS, linear, strict=True))
    )
    assert [row["iteration"] for row in body["table"]] == [0, 7, 14]
    assert (body["total_iterations"], body["columns"]) == (
        {"a": 20, "b": 20},
        [{"group": "default", "hyperparameter": "lr"}],
    )
    for media_type, start in (("image/png", b"\x89PNG"), ("image/svg+xml", b"<?xml")):
        picture = http.get("/v1/diff", params=ids, headers={"accept": media_type})
        assert picture.headers["content-type"].startswith(media_type)
        assert picture.content.startswith(start)
    cached = http.get("/v1/diff", params={**ids, "rows": 3}, headers={"if-none-match": answer.headers["etag"]})
    assert cached.status_code == 304


@pytest.mark.parametrize(
    ("query", "status", "kind"),
    [
        ({"b": "0" * 32}, 404, "schedule-not-found"),
        ({"start": 5, "stop": 5}, 422, "not-comparable"),
        ({"stop": 22}, 422, "iteration-out-of-range"),
        ({"rows": -1}, 422, "invalid-parameter"),
    ],
)
def test_a_comparison_that_is_none_is_a_problem(
    http: httpx.Client, query: dict[str, Any], status: int, kind: str
) -> None:
    """With its kind."""
    schedule_id = created(http).rpartition("/")[2]
    answer = http.get("/v1/diff", params={"a": schedule_id, "b": schedule_id, **query})
    assert (answer.status_code, answer.json()["type"]) == (status, f"urn:preheat:{kind}")
    assert (
        http.get("/v1/diff", params={"a": schedule_id, "b": schedule_id}, headers={"accept": "text/csv"}).status_code
        == 406
    )


def test_a_seam_is_advised_on(http: httpx.Client) -> None:
    """The jump, the rescaled spec that has none, and the refusal."""
    path, longer = created(http), {**REFERENCE_SPEC, "total_iterations": 40}
    kept = http.post(f"{path}/resume", params={"iteration": 14}, json=longer).json()
    assert kept["iteration"] == 15
    assert kept["groups"][0]["old_lr"] == LRS[15]
    assert kept["groups"][0]["new_lr"] == pytest.approx(0.00933012701892219)
    assert not kept["groups"][0]["is_continuous"]
    rescaled = http.post(f"{path}/resume", params={"iteration": 14, "policy": "rescale"}, json=longer).json()
    assert rescaled["groups"][0]["is_continuous"]
    new = http.post("/v1/schedules", json=rescaled["spec"])
    assert new.json()["groups"][0]["lr"][15] == pytest.approx(LRS[15])
    refused = http.post(f"{path}/resume", params={"iteration": 14, "policy": "refuse"}, json=longer)
    assert (refused.status_code, refused.json()["type"]) == (409, "urn:preheat:seam-refused")
    assert refused.json()["old_lr"] == LRS[15]


def test_lint_answers_what_is_wrong_with_any_spec(http: httpx.Client) -> None:
    """A valid one with remarks, one that breaks rules with an error for each, and what is no JSON."""
    valid = http.post("/v1/lint", json={**REFERENCE_SPEC, "after_scheduler": {"type": "CosineAnnealingLR", "T_max": 8}})
    assert valid.status_code == 200
    assert valid.json()["is_valid"]
    rising = next(finding for finding in valid.json()["findings"] if finding["rule"] == "rising-at-end")
    assert (rising["severity"], rising["pointer"], rising["iteration"]) == ("warning", "/after_scheduler", 20)
    broken = http.post("/v1/lint", json={"target_lr": -1, "warmup": {"iteration": 3}})
    assert broken.status_code == 200
    assert not broken.json()["is_valid"]
    assert {finding["pointer"] for finding in broken.json()["findings"]} == {
        "/target_lr",
        "/total_iterations",
        "/warmup/iteration",
    }
    nothing = http.post("/v1/lint", content=b"{", headers={"content-type": "application/json"})
    assert (nothing.status_code, nothing.json()["is_valid"]) == (200, False)
    assert http.post("/v1/lint", content=b"{}").status_code == 415


def test_every_schedules_answer_has_lint(http: httpx.Client) -> None:
    """When it is made, and when it is asked for; the same."""
    answer = http.post("/v1/schedules", json=REFERENCE_SPEC)
    again = http.get(answer.headers["location"])
    assert [finding["rule"] for finding in answer.json()["lint"]] == ["first-update-at-zero", "last-update-at-zero"]
    assert again.json()["lint"] == answer.json()["lint"]


def test_recipes_are_listed_and_drawn(http: httpx.Client) -> None:
    """Each with source, spec and picture."""
    listed = http.get("/v1/recipes")
    assert [recipe["name"] for recipe in listed.json()["recipes"]] == list(recipes())
    assert http.get("/v1/recipes", headers={"if-none-match": listed.headers["etag"]}).status_code == 304
    recipe = http.get("/v1/recipes/llama-3-405b").json()
    assert "2407.21783" in recipe["source"]
    assert recipe["recipe"]["target_lr"] == recipe["spec"]["target_lr"] == 8e-5
    assert http.get(recipe["plot_png"]).content.startswith(b"\x89PNG")
    posted = http.post("/v1/schedules", params={"stop": 0}, json={"recipe": "llama-3-405b"})
    assert posted.json()["spec"] == recipe["spec"]
    missing = http.get("/v1/recipes/llama-4")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:preheat:recipe-not-found")


def test_a_recipe_in_a_wiki_is_one_line(http: httpx.Client) -> None:
    """A plot's address with a recipe and a field of one's own."""
    spec = json.dumps({"recipe": "gpt-3-175b", "target_lr": 1e-4})
    assert http.get("/v1/plot.svg", params={"spec": spec}).status_code == 200


def test_a_schedule_is_imported_and_exported(http: httpx.Client) -> None:
    """Torch's text in, its spec out; the schedule of that as a script."""
    body = {"library": "torch", "source": "CosineAnnealingLR(o, T_max=20, last_epoch=3)", "target_lr": 0.1}
    answer = http.post("/v1/import", json=body)
    assert answer.status_code == 200
    assert answer.json()["spec"]["after_scheduler"] == {"type": "CosineAnnealingLR", "T_max": 20, "eta_min": 0.0}
    assert [left["field"] for left in answer.json()["not_carried"]] == ["CosineAnnealingLR.last_epoch"]
    path = http.post("/v1/schedules", json=answer.json()["spec"]).headers["location"]
    script = http.get(f"{path}/export", params={"to": "torch"})
    assert script.headers["content-type"].startswith("text/plain")
    assert "LambdaLR(optimizer, [lr_0])" in script.text
    cached = http.get(f"{path}/export", params={"to": "torch"}, headers={"if-none-match": script.headers["etag"]})
    assert cached.status_code == 304
    refused = http.get(f"{path}/export", params={"to": "deepspeed"})
    assert (refused.status_code, refused.json()["type"]) == (422, "urn:preheat:not-expressible")


@pytest.mark.parametrize(
    ("body", "kind", "detail"),
    [
        ({"library": "torch", "source": "x = 3", "target_lr": 0.1}, "not-importable", "makes no scheduler"),
        ({"library": "Torch", "source": "x"}, "invalid-spec", 'library ("Torch") must be one of'),
        ({"library": "torch"}, "invalid-spec", "source is required"),
        ({"library": "torch", "source": 3}, "invalid-spec", "source (3) must be"),
        ({"library": "torch", "source": "x", "sauce": 1}, "invalid-spec", "did you mean source?"),
        (
            {"library": "torch", "source": "MultiStepLR(o, [5, 3])", "target_lr": 0.1, "total_iterations": 9},
            "invalid-spec",
            "after_scheduler.milestones[1] (3) must be greater than",
        ),
    ],
)
def test_an_import_that_cannot_be_is_a_problem(http: httpx.Client, body: Any, kind: str, detail: str) -> None:
    """What is wrong with the request, the source, or the spec that it stands for."""
    answer = http.post("/v1/import", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:preheat:{kind}")
    assert detail in answer.json()["detail"]
