"""Services of a batch of runs: two replicas on PostgreSQL and one on SQLite, and what is done to them."""

import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import httpx

from faults.children import Child
from preheat.store import Database, KeyStore
from running_service import free_port, wait_until
from support.postgresql import PostgreSQL

AUTHORS = ("ann", "bob", "cy")
_SETTINGS = {"compute_workers": "0", "run_lease_s": "1", "run_lease_all_s": "3", "max_window_iterations": "256",
             "log_level": "warning"}  # fmt: skip


@dataclass
class Replica:
    """A service process on a port of its own, which is killed and started again."""

    database_url: str
    port: int = field(default_factory=free_port)
    process: Child | None = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, without waiting until it answers."""
        self.process = Child(_serve, self.port, self.database_url)

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal."""
        if self.process is not None:
            self.process.signal(number)

    def wait_until_ready(self) -> None:
        """Returns once it can store."""
        wait_until(self._is_ready, 120)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).is_success
        except httpx.TransportError:
            return False


@dataclass(frozen=True)
class Side:
    """A database with the services on it, and a token for each author and for jobs."""

    name: str
    replicas: tuple[Replica, ...]
    tokens: dict[str, str]
    server: PostgreSQL | None


@contextmanager
def sides(folder: Path, server: PostgreSQL) -> Iterator[tuple[Side, Side]]:
    """Both kinds of database, with their services running."""
    with ExitStack() as stack:
        made = []
        for name, url, count in (("postgresql", server.new_database(), 2), ("sqlite", f"sqlite:///{folder}/p.db", 1)):
            tokens = _tokens(url)
            replicas = tuple(Replica(url) for _ in range(count))
            for replica in replicas:
                stack.callback(replica.kill)
                replica.start()
            made.append(Side(name, replicas, tokens, server if name == "postgresql" else None))
        for side in made:
            for replica in side.replicas:
                replica.wait_until_ready()
        yield made[0], made[1]


class Trouble:
    """A thread that kills and stops services and the database, one thing after another, by chance of a seed."""

    def __init__(self, both: tuple[Side, Side], seed: int, traffic: Counter[str]) -> None:
        self._sides, self._chance, self._traffic = both, random.Random(seed), traffic
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.error: BaseException | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        self._thread.join(180)
        assert not self._thread.is_alive(), "a service or its database does not come back"

    def _run(self) -> None:
        try:
            deeds: list[Callable[[], None]] = [self._kill, self._kill, self._stop, self._stop_database,
                                               self._kill_database, self._stop]  # fmt: skip
            while not self._is_over.wait(1 + 2 * self._chance.random()):
                if not deeds[1:]:
                    deeds = [self._kill, self._stop, self._kill_database, self._stop_database]
                deeds.pop(self._chance.randrange(len(deeds)))()
        except BaseException as error:  # noqa: BLE001 - told by whoever ends it
            self.error = error

    def _replica(self) -> tuple[str, Replica]:
        side = self._chance.choice(self._sides)
        return side.name, self._chance.choice(side.replicas)

    def _kill(self) -> None:
        name, replica = self._replica()
        replica.kill()
        self._traffic[f"kill-{name}"] += 1
        time.sleep(self._chance.random() / 2)
        replica.start()
        replica.wait_until_ready()

    def _stop(self) -> None:
        name, replica = self._replica()
        replica.signal(signal.SIGSTOP)
        self._traffic[f"stop-{name}"] += 1
        time.sleep(0.2 + 1.5 * self._chance.random())
        replica.signal(signal.SIGCONT)

    def _kill_database(self) -> None:
        server = self._sides[0].server
        assert server is not None
        server.kill()
        self._traffic["kill-database"] += 1
        server.start()

    def _stop_database(self) -> None:
        server = self._sides[0].server
        assert server is not None
        with server.stopped():
            self._traffic["stop-database"] += 1
            time.sleep(0.2 + self._chance.random())


def _tokens(url: str) -> dict[str, str]:
    database = Database(url, 30)
    try:
        store = KeyStore(database)
        scopes: dict[str, Any] = {**{name: ["steer"] for name in AUTHORS}, "job": ["run"]}
        return {name: store.make(name, granted).token for name, granted in scopes.items()}
    finally:
        database.close()


def _serve(port: int, database_url: str) -> None:
    """What `preheat serve` does, in a process that has imported it."""
    os.environ |= {f"PREHEAT_{name.upper()}": value for name, value in _SETTINGS.items()}
    os.environ["PREHEAT_DATABASE_URL"] = database_url
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    from preheat.cli import main  # noqa: PLC0415 - it may read the environment

    sys.argv = ["preheat", "serve", "--port", str(port)]
    with suppress(SystemExit):
        main()
