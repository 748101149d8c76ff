"""Admission: keys on the way of every request, and what becomes of a request without one."""

import json
import logging
import socket
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import Mount

from preheat.api import create_app
from preheat.api.admission import KEY_NAME, Admission, Admitted, Refused
from preheat.api.keyring import KeyRing
from preheat.errors import KeyRefused, KeyRequired, PreheatError, ScopeMissing
from preheat.keys import SCOPES, make_token
from preheat.keys.scopes import granted
from preheat.settings import Settings
from preheat.store import Database, KeyStore
from reference import REFERENCE_SPEC
from rest import posted_id, problem
from running_service import serving, wait_until
from support.keys import Headers, Keyed, asked, bearer, keyed_service

OWN = "0123456789abcdef" * 3
REFUSED = 'Bearer realm="preheat", error="invalid_token", error_description="'


@pytest.fixture(scope="module")
def keyed() -> Iterator[Keyed]:
    """A service with a key of each scope."""
    with keyed_service() as running:
        yield running


def app_with(**settings: Any) -> Any:
    """An app whose schedules are in memory, unless told otherwise."""
    return create_app(Settings(**{"database_url": "sqlite:///:memory:", **settings}))


shared_app = cache(app_with)
"""The same for tests that change nothing in it."""


def test_no_key_is_a_challenge_without_an_error(keyed: Keyed) -> None:
    """RFC 6750 §3.1: who made no attempt is told the scheme alone."""
    for headers in ({}, {"authorization": "Basic eDp5"}, {"authorization": f"Token {keyed.tokens['read']}"}):
        answer = keyed.http.get("/v1/recipes", headers=headers)
        problem(answer, 401, "key-required")
        assert answer.headers["www-authenticate"] == 'Bearer realm="preheat"'


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_scheme_is_read_in_any_case(keyed: Keyed, scheme: str) -> None:
    """As HTTP has it, with spaces after it too."""
    assert keyed.http.get("/v1/recipes", headers={"authorization": f"{scheme} {keyed.tokens['read']}"}).is_success


def test_unknown_and_revoked_keys_have_the_same_answer(keyed: Keyed) -> None:
    """But for the request's id; an expired one is told that it is, since its holder has to ask for another."""
    revoked, expired = keyed.make("gone", "read"), keyed.make("old", "read", lifetime_s=0)
    keyed.store.revoke("gone")
    keyed.app.state.keyring.read()
    answers = [keyed.http.get("/v1/recipes", headers=bearer(token)) for token in (revoked, make_token(), "x", expired)]
    assert [problem(answer, 401, "key-refused")["reason"] for answer in answers] == ["unknown"] * 3 + ["expired"]
    unknown = [{**answer.json(), "request_id": None} for answer in answers[:3]]
    assert unknown[0] == unknown[1] == unknown[2]
    assert {answer.headers["www-authenticate"] for answer in answers} == {
        f'{REFUSED}the key is not known here, or was revoked"',
        f'{REFUSED}the key has expired"',
    }


HOSTILE = {
    "two lines": b"Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n",
    "two schemes": b"Authorization: Basic eDp5\r\nAuthorization: Bearer {token}\r\n",
    "a list": b"Authorization: Bearer {token}, Bearer {token}\r\n",
    "more after it": b"Authorization: Bearer {token} x\r\n",
    "no token": b"Authorization: Bearer\r\n",
    "quotes": b'Authorization: Bearer "{token}"\r\n',
    "not ASCII": b"Authorization: Bearer {token}\xff\r\n",
    "NUL": b"Authorization: Bearer {token}\0\r\n",
    "a megabyte": b"Authorization: Bearer " + b"a" * 1_000_000 + b"\r\n",
    "in the query": b"",
    "in a cookie": b"Cookie: token={token}; authorization=Bearer {token}\r\n",
    "another name": b"X-Authorization: Bearer {token}\r\nProxy-Authorization: Bearer {token}\r\n",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_headers_let_nobody_in(keyed: Keyed, name: str) -> None:
    """401, or 400 by the server's own parser; the token is not repeated, and the service goes on."""
    token = keyed.tokens["admin"].encode()
    query = b"?token=" + token + b"&access_token=" + token if name == "in the query" else b""
    request = b"GET /v1/recipes" + query + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    request += HOSTILE[name].replace(b"{token}", token) + b"\r\n"
    with socket.create_connection((keyed.http.base_url.host, keyed.http.base_url.port or 80), timeout=60) as connection:
        answer = b""
        try:
            connection.sendall(request)
            while part := connection.recv(65536):
                answer += part
        except ConnectionError:  # the server had read enough
            pass
    assert answer == b"" or answer.split(b" ", 2)[1] in {b"400", b"401", b"431"}
    assert token[-40:] not in answer
    assert keyed.http.get("/v1/recipes", headers=bearer(token.decode())).is_success


def test_answers_are_for_the_holder_of_the_key_alone(keyed: Keyed) -> None:
    """No shared cache keeps them; the browser's does, and a 304 says the same as its 200, by the short way too."""
    with httpx.Client(base_url=keyed.http.base_url, headers=bearer(keyed.tokens["write"]), timeout=60) as http:
        path = f"/v1/schedules/{posted_id(http, REFERENCE_SPEC)}"
        for suffix, policy, vary in (
            ("/lr/7", "private, max-age=31536000, immutable", "authorization"),
            ("/lr", "private, max-age=31536000, immutable", "accept, authorization"),
            ("?lint=true", "private, no-cache", "authorization"),
            ("/plot.svg", "private, no-cache", "authorization"),
        ):
            whole = http.get(path + suffix)
            again = http.get(path + suffix, headers={"if-none-match": whole.headers["etag"]})
            assert (whole.status_code, again.status_code, again.content) == (200, 304, b"")
            for answer in (whole, again):
                assert (answer.headers["cache-control"], answer.headers["vary"]) == (policy, vary), suffix
                assert answer.headers["etag"] == whole.headers["etag"]
        assert http.get("/v1/schedules/0/lr").headers["cache-control"] == "no-store"


def test_a_service_without_keys_says_public(http: httpx.Client) -> None:
    """As before: everybody may have everything."""
    path = f"/v1/schedules/{posted_id(http, REFERENCE_SPEC)}/lr/7"
    answer = http.get(path, headers=bearer("anything"))
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert "vary" not in answer.headers


@pytest.mark.parametrize(
    ("server", "status"),
    [
        (("127.0.0.1", 8000), 200),
        (("127.8.9.1", 8000), 200),
        (("::1", 8000), 200),
        (("::ffff:127.0.0.1", 8000), 200),
        (("/run/preheat.sock", None), 200),
        (("localhost", 80), 200),
        (("10.0.0.7", 8000), 403),
        (("0.0.0.0", 8000), 403),  # noqa: S104 - what a server might say that does not know
        (("::", 8000), 403),
        (("fe80::1%eth0", 8000), 403),
        (("::ffff:10.0.0.7", 8000), 403),
        (("preheat.example.org", 80), 403),
        (("", 80), 403),
        (None, 403),
    ],
)
def test_without_keys_the_loopback_address_alone_is_open(server: Any, status: int) -> None:
    """Whichever server runs the app, by the address at which a connection came in; --without-keys opens all."""
    assert asked(shared_app(), server=server)[0] == status
    assert asked(shared_app(without_keys=True), server=server)[0] == 200
    assert asked(shared_app(), "/livez", server=server)[0] == 200
    assert asked(shared_app(first_key=OWN), server=server)[0] == 401


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8000", 200),
        ("127.9.9.9", 200),
        ("[::1]:8000", 200),
        ("LocalHost:8000", 200),
        ("preheat.localhost:8000", 200),
        ("preheat.example.org", 200),
        ("preheat.example.org:8443", 200),
        ("evil.example.org", 421),
        ("evil.example.org:8000", 421),
        ("localhost.evil.example.org", 421),
        ("127.0.0.1.evil.example.org", 421),
        ("evillocalhost", 421),
        ("0.0.0.0:8000", 421),
        ("[::ffff:10.0.0.7]:8000", 421),
        ("192.168.0.7", 421),
        ("", 421),
    ],
)
def test_no_web_page_reaches_a_service_without_keys(host: str, status: int) -> None:
    """Its name may resolve to the loopback address, and is still not among those of this machine or the setting."""
    headers = [(b"host", host.encode())]
    local: dict[str, Any] = {"headers": headers, "server": ("127.0.0.1", 8000)}
    app = shared_app(allowed_hosts="preheat.example.org")
    assert asked(app, **local)[0] == status
    assert asked(app, "/livez", **local)[0] == 200
    assert asked(shared_app(without_keys=True), **local)[0] == 200
    assert asked(shared_app(first_key=OWN), **local)[0] == 401
    assert asked(shared_app(), headers=headers, server=("/run/preheat.sock", None))[0] == 200


@pytest.mark.parametrize("path", ["/livez", "/docs", "/docs/swagger-ui.css", "/openapi.json", "/metrics"])
def test_what_anybody_may_read_answers_to_every_name(path: str) -> None:
    """A scraper and a probe use the name that their network has; `metrics_need_key` keeps web pages from /metrics."""
    foreign: dict[str, Any] = {"headers": [(b"host", b"evil.example.org")], "server": ("127.0.0.1", 8000)}
    assert asked(shared_app(), path, **foreign)[0] == 200
    expected = 421 if path == "/metrics" else 200
    assert asked(shared_app(metrics_need_key=True), path, **foreign)[0] == expected


def test_a_name_that_is_not_allowed_is_told_of_the_setting(http: httpx.Client) -> None:
    """A proxy's operator knows at once what to set; points are refused as other routes are."""
    path = f"/v1/schedules/{posted_id(http, REFERENCE_SPEC)}/lr/7"
    document = problem(http.get(path, headers={"host": "lr.example.org"}), 421, "host-not-allowed")
    assert "Host (lr.example.org)" in document["detail"]
    assert "PREHEAT_ALLOWED_HOSTS" in document["detail"]
    with pytest.raises(ValueError, match="without a port"):
        Settings(allowed_hosts=("lr.example.org:80",))


def test_what_a_real_server_says_of_its_sockets_is_understood(tmp_path: Path) -> None:
    """IPv6's loopback address and a Unix socket are open without keys; others are told what to do."""
    path = str(tmp_path / "p.sock")
    unix = socket.socket(socket.AF_UNIX)
    unix.bind(path)
    with (
        serving(app_with(), listener=unix),
        httpx.Client(transport=httpx.HTTPTransport(uds=path), base_url="http://x", timeout=60) as http,
    ):
        assert http.get("/v1/recipes").status_code == 200
    ipv6 = socket.create_server(("::1", 0), family=socket.AF_INET6)
    port = ipv6.getsockname()[1]
    with serving(app_with(), listener=ipv6):
        assert httpx.get(f"http://[::1]:{port}/v1/recipes", timeout=60).status_code == 200
    _, headers = asked(app_with(), server=("10.0.0.7", 80))
    assert (b"content-type", b"application/problem+json") in headers


def test_the_operators_own_key_works_beside_others(tmp_path: Path) -> None:
    """From the environment, or from a file with a line end; the database need not have any."""
    file = tmp_path / "key"
    file.write_text(f"{OWN}\n")
    for given_key in ({"first_key": OWN}, {"first_key_file": file}):
        with keyed_service(**given_key) as running:
            for token in (OWN, running.tokens["write"]):
                answer = running.http.post("/v1/schedules", json=REFERENCE_SPEC, headers=bearer(token))
                assert answer.is_success
            assert running.http.get("/v1/schedules").status_code == 401


@pytest.mark.parametrize(
    ("wrong", "rule"),
    [
        ({"first_key": "hunter2"}, "first_key must have 32 to 256 characters, not 7"),
        ({"first_key": ""}, "first_key must have 32 to 256 characters, not 0"),
        ({"first_key": OWN, "without_keys": True}, "without_keys must not be set beside a first key"),
        ({"first_key": OWN, "first_key_file": "x"}, "must not both be set"),
        (
            {"first_key_file": "/nowhere/key"},
            r"first_key_file \(/nowhere/key\) cannot be read: No such file or directory",
        ),
        ({"first_key_file": "/"}, r"first_key_file \(/\) cannot be read: Is a directory"),
    ],
)
def test_a_first_key_that_cannot_be_one_stops_the_start(wrong: dict[str, Any], rule: str) -> None:
    """The message names setting and rule, and shows no key."""
    with pytest.raises(ValueError, match=rule) as caught:
        app_with(**wrong)
    assert "hunter2" not in str(caught.value)
    assert OWN not in str(caught.value)
    assert OWN not in repr(Settings(first_key=OWN))


def test_changes_are_seen_without_being_told(tmp_path: Path) -> None:
    """Made, rotated and revoked in the database by another process."""
    url = f"sqlite:///{tmp_path}/p.db"
    store = KeyStore(Database(url, 30))
    app = app_with(database_url=url)
    with serving(app) as address, httpx.Client(base_url=address, timeout=60) as http:
        assert http.get("/v1/recipes").status_code == 200
        token = store.make("a", {"read"}).token
        wait_until(lambda: http.get("/v1/recipes").status_code == 401, 30)
        assert http.get("/v1/recipes", headers=bearer(token)).is_success
        new = store.rotate("a", 3600).token
        wait_until(lambda: http.get("/v1/recipes", headers=bearer(new)).is_success, 30)
        assert http.get("/v1/recipes", headers=bearer(token)).is_success
        wait_until(lambda: all(key.last_used_at for key in store.all()), 30)
        store.revoke("a")
        wait_until(lambda: http.get("/v1/recipes", headers=bearer(new)).status_code == 401, 30)
        assert http.get("/v1/recipes").status_code == 401


def test_a_mounted_app_looks_for_changes_too(tmp_path: Path) -> None:
    """Where nobody runs its lifespan."""
    url = f"sqlite:///{tmp_path}/p.db"
    store = KeyStore(Database(url, 30))
    token = store.make("a", {"read"}).token
    app = app_with(database_url=url)
    with (
        serving(Starlette(routes=[Mount("/tools", app)])) as address,
        httpx.Client(base_url=address, timeout=60) as http,
    ):
        assert http.get("/tools/v1/recipes").status_code == 401
        assert http.get("/tools/v1/recipes", headers=bearer(token)).status_code == 200
        assert http.post("/tools/v1/schedules", headers=bearer(token)).status_code == 403
        store.revoke("a")
        wait_until(lambda: http.get("/tools/v1/recipes", headers=bearer(token)).status_code == 401, 30)
    app.state.keyring.close()


class Clock:
    """A clock that a test sets, for times of day and for the age of what is known."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        """Seconds."""
        return self.now


def outcome(admission: Admission, token: str | None, access: Any = "read", **scope: Any) -> Any:
    """The error's class, or the name of the key that was admitted."""
    headers: Headers = [] if token is None else [(b"authorization", f"Bearer {token}".encode())]
    result = admission.admit({"headers": headers, "server": ("10.0.0.7", 80), **scope}, access)
    if isinstance(result, Refused):
        return type(result.error).__name__
    return result.key and result.key.name


def test_while_the_database_is_away_known_keys_go_on(tmp_path: Path) -> None:
    """An unknown one is answered 503, since it may have been made; a known one still expires by the clock."""
    file = tmp_path / "p.db"
    clock = Clock()
    store = KeyStore(Database(f"sqlite:///{file}", 1), clock)
    token, short = store.make("a", {"read"}).token, store.make("b", {"read"}, 60).token
    keyring = KeyRing(store, clock=clock)
    admission = Admission(Settings(), keyring, clock)
    assert outcome(admission, token) == "StoreUnavailable"
    keyring.read()
    assert [outcome(admission, each) for each in (token, short, "x", None)] == ["a", "b", "KeyRefused", "KeyRequired"]
    clock.now += 11
    assert [outcome(admission, each) for each in (token, short, "x", None)] == [
        "a",
        "b",
        "StoreUnavailable",
        "KeyRequired",
    ]
    clock.now += 49
    assert [outcome(admission, each) for each in (token, short)] == ["a", "KeyRefused"]


def test_a_start_without_the_database_opens_nothing(tmp_path: Path) -> None:
    """503 on the loopback address too, as nobody knows whether there are keys; all is well when it is back."""
    folder = tmp_path / "p.db"
    folder.mkdir()  # where the file should be
    app = app_with(database_url=f"sqlite:///{folder}", database_timeout_s=0.2)
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        answer = http.get("/v1/recipes", headers=bearer("x"))
        assert "unable to open" in problem(answer, 503, "store-unavailable")["detail"]
        assert int(answer.headers["retry-after"]) > 0
        assert http.get("/livez").status_code == 200
        assert http.get("/docs").status_code == 200
        folder.rmdir()
        wait_until(lambda: http.get("/v1/recipes").status_code == 200, 30)


def test_the_operators_own_key_needs_no_database(tmp_path: Path) -> None:
    """What does not ask the database is answered; another key is 503."""
    app = app_with(database_url=f"sqlite:///{tmp_path}", database_timeout_s=0.2, first_key=OWN)
    with serving(app) as url, httpx.Client(base_url=url, timeout=60) as http:
        assert http.get("/v1/recipes", headers=bearer(OWN)).status_code == 200
        assert http.get("/v1/recipes", headers=bearer(make_token())).status_code == 503
        assert http.get("/v1/recipes").status_code == 401


@settings(max_examples=40)
@given(st.sets(st.sampled_from(sorted(SCOPES))), st.sampled_from([*sorted(SCOPES), "any key", "anybody"]), st.data())
def test_who_is_admitted_follows_from_scopes_and_times(scopes: set[Any], access: Any, data: st.DataObject) -> None:
    """By a model of a few lines: right token, not revoked, not expired, scope granted."""
    database = Database("sqlite:///:memory:", 1)
    clock = Clock()
    store, lifetime_s = KeyStore(database, clock), data.draw(st.none() | st.integers(1, 100))
    token = store.make("a", scopes, lifetime_s).token
    is_revoked, is_right, age = data.draw(st.booleans()), data.draw(st.booleans()), data.draw(st.integers(0, 101))
    if is_revoked:
        store.revoke("a")
    keyring = KeyRing(store)
    keyring.read()
    clock.now += age
    database.close()
    expected: str | None = "a"
    if access == "anybody":
        expected = None
    elif is_revoked or not is_right or (lifetime_s is not None and age >= lifetime_s):
        expected = KeyRefused.__name__
    elif access != "any key" and access not in granted(scopes):
        expected = ScopeMissing.__name__
    admission = Admission(Settings(), keyring, clock)
    assert outcome(admission, token if is_right else token[:-1], access) == expected
    assert outcome(admission, None, access) == (None if access == "anybody" else KeyRequired.__name__)


def test_no_token_is_in_any_log(caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    """At the lowest level, of every library, whatever becomes of the request; nor in the answer."""
    caplog.set_level(logging.DEBUG)
    url = f"sqlite:///{tmp_path}/p.db"
    with keyed_service(database_url=url, first_key=OWN) as running:
        unknown = make_token()
        tokens = [OWN, unknown, *running.tokens.values()]
        for token in tokens:
            for path in ("/v1/schedules", "/v1/schedules/x", "/v1/nothing", f"/v1/recipes?token={unknown[:20]}"):
                for method in ("GET", "POST", "DELETE"):
                    answer = running.http.request(method, path, headers=bearer(token))
                    assert token[-40:] not in answer.text + str(answer.headers)
        logged = "\n".join(record.getMessage() for record in caplog.records if not record.name.startswith("httpcore"))
    assert not [token for token in tokens if token[-40:] in logged]


def test_the_name_of_the_key_is_there_for_a_log_line() -> None:
    """In the request's scope, for a middleware around."""
    app = app_with()
    token = KeyStore(app.state.database).make("GPU 7", {"read"}).token
    seen: list[Any] = []

    async def around(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        finally:
            seen.append(scope.get(KEY_NAME))

    with serving(around) as url:
        httpx.get(f"{url}/v1/recipes", headers=bearer(token), timeout=60)
    assert "GPU 7" in seen


def test_a_limit_is_told_and_kept() -> None:
    """The burst, then 429 with the time to wait, in the headers of the IETF's draft; each key has its own."""
    with keyed_service(rate_limit_per_s=1, rate_limit_burst=3) as running:
        answers = [running.http.get("/v1/recipes", headers=bearer(running.tokens["read"])) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert [answer.headers["ratelimit"] for answer in answers[:3]] == [
            f'"requests";r={left};t=1' for left in (2, 1, 0)
        ]
        assert {answer.headers["ratelimit-policy"] for answer in answers} == {'"requests";q=3;w=3'}
        refused = problem(answers[3], 429, "rate-limited")
        assert (refused["setting"], refused["limit"]) == ("rate_limit_per_s", 1)
        assert answers[3].headers["retry-after"] == "1"
        assert running.http.get("/v1/recipes", headers=bearer(running.tokens["run"])).status_code == 200
        assert running.http.get("/v1/recipes").status_code == 401
        assert all(running.http.get("/livez").status_code == 200 for _ in range(5))
        time.sleep(1)
        assert running.http.get("/v1/recipes", headers=bearer(running.tokens["read"])).status_code == 200


def test_without_keys_each_address_has_its_limit() -> None:
    """Of IPv6 each /64, since one customer has as many addresses as there are."""
    admission = Admission(
        Settings(rate_limit_per_s=1, rate_limit_burst=1, without_keys=True),
        KeyRing(KeyStore(Database("sqlite:///:memory:", 1))),
        ticks=lambda: 0,
    )

    def is_admitted(client: Any) -> bool:
        return isinstance(admission.admit({"headers": [], "client": client}, "read"), Admitted)

    clients = [("10.0.0.1", 1), ("10.0.0.1", 2), ("10.0.0.2", 1), ("2001:db8::1", 1), ("2001:db8::2", 1), None, None]
    assert [is_admitted(client) for client in clients] == [True, False, True, True, False, True, False]


def test_problems_of_admission_are_json_without_a_body_for_head(keyed: Keyed) -> None:
    """The length is that of GET's."""
    get, head = keyed.http.get("/v1/recipes"), keyed.http.head("/v1/recipes")
    assert head.headers["content-length"] == get.headers["content-length"] == str(len(get.content))
    assert json.loads(get.content)["type"] == "urn:preheat:key-required"
    assert head.content == b""
    assert issubclass(KeyRequired, PreheatError)
