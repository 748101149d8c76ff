import httpx

from preheat.specs.recipes import recipes
from reference import REFERENCE_SPEC


def test_lint_answers_what_is_wrong_with_any_spec(http: httpx.Client) -> None:
    """A valid spec has its findings, one that breaks rules has an error for each, and so has what is not JSON."""
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


def test_recipes_are_listed_and_drawn(http: httpx.Client) -> None:
    """A recipe has its source, its spec as written and as normalised, and a picture."""
    listed = http.get("/v1/recipes")
    assert [recipe["name"] for recipe in listed.json()["recipes"]] == list(recipes())
    recipe = http.get("/v1/recipes/llama-3-405b").json()
    assert "2407.21783" in recipe["source"]
    assert recipe["recipe"]["target_lr"] == recipe["spec"]["target_lr"] == 8e-5
    assert http.get(recipe["plot_png"]).content.startswith(b"\x89PNG")
    posted = http.post("/v1/schedules", params={"stop": 0}, json={"recipe": "llama-3-405b"})
    assert posted.json()["spec"] == recipe["spec"]
    missing = http.get("/v1/recipes/llama-4")
    assert (missing.status_code, missing.json()["type"]) == (404, "urn:preheat:recipe-not-found")
