"""Replicas and databases that are killed while clients write: `kills.py KILLS [SEED]`.

Two services share one database; clients post and delete schedules through both and note what was acknowledged (201,
200, 204). SIGKILL hits one service, both, or the database with every process of it, at random. In the end every
schedule that was acknowledged is there with its content, none that was deleted is, `preheat store check` finds nothing,
and the tables have their newest form. Of each database's kills one in ten is of services that are started as users do,
with processes that compute; the others are of services that compute in threads, of which many more can be killed.

To see it fail, let an answer leave before the commit: in `ScheduleStore.add`, run the transaction that writes on a
thread that first sleeps for 0.2 s, and return True at once. It then says what was lost, as soon as a client deletes
what it was told is there.
"""

import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal

sys.path.insert(0, str(Path(__file__).parents[1]))

import httpx

from running_service import free_port, wait_until
from support.forked import Forked, start_preheat
from support.postgresql import PostgreSQL, postgresql_server

Kind = Literal["sqlite", "postgresql"]

LEAST_WRITES_PER_KILL = 20
"""Acknowledged; with fewer a run has shown nothing and does not count."""

WITHOUT_WORKERS = {"PREHEAT_COMPUTE_WORKERS": "0"}
"""Services that compute in threads, forked from a process that has imported everything: there in half a second."""

_CLIENTS = 4


@dataclass
class Ledger:
    """What clients know: lengths of runs by the id of a schedule that was acknowledged, and ids that were deleted.

    What was under way when a service died may have happened or not, and is in neither.
    """

    kept: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    writes: int = 0

    def merge(self, other: "Ledger") -> None:
        """Takes in what another client knows; no two write the same schedules."""
        self.kept |= other.kept
        self.deleted |= other.deleted
        self.writes += other.writes


@dataclass
class Replica:
    """A service process on a port of its own, which is killed and started again."""

    port: int
    database_url: str
    settings: dict[str, str]
    process: "Forked | subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Starts it, without waiting until it answers."""
        environment = {**os.environ, **self.settings, "PREHEAT_DATABASE_URL": self.database_url}
        self.process = start_preheat(
            ["serve", "--port", str(self.port)], environment, is_forked=self.settings == WITHOUT_WORKERS
        )

    def kill(self) -> None:
        """SIGKILL."""
        if self.process is not None:
            self.process.kill()
            self.process.wait(30)

    def wait_until_ready(self) -> None:
        """Returns once it can store schedules."""
        wait_until(self._is_ready, 120)

    def _is_ready(self) -> bool:
        try:
            return httpx.get(f"{self.url}/readyz", timeout=10).is_success
        except httpx.TransportError:
            return False


class Client:
    """Posts schedules, posts them again and deletes some, through any replica, until it is told to stop."""

    def __init__(self, number: int, urls: list[str], seed: int) -> None:
        self.ledger = Ledger()
        self.error: BaseException | None = None
        self._first = number * 10**7 + 1
        self._urls, self._choice = urls, random.Random(seed)
        self._is_stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)

    def start(self) -> None:
        """Begins to write."""
        self._thread.start()

    def stop(self) -> Ledger:
        """Ends it; returns what it knows."""
        self._is_stopping.set()
        self._thread.join(120)
        assert not self._thread.is_alive(), "a client got no answer within two minutes"
        if self.error is not None:
            raise self.error
        return self.ledger

    def _run(self) -> None:
        """Writes; an answer that there should not be ends it."""
        try:
            with httpx.Client(timeout=30) as http:
                length = self._first
                while not self._is_stopping.is_set():
                    self._write(http, length)
                    length += 1
        except BaseException as error:  # noqa: BLE001 - told by `stop`, where somebody sees it
            self.error = error

    def _write(self, http: httpx.Client, length: int) -> None:
        chance = self._choice.random()
        if chance < 0.2 and self.ledger.kept:
            self._delete(http, self._choice.choice(list(self.ledger.kept)))
        elif chance < 0.3 and self.ledger.kept:
            self._post(http, self.ledger.kept[self._choice.choice(list(self.ledger.kept))])
        else:
            self._post(http, length)

    def _post(self, http: httpx.Client, length: int) -> None:
        spec = {"target_lr": 0.1, "total_iterations": length}
        answer = self._send(http, "POST", "/v1/schedules?stop=0", spec, (200, 201))
        if answer is not None:
            self.ledger.kept[answer.json()["id"]] = length
            self.ledger.writes += 1

    def _delete(self, http: httpx.Client, schedule_id: str) -> None:
        del self.ledger.kept[schedule_id]  # from here on it may be there or not
        if self._send(http, "DELETE", f"/v1/schedules/{schedule_id}", None, (204,)) is not None:
            self.ledger.deleted.add(schedule_id)
            self.ledger.writes += 1

    def _send(
        self, http: httpx.Client, method: str, path: str, body: object, expected: tuple[int, ...]
    ) -> httpx.Response | None:
        """The answer, if what was asked for is acknowledged; None if the service or its database is away."""
        try:
            answer = http.request(method, f"{self._choice.choice(self._urls)}{path}", json=body)
        except httpx.TransportError:
            self._is_stopping.wait(0.02)
            return None
        if answer.status_code == 503:
            self._is_stopping.wait(0.02)
            return None
        assert answer.status_code in expected, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer


def run(kind: Kind, kills: int, seed: int, **settings: str) -> str:
    """Kills so often; returns what was done in one line, and fails if anything acknowledged is not as it must be.

    `settings` are variables of the services' environment.
    """
    choice = random.Random(seed)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="preheat-kills-")))
        server = stack.enter_context(postgresql_server()) if kind == "postgresql" else None
        database_url = server.new_database() if server else f"sqlite:///{folder}/preheat.db"
        replicas = [stack.enter_context(_running(database_url, settings)) for _ in range(2)]
        ledger = Ledger()
        killed = Counter[str]()
        while killed.total() < kills:
            print(f"{kind}: {killed.total()} of {kills} kills", file=sys.stderr, flush=True)  # noqa: T201 - minutes pass
            # Fewer kills than writes: every round waits for both replicas and for enough to lose.
            for replica in replicas:
                replica.wait_until_ready()
            clients = [
                Client(killed.total() * _CLIENTS + n, [r.url for r in replicas], seed + n) for n in range(_CLIENTS)
            ]
            for client in clients:
                client.start()
            victims = _victims(replicas, server, choice)[: kills - killed.total()]
            least = LEAST_WRITES_PER_KILL * len(victims) + choice.randrange(40)
            wait_until(lambda: _are_written(clients, least), 300)  # noqa: B023 - called in this round alone
            for name, kill, start in victims:
                time.sleep(choice.random() / 20)
                kill()
                killed[name] += 1
                start()
            for client in clients:
                ledger.merge(client.stop())
        for replica in replicas:
            replica.wait_until_ready()
        _assert_nothing_lost(replicas, ledger)
        _assert_sound(database_url)
    assert ledger.writes >= LEAST_WRITES_PER_KILL * kills
    hit = ", ".join(f"{name} {count}" for name, count in sorted(killed.items()))
    return (
        f"{kind}: {killed.total()} kills ({hit}), {ledger.writes:,} writes acknowledged, "
        f"{len(ledger.kept):,} schedules there, {len(ledger.deleted):,} deleted and gone, seed {seed}"
    )


Victim = tuple[str, Callable[[], None], Callable[[], None]]


def _victims(replicas: list[Replica], server: PostgreSQL | None, choice: random.Random) -> list[Victim]:
    """Who dies in a round, in this order, each with what starts it again."""
    services: list[Victim] = [("service", replica.kill, replica.start) for replica in replicas]
    choice.shuffle(services)
    some = services[: choice.choice((1, 2, 2))]
    if server is not None and choice.random() < 0.5:
        some.insert(choice.randrange(len(some) + 1), ("database", server.kill, server.start))
    return some


def _are_written(clients: list[Client], least: int) -> bool:
    for client in clients:
        if client.error is not None:
            raise client.error
    return sum(client.ledger.writes for client in clients) >= least


def _assert_nothing_lost(replicas: list[Replica], ledger: Ledger) -> None:
    """Asks both replicas in turn for every schedule."""
    with httpx.Client(timeout=30) as http:
        for n, (schedule_id, length) in enumerate(ledger.kept.items()):
            answer = http.get(f"{replicas[n % 2].url}/v1/schedules/{schedule_id}?lint=false")
            assert answer.status_code == 200, f"acknowledged and lost: {schedule_id}, of {length} iterations"
            assert answer.json()["total_iterations"] == length
        for n, schedule_id in enumerate(ledger.deleted):
            answer = http.get(f"{replicas[n % 2].url}/v1/schedules/{schedule_id}?lint=false")
            assert answer.status_code == 404, f"deleted and back: {schedule_id}"


def _assert_sound(database_url: str) -> None:
    """By `preheat store check`, and by the newest form of the tables, without which it reads nothing."""
    command = [sys.executable, "-m", "preheat", "store", "check"]
    environment = {**os.environ, "PREHEAT_DATABASE_URL": database_url}
    check = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert check.returncode == 0, check.stderr


@contextmanager
def _running(database_url: str, settings: dict[str, str]) -> Iterator[Replica]:
    replica = Replica(free_port(), database_url, settings)
    replica.start()
    try:
        yield replica
    finally:
        replica.kill()


if __name__ == "__main__":
    all_kills = int(sys.argv[1])
    first_seed = int(sys.argv[2]) if len(sys.argv) > 2 else random.randrange(10**6)
    for each, number in (("sqlite", all_kills // 2), ("postgresql", all_kills - all_kills // 2)):
        as_users_have_it = number // 10
        for part, settings in ((number - as_users_have_it, WITHOUT_WORKERS), (as_users_have_it, {})):
            if part:
                print(run(each, part, first_seed, **settings), flush=True)  # type: ignore[arg-type] # noqa: T201
