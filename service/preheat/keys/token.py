"""Tokens: the secret text of a key, how it is made, hashed, and found in the Authorization header."""

import hashlib
import re
import secrets
import string
from collections.abc import Callable, Iterable

from preheat.masking import BEGINNING, PUBLIC_CHARACTERS, SECRET_CHARACTERS

LEAST_CHARACTERS, MOST_CHARACTERS = 32, 256
_LEAST_DIFFERENT = 10
_LETTERS_AND_DIGITS = string.ascii_letters + string.digits
_TOKEN = re.compile(rb"[A-Za-z0-9\-._~+/]+=*")  # RFC 6750 §2.1
_SCHEME = b"bearer "
_MOST_HEADER_BYTES = MOST_CHARACTERS + 32

Headers = Iterable[tuple[bytes, bytes]]
"""Headers as ASGI has them: names in lower case."""


def make_token(choose: Callable[[str], str] = secrets.choice) -> str:
    """A new token: `preheat_`, eight characters that are shown in lists, and forty that are secret."""
    public, secret = (
        "".join(choose(_LETTERS_AND_DIGITS) for _ in range(length)) for length in (PUBLIC_CHARACTERS, SECRET_CHARACTERS)
    )
    return f"{BEGINNING}{public}_{secret}"


def prefix_of(token: str) -> str:
    """The beginning of a token that we made, by which people recognise it."""
    return token[: len(BEGINNING) + PUBLIC_CHARACTERS]


def token_hash(token: bytes) -> str:
    """SHA-256 of a token, in hex: enough for a text that is random, which no list of passwords has."""
    return hashlib.sha256(token).hexdigest()


def check_token(token: str) -> None:
    """Returns if a token that somebody thought of can be a key. Raises ValueError, which does not show it."""
    if not LEAST_CHARACTERS <= len(token) <= MOST_CHARACTERS:
        raise ValueError(f"must have {LEAST_CHARACTERS} to {MOST_CHARACTERS} characters, not {len(token)}")
    if not (token.isascii() and has_form(token.encode())):
        raise ValueError("must have letters, digits and - . _ ~ + / alone, as RFC 6750 has it")
    if len(set(token)) < _LEAST_DIFFERENT:
        raise ValueError(f"must have at least {_LEAST_DIFFERENT} different characters: openssl rand -hex 32 makes one")


def bearer_token(headers: Headers) -> bytes | None:
    """What an Authorization header has for a token; empty if that cannot be one, None if there is no such header.

    Another scheme than Bearer is none (RFC 6750 §3: it is no attempt to use a key). Whether the text has a token's form
    is for `has_form` to say, once it is known to be none.
    """
    found = None
    for name, value in headers:
        if name == b"authorization":
            if found is not None:  # what stands before the service may have read the other one
                return b""
            found = value
    if found is None:
        return None
    if found[: len(_SCHEME)].lower() == _SCHEME and len(found) <= _MOST_HEADER_BYTES:
        return found[len(_SCHEME) :].strip(b" \t")
    return b"" if found[: len(_SCHEME)].strip().lower() == _SCHEME.strip() else None


def has_form(token: bytes) -> bool:
    """Whether a text has the form of a token (RFC 6750 §2.1)."""
    return _TOKEN.fullmatch(token) is not None
