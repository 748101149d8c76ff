"""Keys and the ring that holds them: names, expiry, revocation, what is shown."""

from dataclasses import replace

import pytest

from preheat.keys import Key, Rejected, Ring, make_token, new_key, own_key

NOW = 1_700_000_000
TOKEN = make_token()
KEY = new_key(TOKEN, "trainer", {"write"}, NOW, 60)


def reason(ring: Ring, token: str, now: float = NOW) -> str:
    """Why a token is refused."""
    outcome = ring.judge(token.encode(), now)
    assert isinstance(outcome, Rejected)
    return outcome.refusal.reason


def test_a_key_works_until_the_second_in_which_it_expires() -> None:
    """By the clock that is passed in."""
    ring = Ring([KEY])
    assert ring.judge(TOKEN.encode(), NOW + 59.999) is KEY
    assert reason(ring, TOKEN, NOW + 60) == "expired"
    assert Ring([replace(KEY, expires_at=None)]).judge(TOKEN.encode(), 10**12) == replace(KEY, expires_at=None)
    assert [KEY.state(NOW + second) for second in (0, 59, 60)] == ["active", "active", "expired"]


def test_what_is_not_a_key_is_unknown_as_a_revoked_one_is() -> None:
    """Nobody learns from the answer that a token once was a key."""
    ring = Ring([replace(KEY, revoked_at=NOW)])
    assert reason(ring, TOKEN) == reason(ring, make_token()) == reason(ring, TOKEN[:-1]) == "unknown"
    assert reason(ring, "") == "malformed"
    assert replace(KEY, revoked_at=NOW).state(NOW + 60) == "revoked"


def test_what_is_refused_has_its_key_for_the_log() -> None:
    """Expired or revoked; there is none of a token that never was one."""
    for key, now in ((KEY, NOW + 60), (replace(KEY, revoked_at=NOW), NOW)):
        outcome = Ring([key]).judge(TOKEN.encode(), now)
        assert isinstance(outcome, Rejected)
        assert outcome.key is key
    unknown = Ring([KEY]).judge(make_token().encode(), NOW)
    assert isinstance(unknown, Rejected)
    assert unknown.key is None


def test_the_first_of_two_keys_with_one_token_counts() -> None:
    """The operator's own goes before one of the database that was revoked."""
    assert Ring([KEY, replace(KEY, revoked_at=NOW)]).judge(TOKEN.encode(), NOW) is KEY


def test_a_ring_asks_as_soon_as_there_was_a_key() -> None:
    """A service does not open itself when its last key is revoked or expires."""
    assert not Ring([]).asks
    assert Ring([replace(KEY, revoked_at=NOW)]).asks
    assert Ring([replace(KEY, expires_at=0)]).asks
    assert Ring([], asked=True).asks


def test_the_hash_is_compared_too() -> None:
    """What a lookup finds under another hash than it looked for is no key."""

    class Anything(dict[str, Key]):
        def get(self, *_: object) -> Key:
            return KEY

    ring = Ring([KEY])
    ring._keys = Anything()
    assert reason(ring, make_token()) == "unknown"
    assert ring.judge(TOKEN.encode(), NOW) is KEY


def test_nothing_shows_a_token_or_its_hash() -> None:
    """A key's text is safe in a log."""
    assert TOKEN not in repr(KEY)
    assert KEY.hash not in repr(KEY)
    assert TOKEN[-40:] not in str(vars(KEY))


@pytest.mark.parametrize("name", ["", " a", "a ", "a\nb", "a\0", "x" * 61, "preheat_abcdefgh"])
def test_a_name_can_be_read_in_a_list(name: str) -> None:
    """Short, printable, and not to be taken for a prefix."""
    with pytest.raises(ValueError, match="name"):
        new_key(TOKEN, name, {"read"}, NOW, None)
    assert new_key(TOKEN, "Müller, GPU 7 (日本)", {"read"}, NOW, None).expires_at is None


def test_an_operators_own_key_may_everything() -> None:
    """And never expires."""
    own = own_key("0123456789abcdef" * 4)
    assert own.granted == {"read", "write", "run", "steer", "admin"}
    assert not own.is_expired(10**12)
