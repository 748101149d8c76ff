"""Masking: what hides the secrets of keys in texts that are shown, in log lines and problem documents.

A client may put a key into the wrong place, and the service tells what was wrong there. Whoever cuts a text masks it
first (`messages` does): of a token that was cut, nobody could tell any more that it is one.
"""

import re
from urllib.parse import quote

BEGINNING = "preheat_"
"""What every token that we make begins with, so that people and scanners of secrets recognise one."""

PUBLIC_CHARACTERS, SECRET_CHARACTERS = 8, 40  # 62^40 is 2^238

_HIDDEN = "[hidden]"
# A part is enough, since a client may have cut it. A short word in lower case is none: preheat_database_connections.
_MADE = re.compile(
    rf"({BEGINNING}[A-Za-z0-9]{{{PUBLIC_CHARACTERS}}}_)(?![a-z]{{1,11}}(?![A-Za-z0-9]))[A-Za-z0-9]{{1,{SECRET_CHARACTERS}}}"
)
_own: dict[str, None] = {}


def hide(token: str) -> None:
    """Has this process mask a token that somebody chose, which cannot be recognised by its form."""
    # As it is, as an address has it, and what a query makes of a +.
    _own.update(dict.fromkeys((token, quote(token, safe=""), token.replace("+", " "))))


def masked(text: str) -> str:
    """The text in which every token that we made has its beginning alone, and one that was chosen nothing."""
    for token in _own:
        text = text.replace(token, _HIDDEN)
    return _MADE.sub(rf"\1{_HIDDEN}", text)


def has_token(text: str) -> bool:
    """Whether there is a token in the text, or what might be the beginning of one."""
    return BEGINNING in text or any(token in text for token in _own)
