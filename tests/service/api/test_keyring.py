"""Key ring: what other processes do to keys reaches it by announcements, and by reading the keys again."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import httpx
import pytest

from preheat.api.keyring import KeyRing
from preheat.keys import Key, Ring
from preheat.store import Changes, Database, KeyStore
from preheat.store.changes import restore_backup
from preheat.store.keys import TOPIC
from rest import problem
from running_service import service, wait_until
from support.keys import bearer
from support.postgresql import PostgreSQL

HOURS = 1e5


@contextmanager
def keyring_of(url: str, poll_s: float = HOURS, *, is_told: bool = True) -> Iterator[KeyRing]:
    """The ring of another process, told of changes or not."""
    with closing(Database(url, 5)) as database:
        keyring, changes = KeyRing(KeyStore(database), poll_s=poll_s), Changes(database, 0.1)
        changes.subscribe(TOPIC, keyring.reload)
        keyring.begin()
        if is_told:
            changes.start()
        yield keyring
        changes.stop()
        keyring.close()


def knows(keyring: KeyRing, token: str) -> bool:
    """Whether a token is that of a key which is not revoked."""
    return isinstance(keyring.ring, Ring) and isinstance(keyring.ring.judge(token.encode(), time.time()), Key)


def test_a_change_is_announced(database_url: str, database: Database) -> None:
    """Made, rotated and revoked elsewhere, with hours until the keys would be read anyway."""
    store = KeyStore(database)
    with keyring_of(database_url) as keyring:
        first = store.make("a", {"read"}).token
        wait_until(lambda: knows(keyring, first), 30)
        second = store.rotate("a", 60).token
        wait_until(lambda: knows(keyring, second), 30)
        store.revoke("a")
        wait_until(lambda: not knows(keyring, first) and not knows(keyring, second), 30)


def test_a_ring_that_nobody_tells_reads_anyway(database_url: str, database: Database) -> None:
    """Of an app whose lifespan is not run, say."""
    store = KeyStore(database)
    with keyring_of(database_url, 0.1, is_told=False) as keyring:
        token = store.make("a", {"read"}).token
        wait_until(lambda: knows(keyring, token), 30)
        store.revoke("a")
        wait_until(lambda: not knows(keyring, token), 30)


def test_whoever_begins_reads_first(tmp_path: Path) -> None:
    """So a start waits once for a database that is away, and not for the thread's attempt before its own."""
    readers: list[threading.Thread] = []

    def clock() -> float:
        readers.append(threading.current_thread())
        return 0.0

    for number in range(20):
        with closing(Database(f"sqlite:///{tmp_path}/{number}.db", 5)) as database:
            readers.clear()
            keyring = KeyRing(KeyStore(database), clock=clock)
            keyring.begin()
            keyring.close()
            assert readers[0] is threading.current_thread()


def test_an_error_does_not_end_the_reading(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A clock that breaks is logged once, at the start too; keys are known again when it is mended."""
    with closing(Database(f"sqlite:///{tmp_path}/preheat.db", 5)) as database:
        store, times = KeyStore(database), [0.0]
        keyring = KeyRing(store, clock=lambda: 1 / times[0], poll_s=0.01)
        for name in ("first", "second"):
            times[0] = 0.0
            caplog.clear()
            keyring.begin()
            wait_until(lambda: "the thread keys failed" in caplog.text, 30)
            token = store.make(name, {"read"}).token
            times[0] = 1.0
            wait_until(lambda token=token: knows(keyring, token) and keyring.is_current, 30)
            keyring.close()
            assert caplog.text.count("the thread keys failed") == 1


def test_a_restored_backup_has_the_keys_of_its_day(tmp_path: Path) -> None:
    """Beside a running service: one revoked since then works again, and one made since then does no longer."""
    url, copy = f"sqlite:///{tmp_path}/preheat.db", tmp_path / "copy.db"
    with closing(Database(url, 30)) as database:
        store = KeyStore(database)
        old = store.make("old", {"read"}).token
        database.backup(copy)
        with keyring_of(url) as keyring:
            store.revoke("old")
            new = store.make("new", {"read"}).token
            wait_until(lambda: knows(keyring, new) and not knows(keyring, old), 30)
            restore_backup(database, copy)
            wait_until(lambda: knows(keyring, old) and not knows(keyring, new), 30)


def test_a_backup_without_keys_does_not_open_a_service(tmp_path: Path) -> None:
    """One that asked for a key goes on asking, and takes one that is made then; so does a process that starts then.

    One that takes the place of another knows no more than what is in the database.
    """
    url, copy = f"sqlite:///{tmp_path}/preheat.db", tmp_path / "copy.db"
    with closing(Database(url, 30)) as database:
        database.check()
        database.backup(copy)
        store = KeyStore(database)
        old = store.make("old", {"read"}).token
        with service(database_url=url) as address, httpx.Client(base_url=address, timeout=30) as http:
            answered = http.get("/v1/recipes", headers=bearer(old))
            assert answered.status_code == 200
            restore_backup(database, copy)
            wait_until(lambda: http.get("/v1/recipes", headers=bearer(old)).status_code == 401, 30)
            problem(http.get("/v1/recipes"), 401, "key-required")
            problem(http.get("/v1/recipes", headers=bearer(old)), 401, "key-refused")
            with service(database_url=url) as other:
                problem(httpx.get(f"{other}/v1/recipes", timeout=30), 401, "key-required")
            new = store.make("new", {"read"}).token
            wait_until(lambda: http.get("/v1/recipes", headers=bearer(new)).status_code == 200, 30)


def test_replicas_learn_at_once_on_postgresql(server: PostgreSQL) -> None:
    """Six rotations, each known to both services before the next: by reading every five seconds that took 25."""
    url = server.new_database()
    with closing(Database(url, 30)) as database, ExitStack() as stack:
        store = KeyStore(database)
        token = store.make("a", {"read"}).token
        https = [
            stack.enter_context(httpx.Client(base_url=stack.enter_context(service(database_url=url)), timeout=30))
            for _ in range(2)
        ]

        def is_known(token: str) -> bool:
            return all(http.get("/v1/recipes", headers=bearer(token)).is_success for http in https)

        assert is_known(token)
        begun = time.monotonic()
        for _ in range(6):
            token = store.rotate("a", 3600).token
            wait_until(lambda token=token: is_known(token), 60)
        assert time.monotonic() - begun < 20
        store.revoke("a")
        wait_until(lambda: not is_known(token), 30)
        for http in https:
            wait_until(lambda http=http: http.get("/v1/recipes", headers=bearer(token)).status_code == 401, 30)
            problem(http.get("/v1/recipes", headers=bearer(token)), 401, "key-refused")
