"""What the OpenAPI document says of live runs is what is answered."""

import copy
from typing import Any

import httpx
from openapi_schema_validator import OAS31Validator

from live_runs.rest_job import RestJob
from rest import problem

SPEC = {
    "target_lr": 0.1,
    "total_iterations": 300,
    "param_groups": [{"name": "body"}, {"name": "head", "factor": 0.5}],
    "hyperparameters": {"momentum": {"value": 0.9, "warmup": {"iterations": 5}}},
}


def busy_job(http: httpx.Client) -> RestJob:
    """A run to which everything has happened once."""
    job = RestJob(http, SPEC)
    job.attach(world_size=8, lineage={"job": "slurm-1"})
    job.ask(1, iteration_s=0.5)
    job.change(factor=0.5, until=200)
    controller = {"metric": "loss", "parameters": {"patience": 0, "param_groups": ["head"]}}
    job.http.post(f"{job.path}/controllers", json=controller).raise_for_status()
    job.ask(9, overrun={"start": 11, "end": 30, "revision": 1}, acknowledged=11)
    for iteration, loss in ((31, 1.0), (32, "NaN")):
        job.report(iteration, loss)
    job.send("rollback", {"after": 4, "changes": "drop", "why": "diverged"}).raise_for_status()
    return job


def test_every_answer_about_a_run_has_the_fields_of_its_model(live: httpx.Client) -> None:
    """Each is valid by the document's schema, and has no field that it has not."""
    document: dict[str, Any] = live.get("/openapi.json").json()
    components = copy.deepcopy(document["components"])
    for schema in components["schemas"].values():
        if "properties" in schema:
            schema.setdefault("additionalProperties", False)

    def check(method: str, template: str, answer: httpx.Response) -> None:
        assert answer.is_success, answer.text
        responses = document["paths"][template][method]["responses"]
        schema = responses[str(answer.status_code)]["content"]["application/json"]["schema"]
        OAS31Validator({**schema, "components": components}).validate(answer.json())
        assert answer.headers["cache-control"] == "no-store"

    job, run = busy_job(live), "/v1/runs/{run_id}"
    check("get", "/v1/runs", live.get("/v1/runs"))
    check("get", run, live.get(job.path))
    change = live.get(f"{job.path}/changes").json()["changes"][0]["id"]
    for path, template in (
        ("attempts", "attempts"),
        ("changes", "changes"),
        ("changes?attempt=1", "changes"),
        (f"changes/{change}", "changes/{change_id}"),
        ("controllers", "controllers"),
        ("lr?stop=60", "lr"),
        ("lr/12", "lr/{iteration}"),
        ("events?after=0", "events"),
        ("reports?name=loss", "reports"),
    ):
        check("get", f"{run}/{template}", live.get(f"{job.path}/{path}"))
    check("post", f"{run}/windows", job.try_ask(9, 30))
    check("delete", f"{run}/rollback", job.send("rollback", method="DELETE"))
    asked = {"after": 4, "changes": "from-here", "why": "x"}
    check("post", f"{run}/rollback", live.post(f"{job.path}/rollback?dry_run=true", json=asked))
    check("post", f"{run}/changes", job.dry_run(factor=0.9))
    check("post", f"{run}/changes", job.try_change(factor=0.9))
    late = job.change(factor=0.9, at=250)["change"]["id"]
    check("post", f"{run}/changes/{{change_id}}/cancel", job.send(f"changes/{late}/cancel"))
    check("post", f"{run}/fork", job.send("fork", {"attempt": 1, "iteration": 8, "label": job.path}))
    check("post", f"{run}/attempts", job.try_attach(9, take_over=True))
    check("put", f"{run}/lock", live.put(f"{job.path}/lock", json={"lock": "locked"}))
    check("post", f"{run}/finish", live.post(f"{job.path}/finish"))


def test_the_columns_of_a_window_are_those_of_the_run(live: httpx.Client) -> None:
    """Each group with its LRs, and the other hyperparameters beside them."""
    job = RestJob(live, SPEC)
    job.attach()
    groups = job.ask(1)["groups"]
    assert [(each["name"], each["lr"][0]) for each in groups] == [("body", 0.1), ("head", 0.05)]
    assert groups[0]["hyperparameters"]["momentum"][:5] == [0.9 * n / 5 for n in range(1, 6)]


def test_a_run_has_a_picture(live: httpx.Client) -> None:
    """As PNG and SVG, with the metric that is asked for."""
    job = busy_job(live)
    png, svg = (live.get(f"{job.path}/plot.{kind}?start=0&stop=60") for kind in ("png", "svg"))
    assert (png.headers["content-type"], png.content[:4]) == ("image/png", b"\x89PNG")
    assert svg.headers["content-type"] == "image/svg+xml"
    assert ">loss<" in svg.text
    assert problem(live.get(f"{job.path}/plot.png?stop=9999"), 422, "iteration-out-of-range")["last"] == 301
    assert problem(live.get("/v1/runs/unknown/plot.png"), 404, "run-not-found")


def test_a_picture_shows_what_was_reported_in_its_window_up_to_the_newest(live: httpx.Client) -> None:
    """Of thousands of values on few pixels too; by the last tick of the panel, which only the newest reaches."""
    job = RestJob(live, {"target_lr": 0.1, "total_iterations": 9000})
    job.attach()
    reports = [{"iteration": n, "values": {"loss": 7e6 if n == 8000 else 1.5}} for n in range(1, 8001)]
    position = 1
    while position < 8001:
        position = job.ask(position, iteration_s=0.001)["stop"]
    job.report_all(reports)
    query = "width_px=320&height_px=400"
    assert ">1e6<" in live.get(f"{job.path}/plot.svg?{query}").text
    assert ">1e6<" in live.get(f"{job.path}/plot.svg?{query}&start=7990&stop=8001").text
    assert ">1e6<" not in live.get(f"{job.path}/plot.svg?{query}&stop=8000").text


def test_a_metric_that_was_not_reported_is_said(live: httpx.Client) -> None:
    """An error with the names that there are; without any, and where the window has none, a note in the picture."""
    job = RestJob(live, {"target_lr": 0.1, "total_iterations": 300})
    svg = f"{job.path}/plot.svg"
    assert "nothing has been reported yet" in live.get(f"{svg}?metric=acc").text
    assert "reported" not in live.get(svg).text
    job.attach()
    job.ask(1, reports=[{"iteration": 9, "values": {"acc": 0.5, "grad_norm": 2}}])
    refused = problem(live.get(f"{svg}?metric=accuracy"), 422, "invalid-spec")
    assert refused["detail"] == 'metric ("accuracy") must be one of those that were reported: acc, grad_norm'
    assert "no loss was reported; metric= names one of acc, grad_norm" in live.get(svg).text
    assert "no value of acc in iterations 10 … 19" in live.get(f"{svg}?metric=acc&start=10&stop=20").text
    assert ">acc<" in live.get(f"{svg}?metric=acc").text


def test_a_fork_shows_nothing_that_the_other_run_reported_later(live: httpx.Client) -> None:
    """Of what both share until the last shared iteration; then its own, wherever its job goes on."""
    spec = {"target_lr": 0.1, "total_iterations": 300}
    job = RestJob(live, spec)
    job.attach()
    job.ask(1, reports=[{"iteration": n, "values": {"loss": 7e6 if n > 8 else 1.5}} for n in range(1, 13)])
    job.ask(13)
    asked = {"attempt": 1, "iteration": 8, "label": "a-fork-with-a-picture"}
    forked = job.send("fork", asked).raise_for_status().json()["id"]
    twin = RestJob(live, spec, label="a-fork-with-a-picture")
    assert twin.run()["id"] == forked

    def loss(run: RestJob, first: int) -> str:
        return live.get(f"{run.path}/plot.svg?start={first}&stop=60").text

    for position in (9, 11):
        assert ">1e6<" not in loss(twin, 0)
        assert ">loss<" not in loss(twin, 9)
        twin.attach(position)
    twin.ask(11, reports=[{"iteration": 11, "values": {"loss": 1.25}}])
    assert "earlier attempts" not in loss(twin, 0)
    assert ">loss<" in loss(twin, 9)
    assert ">1e6<" not in loss(twin, 0)
    assert ">1e6<" in loss(job, 0)


def test_a_picture_has_what_an_earlier_attempt_reported(live: httpx.Client) -> None:
    """In its own line, from where it was left; what is no number has bands, and is said where there is nothing else."""
    job = RestJob(live, {"target_lr": 0.1, "total_iterations": 300})
    job.attach()
    job.ask(1, reports=[{"iteration": n, "values": {"loss": 2, "acc": "NaN"}} for n in range(1, 13)])
    job.attach(7, checkpoint=job.checkpoint(7))
    shown = live.get(f"{job.path}/plot.svg").text
    assert ("reported_1" in shown, "reported-earlier-1_1" in shown) == (True, True)
    assert "reported-earlier-1_1" not in live.get(f"{job.path}/plot.svg?stop=7").text
    only = live.get(f"{job.path}/plot.svg?start=7").text
    assert ("reported_1" in only, "reported-earlier-1_1" in only) == (False, True)
    acc = live.get(f"{job.path}/plot.svg?metric=acc").text
    assert "· bands: NaN or infinite 6 times from 1 on · grey bands (earlier attempts)" in acc
    assert ": NaN or infinite 6 times from 7 on<" in acc
    assert ("gap_1" in acc, "gap-earlier-1_1" in acc) == (True, True)
    only = live.get(f"{job.path}/plot.svg?metric=acc&start=7").text
    assert ("gap_1" in only, "gap-earlier-1_1" in only) == (False, True)
    assert "no value of acc" not in only
