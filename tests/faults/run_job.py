"""A job that trains by a live run: its ranks, killed, stopped and restarted from checkpoints; and its network."""

import json
import pickle
import random
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults.children import Child
from faults.fault_proxy import NONE, Fault, FaultProxy
from faults.run_people import Caller
from faults.run_record import look
from faults.run_services import Side
from faults.run_trainer import Trainer, train

RANKS = 4
_LAST_UPDATES = 60
_END_S = 120.0
_PLAY_S, _PROGRESS_S, _LINES_BYTES = 25.0, 5.0, 5_000

_NETWORK = {
    "refuses": Fault(listens=False),
    "resets": Fault(greeting="reset"),
    "drops answers": Fault(after_bytes=1, then="close"),
    "cuts answers": Fault(after_bytes=300, then="reset"),
    "hangs": Fault(after_bytes=1, then="hang"),
    "delays": Fault(latency_s=0.2, jitter_s=0.5),
}


@dataclass
class Life:
    """Ranks from one start of the job to its end; `is_meant` once they have been told to die, or to be zombies."""

    number: int
    ranks: list[Child]
    trainers: list[Trainer]
    is_meant: bool = False

    def signal(self, number: signal.Signals) -> None:
        """Sends a signal to every rank."""
        for rank in self.ranks:
            rank.signal(number)

    def errors(self) -> list[tuple[str, str]]:
        """Of every rank that said how it ended: the error's name and its trace."""
        said = [json.loads(each.end.read_text()) for each in self.trainers if each.end.exists()]
        return [(each["error"], each["trace"]) for each in said if each["error"] is not None]

    @property
    def is_over(self) -> bool:
        """Whether no rank runs any more."""
        return all(rank.exitcode is not None for rank in self.ranks)


class Job:
    """One job, life after life, by chance of a seed."""

    def __init__(
        self, label: str, spec: dict[str, Any], folder: Path, side: Side, proxy: FaultProxy, caller: Caller,
        *, is_gloo: bool,
    ) -> None:  # fmt: skip
        self.folder, self.side, self.label = folder, side, label
        self._spec, self._proxy, self._caller, self._is_gloo = spec, proxy, caller, is_gloo
        self._chance = random.Random(label)
        self._lives: list[Life] = []
        self.path = ""

    def make(self) -> None:
        """Makes the run, and starts the first life."""
        body = {"label": self.label, "spec": self._spec}
        made = self._caller.call("POST", "/v1/runs", body).raise_for_status().json()
        self.path = f"/v1/runs/{made['id']}"
        self._start(None)

    def play(self) -> None:
        """Does everything to it that can be done, in any order; between two deeds it comes some way.

        On a busy machine it is not all of it; a rollback it always is, since nobody else asks for one.
        """
        deeds: list[Callable[[], None]] = [
            self._restart, self._kill_one, self._pause, self._pause, self._haunt, self._roll_back,
            *[self._trouble_network] * 3,
        ]  # fmt: skip
        self._chance.shuffle(deeds)
        give_up = time.monotonic() + _PLAY_S
        for deed in deeds:
            if time.monotonic() > give_up and deed != self._roll_back:
                continue
            self._await_progress()
            time.sleep(0.4 * self._chance.random())
            self._switch()
            deed()
            look(self._caller, self.path)
            self._look_after()

    def end(self) -> None:
        """Two last lives, which end by themselves, all being well; then everybody has gone."""
        self._proxy.set(NONE)
        for _ in range(2):
            self._kill(self._lives[-1])
            self._end_well()
        for life in self._lives:
            self._kill(life)
            superseded = [error for error, _ in life.errors() if error == "RunSuperseded"]
            self._caller.journal.traffic["superseded"] += len(superseded)

    def _end_well(self) -> None:
        state = self._state()
        position = 1 if state is None else state["iteration"]
        last = self._start(state, stop=position + _LAST_UPDATES)
        give_up = time.monotonic() + _END_S
        while not last.is_over:
            assert time.monotonic() < give_up, f"{self.label}: the last life does not end"
            time.sleep(0.05)
        assert not last.errors(), f"{self.label}: {last.errors()[0][1]}"

    def close(self) -> None:
        """Kills what still runs."""
        for life in self._lives:
            life.signal(signal.SIGKILL)

    def _await_progress(self) -> None:
        """Returns once a few more updates have been written down; on a busy machine, or in an outage, after a while."""
        file, give_up = self.folder / "used.jsonl", time.monotonic() + _PROGRESS_S
        before = file.stat().st_size if file.exists() else 0
        while time.monotonic() < give_up:
            if file.exists() and file.stat().st_size > before + _LINES_BYTES:
                return
            time.sleep(0.2)

    def _start(self, state: Any, stop: int | None = None) -> Life:
        number = len(self._lives)
        trainers = [
            Trainer(self._proxy.url, self.side.tokens["job"], self.label, self._spec, str(self.folder), self._is_gloo,
                    rank, RANKS, number, state, stop)
            for rank in range(RANKS)
        ]  # fmt: skip
        life = Life(number, [Child(train, each) for each in trainers], trainers)
        self._lives.append(life)
        return life

    def _state(self) -> Any:
        """The state of one of the last checkpoints, or None to begin anew."""
        files = [None, *sorted(self.folder.glob("checkpoint-*"))[-4:]]
        file = self._chance.choice(files)
        return None if file is None else pickle.loads(file.read_bytes())  # noqa: S301 - our own

    def _kill(self, life: Life) -> None:
        life.is_meant = True
        life.signal(signal.SIGKILL)
        for rank in life.ranks:
            rank.kill()

    def _restart(self) -> None:
        """The launcher ends the job, and starts it again."""
        self._caller.journal.traffic["restart"] += 1
        self._kill(self._lives[-1])
        self._start(self._state())

    def _kill_one(self) -> None:
        """Kill −9 of a rank; the launcher notices after a while."""
        self._caller.journal.traffic["kill-rank"] += 1
        self._lives[-1].is_meant = True
        self._chance.choice(self._lives[-1].ranks).kill()
        time.sleep(0.3 * self._chance.random())
        self._restart()

    def _pause(self) -> None:
        """A rank stands still for a while."""
        self._caller.journal.traffic["pause-rank"] += 1
        rank = self._chance.choice(self._lives[-1].ranks)
        rank.signal(signal.SIGSTOP)
        time.sleep(self._chance.random())
        rank.signal(signal.SIGCONT)

    def _haunt(self) -> None:
        """A job that was thought dead comes back after another has taken over, and must give up by itself."""
        self._caller.journal.traffic["zombie"] += 1
        zombie = self._lives[-1]
        zombie.is_meant = True
        zombie.signal(signal.SIGSTOP)
        self._start(self._state())
        time.sleep(1 + self._chance.random())
        zombie.signal(signal.SIGCONT)

    def _roll_back(self) -> None:
        """A person asks for a restart, and the job is restarted there, unless another change was faster every time."""
        for _ in range(5):
            state = self._state()
            if state is not None and self._asks_for(state):
                self._caller.journal.traffic["rollback"] += 1
                self._kill(self._lives[-1])
                self._start(state)
                return
            self._await_progress()

    def _asks_for(self, state: Any) -> bool:
        """Whether a rollback to there was accepted."""
        run = self._caller.call("GET", self.path).raise_for_status().json()
        policy = self._chance.choice(["drop", "from-here"])
        body = {"after": state["iteration"] - 1, "changes": policy, "why": f"rollback {state['iteration']}"}
        headers = {"if_match": run["etag"], "idempotency_key": f"rollback-{self._chance.random()}"}
        author = Caller(self._proxy.url, self.side.tokens["ann"], self._caller.journal)
        try:
            return author.call("POST", f"{self.path}/rollback", body, **headers).is_success
        finally:
            author.close()

    def _trouble_network(self) -> None:
        kind = self._chance.choice(list(_NETWORK))
        self._caller.journal.traffic[kind] += 1
        self._proxy.set(_NETWORK[kind])
        time.sleep(0.3 + 1.2 * self._chance.random())
        self._proxy.set(NONE)

    def _switch(self) -> None:
        self._proxy.lead_to(self._chance.choice(self.side.replicas).url)

    def _look_after(self) -> None:
        """Sees to what lives and zombies say of their end; starts the job again if it is over."""
        present = self._lives[-1]
        for life in self._lives:
            wrong = [trace for error, trace in life.errors() if error != "RunSuperseded"]
            assert not wrong or life.is_meant, f"{self.label}, life {life.number}: {wrong[0]}"
        if present.is_over:
            self._start(self._state())
