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
