"""Scopes: what a key with them may do."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preheat.keys import SCOPES, parse_scopes
from preheat.keys.scopes import granted

GRANTED = {
    "read": {"read"},
    "write": {"read", "write"},
    "run": {"read", "run"},
    "steer": {"read", "steer"},
    "admin": {"read", "write", "run", "steer", "admin"},
}
"""What the documentation says of each scope alone."""


@given(st.sets(st.sampled_from(sorted(GRANTED))), st.sets(st.text()))
def test_a_key_may_what_its_scopes_may(scopes: set[str], unknown: set[str]) -> None:
    """The union of each of them alone, and nothing for a name that is no scope."""
    expected = set().union(*(GRANTED[scope] for scope in scopes))
    assert granted(scopes | (unknown - set(GRANTED))) == expected


def test_scopes_are_read_from_text() -> None:
    """Separated by commas, in any order; every name must be known."""
    assert set(SCOPES) == set(GRANTED)
    assert parse_scopes("run, write") == {"run", "write"}
    for text in ("", "wrote", "read,", "read write", "READ"):
        with pytest.raises(ValueError, match="must be names separated by commas, of read, write, run, steer, admin"):
            parse_scopes(text)
