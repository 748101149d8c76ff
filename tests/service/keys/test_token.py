"""Tokens: made, recognised in headers, refused where they are none."""

import hashlib
import math
import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preheat.keys import Rejected, Ring
from preheat.keys.token import bearer_token, check_token, has_form, make_token, prefix_of, token_hash

ALPHABET = string.ascii_letters + string.digits + "-._~+/"
OWN = "0123456789abcdef0123456789abcdef"


def test_a_token_has_more_than_200_bits_that_nobody_sees() -> None:
    """Those after the prefix; two tokens differ in both parts, and the prefix is the beginning."""
    first, second = make_token(), make_token()
    match = re.fullmatch(r"(preheat_[A-Za-z0-9]{8})_([A-Za-z0-9]{40})", first)
    assert match is not None
    assert 40 * math.log2(62) > 200
    assert prefix_of(first) == match[1] != prefix_of(second)
    assert first[-40:] != second[-40:]
    assert token_hash(first.encode()) == hashlib.sha256(first.encode()).hexdigest()
    check_token(first)


@given(st.text(ALPHABET, min_size=1, max_size=256), st.sampled_from(["", "=", "=="]), st.integers(1, 3))
def test_a_bearer_token_is_found_as_it_was_sent(token: str, end: str, spaces: int) -> None:
    """After the scheme in either case, with spaces around it."""
    sent = (token + end)[-256:]
    if not sent.strip("="):
        return
    for scheme in (b"Bearer", b"bearer", b"BEARER"):
        header = scheme + b" " * spaces + sent.encode() + b" " * (spaces - 1)
        assert bearer_token([(b"host", b"x"), (b"authorization", header)]) == sent.encode()


@pytest.mark.parametrize(
    "value",
    [
        b"Bearer",
        b"Bearer ",
        b"Bearer a b",
        b"Bearer a,b",
        b"Bearer a\0b",
        b"Bearer \xc3\xa9",
        b'Bearer "abc"',
        b"Bearer =",
        b"Bearer " + b"a" * 1_000_000,
        b"Bearer " + b" " * 1_000_000,
        b"bearer a=b",
    ],
)
def test_a_malformed_token_is_told_from_an_unknown_one(value: bytes) -> None:
    """By its form, or because it is too long to be looked up."""
    token = bearer_token([(b"authorization", value)])
    assert token is not None
    assert not has_form(token)
    assert len(token) < 300
    outcome = Ring([]).judge(token, 0)
    assert isinstance(outcome, Rejected)
    assert outcome.refusal.reason == "malformed"


def test_two_authorization_headers_are_malformed() -> None:
    """Even if both are the same: what is behind a proxy might read another one."""
    line = (b"authorization", b"Bearer abc")
    assert bearer_token([line, line]) == b""
    assert bearer_token([(b"authorization", b"Basic eA=="), line]) == b""


@pytest.mark.parametrize("value", [b"", b"Basic eDp5", b"Bearerabc", b"Digest x", b"Token abc", b"preheat_abc"])
def test_another_scheme_is_no_attempt(value: bytes) -> None:
    """As if there were no header."""
    assert bearer_token([(b"authorization", value)]) is None
    assert bearer_token([]) is None


@pytest.mark.parametrize(
    ("token", "rule"),
    [
        (OWN[:31], "32 to 256 characters, not 31"),
        (OWN * 9, "32 to 256 characters, not 288"),
        ("a" * 40, "10 different characters"),
        (f"{OWN} x", "letters, digits and"),
        (f"{OWN}é", "letters, digits and"),
        (f"{OWN}\0", "letters, digits and"),
        (f"{OWN}\n", "letters, digits and"),
    ],
)
def test_a_weak_token_is_refused_and_not_shown(token: str, rule: str) -> None:
    """The message says the rule alone."""
    with pytest.raises(ValueError, match=rule) as caught:
        check_token(token)
    assert token not in str(caught.value)


def test_a_token_of_32_hex_digits_is_strong_enough() -> None:
    """128 bits, if they are random."""
    check_token(OWN)
