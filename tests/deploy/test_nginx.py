"""The nginx example: what it is asked under its prefix comes from a service behind it, by nginx itself."""

import asyncio
import getpass
import re
import shutil
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from deploy.dockerfile import ROOT
from preheat_client import Preheat
from reference import REFERENCE_SPEC
from running_service import free_port, service, wait_until
from support.raw_client import PATIENCE_S, limited

EXAMPLE = (ROOT / "deploy/nginx/preheat.conf").read_text(encoding="utf-8")
ROOT_PATH = "/tools/preheat"
HOST = "preheat.example.org"
MAIN = """
user {user};
daemon off;
pid nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    {paths}
    {example}
}}
"""
PATHS = " ".join(f"{kind}_temp_path {kind};" for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))

Proxy = Callable[[str], Any]


@pytest.fixture(scope="module")
def nginx() -> str:
    """The program."""
    command = shutil.which("nginx")
    assert command, "nginx is missing: apt-get install nginx (Debian, Ubuntu), or brew install nginx"
    return command


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate of the example's name, with its key beside it."""
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={HOST}"]
    command += ["-addext", f"subjectAltName=DNS:{HOST},IP:127.0.0.1", "-keyout", "key.pem", "-out", "certificate.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return folder / "certificate.pem"


@contextmanager
def proxy(nginx: str, certificate: Path, folder: Path, upstream: str) -> Iterator[httpx.Client]:
    """A client of nginx with the example, before a service at an address."""
    port, text = free_port(), EXAMPLE
    for old, new in (
        ("server 127.0.0.1:8000;", f"server {httpx.URL(upstream).netloc.decode()};"),
        ("listen 443 ", f"listen 127.0.0.1:{port} "),
        ("/etc/ssl/certs/preheat.pem", str(certificate)),
        ("/etc/ssl/private/preheat.key", str(certificate.with_name("key.pem"))),
    ):
        assert old in text
        text = text.replace(old, new)
    (folder / "nginx.conf").write_text(MAIN.format(user=getpass.getuser(), paths=PATHS, example=text), encoding="utf-8")
    command = [nginx, "-p", str(folder), "-e", "stderr", "-c", "nginx.conf"]
    trusting = ssl.create_default_context(cafile=certificate)
    address = f"https://127.0.0.1:{port}"
    with (
        (folder / "log").open("w") as log,
        subprocess.Popen(command, stderr=log) as process,
        httpx.Client(base_url=address, headers={"Host": HOST}, verify=trusting, timeout=PATIENCE_S) as http,
    ):
        try:
            wait_until(lambda: process.poll() is not None or _answers(http), PATIENCE_S)
            assert process.poll() is None, (folder / "log").read_text()
            yield http
        finally:
            process.terminate()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/").is_client_error
    except httpx.TransportError:
        return False


def settings_of_the_example() -> dict[str, Any]:
    """Those that the example says the service needs."""
    return {name.lower(): value for name, value in re.findall(r"PREHEAT_(\w+)=(\S+)", EXAMPLE)}


def test_a_service_is_used_through_it(nginx: str, certificate: Path, tmp_path: Path) -> None:
    """By the client and by a browser, under the prefix; probes and metrics are not for the outside."""
    with (
        service(**settings_of_the_example()) as inner,
        proxy(nginx, certificate, tmp_path, inner) as http,
    ):
        assert http.get(ROOT_PATH).headers["location"].endswith(f"{ROOT_PATH}/")
        assert http.get(f"{ROOT_PATH}/").headers["location"] == f"{ROOT_PATH}/docs"
        posted = http.post(f"{ROOT_PATH}/v1/schedules?stop=0", json=REFERENCE_SPEC)
        assert posted.headers["location"] == f"{ROOT_PATH}/v1/schedules/{posted.json()['id']}"
        assert http.get(f"{posted.headers['location']}/lr/5").json()["groups"][0]["lr"] == 0.005
        redirect = http.get(f"{ROOT_PATH}/v1/recipes/").headers["location"]
        assert redirect == f"https://{HOST}{ROOT_PATH}/v1/recipes"
        assert {http.get(f"{ROOT_PATH}/{path}").status_code for path in ("livez", "readyz", "metrics")} == {404}
        json = {"Content-Type": "application/json"}
        too_large = http.post(f"{ROOT_PATH}/v1/schedules", content=b"1" * 2_050_000, headers=json)
        assert (too_large.status_code, too_large.json()["type"]) == (413, "urn:preheat:request-entity-too-large")
        address = f"{http.base_url}".rstrip("/") + ROOT_PATH
        with Preheat(address, headers={"Host": HOST}, ca_file=str(certificate)) as preheat:
            assert preheat.create(REFERENCE_SPEC).lr(5) == 0.005


class Events:
    """An application that sends a first event, and a second one once it is asked for `/go`."""

    def __init__(self) -> None:
        self._goes_on = asyncio.Event()

    async def __call__(self, scope: Any, _receive: Any, send: Any) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        if scope["path"].endswith("/go"):
            self._goes_on.set()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
        await send({"type": "http.response.body", "body": b"data: first\n\n", "more_body": True})
        await self._goes_on.wait()
        await send({"type": "http.response.body", "body": b"data: second\n\n"})


def test_events_are_passed_on_as_they_come(nginx: str, certificate: Path, tmp_path: Path) -> None:
    """The first is there before the second is sent."""
    with (
        limited(Events()) as inner,
        proxy(nginx, certificate, tmp_path, inner) as http,
        http.stream("GET", f"{ROOT_PATH}/v1/runs/1/events") as answer,
    ):
        parts = answer.iter_bytes()
        assert next(parts) == b"data: first\n\n"
        http.get(f"{ROOT_PATH}/v1/go")
        assert next(parts) == b"data: second\n\n"
