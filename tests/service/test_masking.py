"""Masking: no text that a service shows has a piece of a key, wherever in a request it was put."""

import itertools
import json
import random
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from preheat.errors import PreheatError, RecipeNotFound, UnsupportedMediaType
from preheat.keys import make_token
from preheat.masking import hide, masked
from preheat.messages import excerpt, shortened, shown
from preheat.specs.violations import violation
from running_service import service_process, wait_until
from support.keys import bearer

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~+/"
PIECE = 12
"""Characters in a row that are no chance."""

SHOWING: list[Callable[[str], object]] = [
    shown,
    shortened,
    excerpt,
    lambda text: shortened(text, 160),
    lambda text: shortened(text, 200),
    lambda text: violation((text, 0, "x"), "is wrong", text).detail,
    lambda text: violation((text,), "is wrong").pointer,
    UnsupportedMediaType,
    lambda text: RecipeNotFound(text, []),
]


def pieces(token: str) -> set[str]:
    """Every piece of what is secret of a token."""
    secret = token[-40:] if token.startswith("preheat_") else token
    return {secret[start : start + PIECE] for start in range(len(secret) - PIECE + 1)}


@pytest.fixture(scope="module")
def own() -> str:
    """A token that an operator has chosen, with every kind of character that one may have."""
    token = "".join(secrets.choice(ALPHABET) for _ in range(60)) + "-._~+/"
    hide(token)
    return token


@given(st.text("ab -/…é", max_size=210), st.text("ab -/…é", max_size=210), st.integers(1, 3), st.data())
def test_no_piece_of_a_token_is_left_where_a_text_is_cut(
    own: str, before: str, after: str, times: int, data: st.DataObject
) -> None:
    """Wherever it stands in the text, once or several times in a row."""
    token = data.draw(st.sampled_from([make_token(), own]))
    for show in SHOWING:
        text = str(show(before + token * times + after))
        assert not [piece for piece in pieces(token) if piece in text], text


@given(st.integers(1, 40))
@example(40)
def test_a_part_of_a_token_is_masked(length: int) -> None:
    """As where a client has copied its beginning alone."""
    token = f"preheat_Abcd1234_{'Zy9' * 14}"[: 17 + length]
    assert masked(f"got {token}, {token}") == "got preheat_Abcd1234_[hidden], preheat_Abcd1234_[hidden]"


@pytest.mark.parametrize("name", ["preheat_database_connections", "preheat_database_url", "preheat_http_requests"])
def test_names_of_our_own_are_shown(name: str) -> None:
    """Though they begin as tokens do."""
    assert masked(f"{name} {name}_total") == f"{name} {name}_total"


def test_an_error_that_is_told_shows_no_token_that_was_chosen(own: str) -> None:
    """Nor what an address makes of it."""
    for text in (own, quote(own, safe=""), own.replace("+", " ")):
        error: PreheatError = RecipeNotFound(text, [])
        assert str(error).startswith("no recipe has the name [hidden] (")


def requests_with(token: str) -> Iterator[dict[str, Any]]:
    """Requests that have a token in the wrong place, behind so many characters that it is cut somewhere."""
    draw = random.Random(1)
    for length in (0, 20, 30, 100, 150, *(draw.randrange(200) for _ in range(8))):
        text = "a" * length + token
        path = quote(text, safe="")
        spec = {"target_lr": 1e-3, "total_iterations": 5}
        yield {"method": "GET", "url": f"/{path}"}
        yield {"method": "GET", "url": f"/v1/recipes/{path}"}
        yield {"method": "GET", "url": f"/v1/schedules/{path}"}
        yield {"method": "GET", "url": f"/v1/schedules/{path}/lr"}
        yield {"method": "GET", "url": "/v1/schedules", "params": {"limit": text}}
        yield {"method": "GET", "url": "/v1/schedules", "params": {f"Bearer {text}": "1"}}
        yield {"method": "GET", "url": f"/v1/schedules?Bearer%20{text}=1"}
        yield {"method": "GET", "url": "/v1/plot.png", "params": {"spec": text}}
        yield {"method": "POST", "url": "/v1/lint", "json": {**spec, "target_lr": f"Bearer {text}"}}
        yield {"method": "POST", "url": "/v1/lint", "json": {**spec, text: [text]}}
        yield {"method": "POST", "url": "/v1/lint", "json": {**spec, "after_scheduler": {"type": text}}}
        yield {"method": "POST", "url": "/v1/schedules", "json": [text]}
        yield {"method": "POST", "url": "/v1/import", "json": {"from": text, "source": text}}
        yield {"method": "POST", "url": "/v1/import", "json": {"from": "torch", "source": f"{text} = {text}(1)"}}
        yield {"method": "POST", "url": "/v1/lint", "content": b"{}", "headers": {"content-type": f"Bearer {text}"}}
        yield {"method": "GET", "url": "/v1/x", "headers": {"x-request-id": text[-128:]}}


def test_no_answer_and_no_line_has_a_piece_of_a_key(tmp_path: Path) -> None:
    """Of the operator's own, from a file, and of one that we make; by a worker process and by the service itself."""
    own, made, file, log = secrets.token_hex(32), make_token(), tmp_path / "key", tmp_path / "log"
    file.write_text(own)
    settings: dict[str, Any] = {"first_key_file": file, "compute_workers": 1, "log_format": "json", "log_level": "info"}
    with (
        log.open("wb") as stderr,
        service_process(tmp_path / "p.db", stderr=stderr, **settings) as running,
        httpx.Client(base_url=running.url, headers=bearer(own), timeout=60) as http,
    ):
        wait_until(lambda: http.get("/readyz").is_success, 60)
        file.unlink()  # a worker process that starts later must know it nevertheless
        sent = 0
        for token in (own, made):
            secret = pieces(token)
            for request in requests_with(token):
                answer = http.request(**request)
                sent += 1
                told = answer.text + json.dumps(dict(answer.headers))
                assert not [piece for piece in secret if piece in told], (request, told)
        wait_until(lambda: log.read_bytes().count(b'"preheat.request"') >= sent, 30)
        logged = log.read_text()
    assert not [piece for piece in itertools.chain(pieces(own), pieces(made)) if piece in logged]
