"""The page at /docs works where no other host can be reached, under a prefix too."""

import re
from typing import Any
from urllib.parse import urljoin

import httpx
import pytest
from starlette.applications import Starlette
from starlette.routing import Mount

from preheat.api import create_app
from preheat.settings import Settings
from rest import problem
from running_service import serving

_ADDRESSES = re.compile(r"""(?:src|href)="([^"]*)"|\burl: '([^']*)'""")
_OTHER_HOST = re.compile(r"""["'(=\s]((?:https?:)?//[^/\s"')][^"')\s]*)""")


def addresses(page: str) -> list[str]:
    """What a browser asks for when it shows the page."""
    return [first or second for first, second in _ADDRESSES.findall(page) if first != "data:,"]


@pytest.mark.parametrize(
    ("root", "is_mounted"),
    [("", False), ("/tools/preheat", False), ("/tools/preheat", True)],
    ids=["alone", "behind a proxy that takes the prefix off", "mounted"],
)
def test_the_page_asks_this_service_alone(root: str, is_mounted: bool) -> None:
    """Its HTML and CSS name no other host, and what they name is there, below the prefix if there is one."""
    app = create_app(Settings(database_url="sqlite:///:memory:"))
    outer = Starlette(routes=[Mount(root, app)]) if is_mounted else app
    options: dict[str, Any] = {} if is_mounted else {"root_path": root}
    with serving(outer, **options) as url, httpx.Client(base_url=url, timeout=30) as http:
        taken_off = "" if is_mounted else root
        page = http.get(f"{root}/docs".removeprefix(taken_off))
        assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
        assert _OTHER_HOST.findall(page.text) == []
        named = addresses(page.text)
        assert sorted(named) == [
            f"{root}{path}" for path in ("/docs/swagger-ui-bundle.js", "/docs/swagger-ui.css", "/openapi.json")
        ]
        for address in named:
            answer = http.get(urljoin(str(page.url), address).removeprefix(url).removeprefix(taken_off))
            assert answer.status_code == 200
            if address.endswith(".css"):
                assert re.findall(r"@import|url\((?!\s*[\"']?data:)", answer.text) == []
            if address.endswith(".json"):  # what "Try it out" puts before the paths
                assert answer.json().get("servers", [{"url": ""}])[0]["url"] == root
        start = http.get(f"{root}/".removeprefix(taken_off))
        assert (start.status_code, start.headers["location"]) == (307, f"{root}/docs")


def test_swagger_ui_shows_this_document(http: httpx.Client) -> None:
    """It is of a version that knows OpenAPI 3.1 (5 or newer), and does not show the document to its authors' host."""
    script = http.get("/docs/swagger-ui-bundle.js")
    assert script.headers["content-type"] == "text/javascript; charset=utf-8"
    version = re.search(r'PACKAGE_VERSION:"(\d+)\.', script.text)
    assert version is not None
    assert int(version[1]) >= 5
    assert http.get("/openapi.json").json()["openapi"].startswith("3.1")
    assert '"validatorUrl": null' in http.get("/docs").text


@pytest.mark.parametrize("name", ["favicon.png", "..%2fcore.py", "redoc.standalone.js"])
def test_nothing_else_of_the_package_is_served(http: httpx.Client, name: str) -> None:
    """Two files by their names, and no folder."""
    problem(http.get(f"/docs/{name}"), 404, "not-found")
