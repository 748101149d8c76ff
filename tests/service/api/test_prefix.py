"""A path prefix: a proxy shows the service under one, and strips it from what it passes on, or does not."""

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest

from preheat_client import Preheat
from reference import REFERENCE_SPEC
from running_service import service
from support.raw_client import Application, limited

ROOT = "/tools/preheat"


@contextmanager
def proxy(url: str, *, strips: bool) -> Iterator[str]:
    """The address, prefix included, of a reverse proxy before a service; it says whom it speaks for."""
    address = httpx.URL(url)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            assert self.path.startswith(ROOT), self.path
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "connection"}
            headers |= {"X-Forwarded-For": "203.0.113.9", "X-Forwarded-Proto": "https"}
            with closing(http.client.HTTPConnection(address.host, address.port or 80, timeout=30)) as upstream:
                upstream.request(self.command, self.path.removeprefix(ROOT) if strips else self.path, body, headers)
                answer = upstream.getresponse()
                content = answer.read()
            self.send_response_only(answer.status)
            for name, value in answer.getheaders():
                if name.lower() not in {"transfer-encoding", "connection", "content-length"}:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = _pass_on  # noqa: N815 - http.server's names

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}{ROOT}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module", params=[True, False], ids=["stripped", "passed on"])
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """The service's address behind a proxy of each kind."""
    with service(root_path=ROOT, trusted_proxies="127.0.0.1") as inner, proxy(inner, strips=request.param) as url:
        yield url


def addresses(content: Any) -> Iterator[str]:
    """Every path of the service in an answer."""
    yield from re.findall(r'"([^"]*/v1/[^"]*)"', json.dumps(content))


def test_links_carry_the_prefix_and_lead_somewhere(url: str) -> None:
    """In answers, in Location and Content-Location, in lists and recipes: what is asked for is there."""
    host = url.removesuffix(ROOT)
    with httpx.Client(base_url=host, timeout=30) as client:
        posted = client.post(f"{ROOT}/v1/schedules?stop=5", json=REFERENCE_SPEC)
        assert posted.headers["location"] == f"{ROOT}/v1/schedules/{posted.json()['id']}"
        described = client.get(posted.headers["location"])
        window = client.get(f"{posted.headers['location']}/lr?stop=5")
        assert client.get(window.headers["content-location"]).json() == window.json()
        listed, recipes = client.get(f"{ROOT}/v1/schedules"), client.get(f"{ROOT}/v1/recipes")
        found = [
            address
            for answer in (posted, described, window, listed, recipes)
            for address in addresses(answer.json())
            if "{" not in address
        ]
        assert len(found) > 30
        assert [address for address in found if not address.startswith(f"{ROOT}/v1/")] == []
        for address in {re.sub(r"[0-9a-f]{32}|spec=.*", "", each): each for each in found}.values():
            assert client.get(address).status_code in {200, 405, 422}, (
                address
            )  # 405: DELETE and POST; 422: without a value


def test_points_take_the_short_way_under_a_prefix(url: str) -> None:
    """And the route's way has the same answer."""
    schedule_id = httpx.post(f"{url}/v1/schedules?stop=0", json=REFERENCE_SPEC, timeout=60).json()["id"]
    point = httpx.get(f"{url}/v1/schedules/{schedule_id}/lr/9", timeout=60)
    assert point.json()["groups"][0]["lr"] == 0.009
    assert (
        httpx.get(
            f"{url}/v1/schedules/{schedule_id}/lr/9", headers={"If-None-Match": point.headers["etag"]}, timeout=60
        ).status_code
        == 304
    )


def test_the_documentation_is_found_under_the_prefix(url: str) -> None:
    """The page, what it loads, and the servers of the OpenAPI document."""
    page = httpx.get(f"{url}/", follow_redirects=True, timeout=60)
    assert page.status_code == 200
    assert httpx.get(url, follow_redirects=True, timeout=60).text == page.text
    for address in re.findall(r"""(?:src|href)="(/[^"]*)"|url: '([^']*)'""", page.text):
        assert httpx.get(url.removesuffix(ROOT) + "".join(address), timeout=60).status_code == 200
    assert httpx.get(f"{url}/openapi.json", timeout=60).json()["servers"][0]["url"] == ROOT


def test_the_prefix_alone_is_the_page_and_asks_for_no_key() -> None:
    """As `/` is for everybody, where keys are asked for too; what only begins as it does is another path."""
    with service(root_path=ROOT, first_key="0123456789abcdef" * 3) as inner:
        for path in (ROOT, f"{ROOT}/", "/"):
            answer = httpx.get(f"{inner}{path}?a=1", timeout=60)
            assert (answer.status_code, answer.headers["location"]) == (307, f"{ROOT}/docs")
        assert httpx.get(f"{inner}{ROOT}x", timeout=60).status_code == 401


def test_a_redirect_leads_back_to_the_proxy(url: str) -> None:
    """With the prefix, and the scheme that the client speaks with the proxy."""
    answer = httpx.get(f"{url}/v1/recipes/", timeout=60)
    assert answer.status_code == 307
    assert answer.headers["location"] == f"{url.replace('http:', 'https:')}/v1/recipes"


def test_a_client_reads_through_the_proxy(url: str) -> None:
    """It checks which window it was given by Content-Location."""
    with Preheat(url, start_timeout_s=20) as preheat:
        schedule = preheat.create({**REFERENCE_SPEC, "label": "behind a proxy"})
        assert (schedule.lr(5), schedule.status.source) == (0.005, "service")


@pytest.mark.parametrize(
    ("trusted", "client"),
    [
        ("", "127.0.0.1"),
        ("10.0.0.0/8,192.0.2.7", "127.0.0.1"),
        ("127.0.0.0/8", "203.0.113.9"),
        ("127.0.0.1", "203.0.113.9"),
    ],
)
def test_proxy_headers_are_believed_from_named_proxies_alone(trusted: str, client: str) -> None:
    """Nobody else can say whom a request comes from, whatever FORWARDED_ALLOW_IPS says to uvicorn."""
    headers = {
        "X-Forwarded-For": "198.51.100.1, 203.0.113.9",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Prefix": "/evil",
    }
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("FORWARDED_ALLOW_IPS", "*")
        with limited(Application(), trusted_proxies=trusted) as url:
            scope = httpx.get(f"{url}/scope", headers=headers, timeout=60).json()
    assert scope["client"][0] == client
    assert (scope["scheme"], scope["root_path"]) == ("http" if client == "127.0.0.1" else "https", "")
