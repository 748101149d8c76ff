"""Keys in the database: the same on a file of SQLite and on a real PostgreSQL."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from pathlib import Path

import pytest
from sqlalchemy import text

from preheat.errors import StoreUnavailable
from preheat.keys import Rejected, Ring
from preheat.store import Changes, Database, KeyStore

START = 1_700_000_000
DAY = 86_400


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = float(START)

    def __call__(self) -> float:
        """Seconds since 1970."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The store's clock."""
    return Clock()


@pytest.fixture
def store(database: Database, clock: Clock) -> KeyStore:
    """Its keys."""
    return KeyStore(database, clock)


def reason(ring: Ring, token: str, now: float) -> str:
    """Why a token is refused."""
    outcome = ring.judge(token.encode(), now)
    assert isinstance(outcome, Rejected)
    return outcome.refusal.reason


def test_what_was_made_is_found(store: KeyStore) -> None:
    """With everything but the token, which is nowhere in the database."""
    made = store.make("Müller, GPU 7", {"write", "run"}, 90 * DAY)
    assert (store.all(), store.count()) == ([made.key], 1)
    key = made.key
    assert (key.created_at, key.expires_at, set(key.scopes)) == (START, START + 90 * DAY, {"write", "run"})
    assert made.token.startswith(key.prefix)
    assert Ring(store.all()).judge(made.token.encode(), START) == key
    assert made.token not in repr(made)


def test_a_token_is_in_no_file(tmp_path: Path) -> None:
    """Neither in the database nor in what SQLite writes beside it."""
    with closing(Database(f"sqlite:///{tmp_path}/keys.db", 30)) as database:
        token = KeyStore(database).make("a", {"read"}).token
        content = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    assert token[:16].encode() in content  # the prefix is: the search itself works
    assert token[-40:].encode() not in content
    assert token.encode() not in content


def test_a_name_is_that_of_one_active_key(store: KeyStore, clock: Clock) -> None:
    """It may be given again when that one is revoked or has expired."""
    store.make("a", {"read"}, DAY)
    with pytest.raises(ValueError, match=r"name \(a\) is that of an active key"):
        store.make("a", {"read"})
    clock.now += DAY
    store.make("a", {"read"})
    store.revoke("a")
    store.make("a", {"read"})
    assert [key.state(clock.now) for key in store.all()] == ["expired", "revoked", "active"]


def test_rotation_overlaps(store: KeyStore, clock: Clock) -> None:
    """Both keys work for a while; the new one has the old one's scopes and its lifetime."""
    old = store.make("a", {"write"}, 30 * DAY)
    clock.now += DAY
    new = store.rotate("a", 2 * DAY)
    ring, later = Ring(store.all()), START + DAY
    for token in (old.token, new.token):
        assert ring.judge(token.encode(), later + 2 * DAY - 1) in store.all()
    assert reason(ring, old.token, later + 2 * DAY) == "expired"
    assert (set(new.key.scopes), new.key.expires_at) == ({"write"}, later + 30 * DAY)
    assert store.rotate("a", 1, DAY).key.expires_at == later + DAY


def test_an_overlap_lengthens_no_life(store: KeyStore) -> None:
    """A key that ends sooner ends sooner; one without an end gets one, and its successor has none."""
    store.make("a", {"read"}, 60)
    store.make("b", {"read"})
    for name in "ab":
        store.rotate(name, DAY)
    assert [key.expires_at for key in store.all()] == [START + 60, START + DAY, START + 60, None]


@pytest.mark.parametrize("lifetime_s", [None, 30 * DAY])
def test_a_life_that_an_overlap_cut_is_not_passed_on(store: KeyStore, lifetime_s: int | None) -> None:
    """The new key is revoked and the old one, soon over, rotated again: the next lives as long as it was to live."""
    store.make("a", {"read"}, lifetime_s)
    for _ in range(3):
        new = store.rotate("a", 300)
        assert new.key.expires_at == (None if lifetime_s is None else START + lifetime_s)
        store.revoke(new.key.prefix)
    assert store.all()[0].expires_at == START + 300
    assert store.rotate("a", 300, DAY).key.expires_at == START + DAY


def test_a_key_is_revoked_by_its_name_or_its_prefix(store: KeyStore) -> None:
    """A name means all of its keys, a prefix one; neither is found a second time."""
    first = store.make("a", {"read"})
    second = store.rotate("a", DAY)
    assert [key.prefix for key in store.revoke(first.key.prefix)] == [first.key.prefix]
    assert [key.prefix for key in store.revoke("a")] == [second.key.prefix]
    assert all(key.revoked_at == START for key in store.all())
    for name in ("a", first.key.prefix, "nobody"):
        with pytest.raises(ValueError, match="must be the name or the prefix of an active key"):
            store.revoke(name)
    with pytest.raises(ValueError, match=r"name \(a\) must be that of an active key"):
        store.rotate("a", DAY)


def test_every_change_is_announced_and_nothing_else(database: Database, store: KeyStore) -> None:
    """Under the key's name; a change that fails is none, and that a key was used is nothing to anybody."""
    told: list[str | None] = []
    changes = Changes(database)
    changes.subscribe("keys", told.append)
    changes.read()
    store.make("a", {"read"})
    store.rotate("a", DAY)
    store.revoke("a")
    store.note_used({store.all()[0].prefix: START})
    with pytest.raises(ValueError, match="active key"):
        store.revoke("a")
    changes.read()
    assert told == [None, "a", "a", "a"]


def test_last_use_is_noted_once_a_minute(store: KeyStore) -> None:
    """Whoever notes it: several services may have seen the same key."""
    prefix = store.make("a", {"read"}).key.prefix
    for when, noted in ((100.9, 100), (159.0, 100), (160.0, 160), (30.0, 160)):
        store.note_used({prefix: when, "preheat_nobody12": when})
        assert store.all()[0].last_used_at == noted


def test_changes_at_once_happen_one_after_the_other(database_url: str) -> None:
    """Of eight that make a name one does; of eight rotations each makes a key, and the last one's alone has no end."""
    with ExitStack() as stack, ThreadPoolExecutor(8) as pool:
        stores = [KeyStore(stack.enter_context(closing(Database(database_url, 60)))) for _ in range(8)]

        def make(store: KeyStore) -> bool:
            try:
                return bool(store.make("a", {"read"}))
            except ValueError:
                return False

        assert list(pool.map(make, stores)).count(True) == 1
        tokens = {new.token for new in pool.map(lambda store: store.rotate("a", DAY), stores)}
        kept = stores[0].all()
        assert len(tokens) == 8
        assert len(kept) == 9
        assert [key.expires_at is None for key in kept] == [False] * 8 + [True]
        ended = list(pool.map(_revoked, stores))
        assert sorted(ended) == [0] * 7 + [9]


def _revoked(store: KeyStore) -> int:
    try:
        return len(store.revoke("a"))
    except ValueError:
        return 0


def test_a_damaged_row_works_no_longer(tmp_path: Path) -> None:
    """A time that is none is one long ago, a scope that is none grants nothing; other keys go on."""
    with closing(Database(f"sqlite:///{tmp_path}/keys.db", 30)) as database:
        store = KeyStore(database)
        damaged, sound = store.make("a", {"read"}), store.make("b", {"read"})
        with database.transaction("write") as connection:
            connection.execute(text("UPDATE keys SET expires_at = 'x', scopes = 'root' WHERE name = 'a'"))
        ring = Ring(store.all())
        assert reason(ring, damaged.token, START) == "expired"
        assert store.all()[0].granted == frozenset()
        assert ring.judge(sound.token.encode(), START) == sound.key


def test_a_database_that_is_away_is_told(tmp_path: Path) -> None:
    """As for schedules."""
    with closing(Database(f"sqlite:///{tmp_path}", 1)) as database, pytest.raises(StoreUnavailable):
        KeyStore(database).all()
