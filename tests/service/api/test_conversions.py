from typing import Any

import httpx
import pytest


def test_a_schedule_is_imported_and_exported(http: httpx.Client) -> None:
    """Torch's text becomes a spec, and the schedule of that spec a script; a target that cannot say it is 422."""
    body = {"library": "torch", "source": "CosineAnnealingLR(o, T_max=20, last_epoch=3)", "target_lr": 0.1}
    answer = http.post("/v1/import", json=body)
    assert answer.status_code == 200
    assert answer.json()["spec"]["after_scheduler"] == {"type": "CosineAnnealingLR", "T_max": 20, "eta_min": 0.0}
    assert [left["field"] for left in answer.json()["not_carried"]] == ["CosineAnnealingLR.last_epoch"]
    path = http.post("/v1/schedules", json=answer.json()["spec"]).headers["location"]
    script = http.get(f"{path}/export", params={"to": "torch"})
    assert script.headers["content-type"].startswith("text/plain")
    assert "LambdaLR(optimizer, [lr_0])" in script.text
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
    """The problem says what is wrong with the request, with the source, or with the spec that it stands for."""
    answer = http.post("/v1/import", json=body)
    assert (answer.status_code, answer.json()["type"]) == (422, f"urn:preheat:{kind}")
    assert detail in answer.json()["detail"]


def test_a_library_may_be_told_by_the_source(http: httpx.Client) -> None:
    """Without a library the answer says which was read; epochs become updates by what is known of the data."""
    source = "stage: sft\nfinetuning_type: lora\ntemplate: llama3\nnum_train_epochs: 3\nlearning_rate: 1e-4\n"
    known = {"dataset_size": 1000, "batch_size": 16, "accumulation": 2, "devices": 1}
    answer = http.post("/v1/import", json={"source": source, **known})
    assert (answer.status_code, answer.json()["library"]) == (200, "llama-factory")
    assert answer.json()["spec"]["total_iterations"] == 96
    refused = http.post("/v1/import", json={"source": {"lr_scheduler": "cosine", "warmup_steps": 3}})
    assert "may be one of transformers, axolotl, kohya, diffusers" in refused.json()["detail"]


@pytest.mark.parametrize(
    "source",
    [
        "CosineAnnealingLR(o, T_max=1e308 * 10)",
        "CosineAnnealingLR(o, 1j)",
        "StepLR(o, 10 ** 400)",
        "s = [StepLR(o, 3)] * 10 ** 9",
        {"sched": ["x"]},
        {"sched": "cosine", "epochs": "inf"},
        {"lr": "auto", "epochs": 3, "warmup_lr": 0},
        {"max_steps": 9, "lr_scheduler_type": "cosine", "lr_scheduler_kwargs": "min_lr=0.00001"},
        {"total_size": 9.0, "step_ratio": 3e9, "max_lrs": [1], "mode": "triangular", "gamma": 1, "base_lrs": [0.1]},
        {"milestones": {"3": 10**9, "x": {}}, "gamma": 0.1, "base_lrs": [0.1]},
        {"scheduler": {"type": "OneCycle", "params": {"cycle_min_lr": [1], "cycle_max_lr": {}}}},
        {"SOLVER": {"STEPS": "(" * 999}},
        {"param_scheduler": [{"type": {}}]},
        {"a" * 10_000: {"lr": 10**300}},
    ],
    ids=range(14),
)
def test_no_source_is_more_than_refused(http: httpx.Client, source: Any) -> None:
    """Whatever a body has, the answer is a spec or a problem, and the next request is answered."""
    for known in ({}, {"target_lr": 0.1, "total_iterations": 100}):
        for library in (None, "torch", "timm", "transformers"):
            answer = http.post("/v1/import", json={"library": library, "source": source, **known})
            assert answer.status_code in {200, 422}
            assert answer.json()["detail" if answer.status_code == 422 else "spec"]


@pytest.mark.parametrize(("cycles", "is_told"), [(None, True), (1, True), (4, False)])
def test_an_imported_cosine_with_restarts_that_never_restarts_is_told(
    http: httpx.Client, cycles: int | None, *, is_told: bool
) -> None:
    """In transformers it has one cycle unless told otherwise, which lint says of the imported spec."""
    own = {} if cycles is None else {"lr_scheduler_kwargs": {"num_cycles": cycles}}
    source = {"max_steps": 1000, "learning_rate": 1e-4, "lr_scheduler_type": "cosine_with_restarts", **own}
    spec = http.post("/v1/import", json={"library": "transformers", "source": source}).json()["spec"]
    findings = http.post("/v1/lint", json=spec).json()["findings"]
    assert ("never-restarts" in {finding["rule"] for finding in findings}) == is_told
