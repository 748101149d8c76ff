"""What browsers are told: security headers of every answer, the page at /docs, and CORS."""

import base64
import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest
from pydantic import ValidationError

from preheat.settings import Settings
from reference import REFERENCE_SPEC
from rest import UNKNOWN, posted_id, problem
from support.keys import bearer, keyed_service

WIKI = "https://wiki.example.org"
EXPOSED = {"ETag", "Location", "Link", "X-Request-ID", "RateLimit", "RateLimit-Policy", "Retry-After"}


def directives(answer: httpx.Response) -> dict[str, list[str]]:
    """The content security policy of an answer."""
    policy = answer.headers["content-security-policy"].split(";")
    return {name: sources for name, *sources in (directive.split() for directive in policy)}


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/schedules/{id}/lr/7", 200),
        ("/v1/schedules/{id}/plot.svg", 200),
        ("/v1/schedules/{id}/plot.png", 200),
        ("/v1/recipes", 200),
        ("/docs", 200),
        ("/docs/swagger-ui-bundle.js", 200),
        ("/openapi.json", 200),
        ("/", 307),
        (f"/v1/schedules/{UNKNOWN}", 404),
        ("/nothing", 404),
    ],
)
def test_every_answer_is_safe_to_open(http: httpx.Client, path: str, status: int) -> None:
    """No sniffing of types, no referrer, nothing from other hosts, in nobody's frame; once each."""
    answer = http.get(path.replace("{id}", posted_id(http, REFERENCE_SPEC)))
    assert answer.status_code == status
    for name, value in (("x-content-type-options", "nosniff"), ("referrer-policy", "no-referrer")):
        assert answer.headers.get_list(name) == [value]
    assert "camera=()" in answer.headers["permissions-policy"]
    assert len(answer.headers.get_list("content-security-policy")) == 1
    policy = directives(answer)
    for name in ("default-src", "base-uri", "form-action", "frame-ancestors"):
        assert policy[name] == ["'none'"]
    assert not [source for sources in policy.values() for source in sources if "http" in source or "*" in source]
    assert "'unsafe-inline'" not in policy.get("script-src", [])
    assert ("script-src" in policy) == (path == "/docs")


def test_the_page_may_run_its_own_script_alone(http: httpx.Client) -> None:
    """By its hash, which is of the text between the tags."""
    page = http.get("/docs")
    (script,) = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert directives(page)["script-src"] == ["'self'", f"'sha256-{digest}'"]
    again = http.get("/docs", headers={"if-none-match": page.headers["etag"]})
    assert again.status_code == 304
    assert directives(again) == directives(page)


def test_a_browser_shows_the_page(url: str, tmp_path: Path) -> None:
    """Chromium, where it is installed, runs Swagger UI under this policy, and it finds the routes."""
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", f"--user-data-dir={tmp_path}"]
    command = [chromium, *options, "--virtual-time-budget=10000", "--dump-dom", f"{url}/docs"]
    run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert "Make a schedule and list its learning rates" in run.stdout
    assert "Content Security Policy" not in run.stderr


def test_other_origins_are_told_nothing(http: httpx.Client) -> None:
    """CORS is off unless a setting names origins."""
    answer = http.get("/v1/recipes", headers={"origin": WIKI})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = http.options("/v1/recipes", headers={"origin": WIKI, "access-control-request-method": "GET"})
    assert not [name for name in preflight.headers if name.startswith("access-control")]


def test_a_named_origin_may_ask_with_a_key() -> None:
    """Its browser asks first, without a key; answers and refusals may be read, with the headers that matter."""
    with keyed_service(cors_origins=f"{WIKI}, http://localhost:3000") as running:
        ask = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
        preflight = running.http.options("/v1/schedules", headers={"origin": WIKI, **ask})
        assert preflight.status_code == 200
        assert preflight.headers["access-control-allow-origin"] == WIKI
        assert "POST" in preflight.headers["access-control-allow-methods"]
        assert "Origin" in preflight.headers["vary"]
        assert "access-control-allow-credentials" not in preflight.headers
        for headers, status in ((bearer(running.tokens["read"]), 200), ({}, 401)):
            answer = running.http.get("/v1/recipes", headers={"origin": WIKI, **headers})
            assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (status, WIKI)
            assert set(answer.headers["access-control-expose-headers"].split(", ")) >= EXPOSED
            assert "Origin" in answer.headers["vary"]
        for origin in ("https://evil.example.org", f"{WIKI}.evil.example", "null", "http://wiki.example.org"):
            refused = running.http.options("/v1/schedules", headers={"origin": origin, **ask})
            assert "access-control-allow-origin" not in refused.headers
            answer = running.http.get("/v1/recipes", headers={"origin": origin, **bearer(running.tokens["read"])})
            assert "access-control-allow-origin" not in answer.headers
        # Not a preflight: an origin asks for the methods, and needs a key as anybody does.
        problem(running.http.options("/v1/schedules", headers={"origin": WIKI}), 401, "key-required")


@pytest.mark.parametrize("origins", ["*", "null", WIKI + "/", f"{WIKI},*", "wiki.example.org", "https://Wiki.example"])
def test_origins_are_named_as_browsers_write_them(origins: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No star, no path, lower case: another text would never be equal to a browser's."""
    monkeypatch.setenv("PREHEAT_CORS_ORIGINS", origins)
    with pytest.raises(ValidationError, match="must be an origin such as"):
        Settings()
    monkeypatch.setenv("PREHEAT_CORS_ORIGINS", f" {WIKI} , http://[::1]:3000,")
    assert Settings().cors_origins == (WIKI, "http://[::1]:3000")
