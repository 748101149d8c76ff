"""Real processes under torch.distributed: every rank runs at rank 0's LRs, whatever rank 0 goes through."""

import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preheat_client import Preheat, Schedule
from preheat_client.distributed import from_rank_zero
from reference import REFERENCE_ROWS, REFERENCE_SPEC, SERVED_ALONE
from running_service import GLOO_ABORTED, free_port, service

RANKS = 4

PRELUDE = """
import datetime, json, os, sys, time
import torch
from preheat_client import Preheat, PreheatError
from preheat_client.distributed import from_rank_zero
from preheat_client.torch import RemoteLR

torch.distributed.init_process_group("gloo", timeout=datetime.timedelta(seconds=60))  # a wait for nothing fails
rank = torch.distributed.get_rank()
url, spec, fallback = json.loads(sys.argv[1])
on = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0, momentum=0.9)
asked = []

def open_schedule():
    asked.append(rank)
    return Preheat(url, start_timeout_s=0.5, window=20).create(spec, fallback=fallback)

def end(**said):
    with open(f"{rank}.json", "w") as file:
        json.dump({"asked": asked, **said}, file)
    torch.distributed.barrier()
    torch.distributed.destroy_process_group()
    sys.exit()
"""

TRAIN = """
shared = from_rank_zero(open_schedule)
scheduler = RemoteLR(on, shared)
used, momenta = [], []
for update in range(int(os.environ["UPDATES"])):
    used.append(on.param_groups[0]["lr"])
    momenta.append(on.param_groups[0]["momentum"])
    if rank == 0 and update == 20 and "MARK" in os.environ:
        open("mark", "w").close()
    time.sleep(float(os.environ.get("PAUSE_S", 0)))
    on.step()
    scheduler.step()
end(used=used, momenta=momenta, id=shared.id, total=shared.total_iterations)
"""

ALONE = """
scheduler = RemoteLR(on, open_schedule())
used = []
for update in range(int(os.environ["UPDATES"])):
    used.append(on.param_groups[0]["lr"])
    on.step()
    scheduler.step()
end(used=used)
"""

TABLE = """
shared = from_rank_zero(open_schedule)
table = list(shared.lrs())
middle = list(shared.lrs(5, 7))
try:
    shared.lrs(0, 22)
except PreheatError as error:
    end(table=table, middle=middle, refused=type(error).__name__)
"""

OPTAX = """
import jax, jax.numpy as jnp, optax
from preheat_client.optax import remote_schedule, with_lr

shared = from_rank_zero(open_schedule)
optimizer = optax.sgd(remote_schedule(shared))
state, moved = optimizer.init(jnp.zeros(())), []
for _ in range(20):
    change, state = jax.jit(optimizer.update)(jnp.ones(()), state)
    moved.append(-float(change))
injected = optax.inject_hyperparams(optax.sgd)(learning_rate=0.5)
set_to = [
    float(with_lr(injected.init(jnp.zeros(())), shared.lr(n)).hyperparams["learning_rate"]) for n in range(1, 21)
]
end(moved=moved, set_to=set_to)
"""

KERAS = """
import keras
import numpy as np
from preheat_client.keras import PreheatCallback, PreheatSchedule

def model(lr):
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    made = keras.Sequential([keras.Input((1,)), dense])
    made.compile(keras.optimizers.SGD(lr), loss="mae")
    return made

def moved(trained, *callbacks):
    trained.fit(np.ones((20, 1)), np.full((20, 1), -10.0), batch_size=1, callbacks=list(callbacks), verbose=0)
    return -float(np.asarray(trained.get_weights()[0])[0, 0])

shared = from_rank_zero(open_schedule)
end(compiled=moved(model(PreheatSchedule(shared))), called=moved(model(1.0), PreheatCallback(shared)))
"""

FAIL = """
try:
    from_rank_zero(open_schedule)
except PreheatError as error:
    end(error=type(error).__name__, message=str(error), problem=getattr(error, "problem", None))
"""

FAIL_OTHERWISE = """
import threading
from preheat_client import Schedule

shared = from_rank_zero(open_schedule)

class Silent(Exception):
    def __str__(self):
        raise SystemExit("nor can this be said")

class Unpicklable(PreheatError):
    def __init__(self, first, second):
        super().__init__(f"{first} and {second}")

class Locked(Exception):
    def __init__(self):
        super().__init__("locked")
        self.lock = threading.Lock()

class Huge:
    def __reduce__(self):
        raise MemoryError("no room to pickle")

class Odd(Schedule):  # whose LRs cannot be sent
    _known = shared._known
    def __init__(self):
        pass
    def _block(self, iteration, longest):
        return Huge()

def raising(error):
    def fail():
        raise error
    return lambda: from_rank_zero(fail)

calls = [
    raising(ValueError("window (0) must be ≥ 1")), lambda: shared.lrs(None, 3), raising(KeyboardInterrupt()),
    raising(SystemExit(3)), raising(MemoryError("no memory")), raising(Silent()), raising(Unpicklable(1, 2)),
    raising(Locked()), lambda: from_rank_zero(Odd), raising(BaseExceptionGroup("two", [KeyboardInterrupt(), Silent()])),
    lambda: from_rank_zero(lambda: None), lambda: from_rank_zero(5),
]
errors = []
for call in calls:
    try:
        call()
    except BaseException as error:
        errors.append([type(error).__name__, "" if isinstance(error, Silent) else str(error)])
end(errors=errors, next=shared.lr(5))
"""

INTERRUPTED = """
import signal
from preheat_client.distributed import _uninterrupted

said = []
try:
    with _uninterrupted():
        os.kill(os.getpid(), signal.SIGINT)
        said.append("went on")
except KeyboardInterrupt:
    said.append("then raised")
try:
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(5)
except KeyboardInterrupt:
    said.append("at once again")
end(said=said)
"""

KILLED = """
shared = from_rank_zero(open_schedule)
if rank == 0:
    os.kill(os.getpid(), 9)
try:
    shared.lr(5000)
except Exception as error:
    with open(f"{rank}.json", "w") as file:
        json.dump(type(error).__name__, file)
"""


def ranks(folder: Path, script: str, url: str, spec: Any, fallback: Any = None, **environment: str) -> Any:
    """The processes, started; `said` reads what they have said at their end."""
    (folder / "train.py").write_text(PRELUDE + script)
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", str(RANKS), "--standalone", "train.py"]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", "UPDATES": "20", **environment}
    return subprocess.Popen(
        [*launch, json.dumps([url, spec, fallback])], cwd=folder, env=environ, stderr=subprocess.PIPE, text=True
    )


def said(folder: Path, processes: "subprocess.Popen[str]") -> list[dict[str, Any]]:
    """What each rank said, in order."""
    with processes:
        _, errors = processes.communicate(timeout=120)
    assert processes.returncode == 0 or GLOO_ABORTED in errors, errors  # all ranks have said it all by then
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(RANKS)]


def test_rank_0_asks_and_all_ranks_run_at_its_lrs(url: str, tmp_path: Path) -> None:
    """Every rank runs at rank 0's LRs and momenta digit for digit, and only rank 0 asks."""
    spec = {**REFERENCE_SPEC, "hyperparameters": {"momentum": {"value": 0.9, "warmup": {"iterations": 20}}}}
    everyone = said(tmp_path, ranks(tmp_path, TRAIN, url, spec))
    assert [each["asked"] for each in everyone] == [[0], [], [], []]
    for each in everyone:
        assert [str(lr) for lr in each["used"]] == list(REFERENCE_ROWS)
        assert each["momenta"] == pytest.approx([0.9 * n / 20 for n in range(1, 21)])
        assert (each["total"], each["id"]) == (20, everyone[0]["id"])


def test_a_schedule_that_takes_over_does_so_on_all_ranks_at_once(tmp_path: Path) -> None:
    """Rank 0 begins on a fallback; when the service comes, no update runs at two different LRs."""
    port = free_port()
    spec = {"target_lr": 0.1, "total_iterations": 100_000, "param_groups": [{"warmup": {"iterations": 100_000}}]}
    options = {"UPDATES": "3000", "PAUSE_S": "0.002", "MARK": "1"}
    processes = ranks(tmp_path, TRAIN, f"http://127.0.0.1:{port}", spec, 0.012345, **options)
    give_up = time.monotonic() + 60
    while not (tmp_path / "mark").exists():
        assert time.monotonic() < give_up
        time.sleep(0.05)
    with service(port):
        everyone = said(tmp_path, processes)
    first = everyone[0]["used"]
    assert all(each["used"] == first for each in everyone)
    assert first[0] == 0.012345
    assert first[-1] == 0.1 * 3000 / 100_000
    exact = [lr == 0.1 * n / 100_000 for n, lr in enumerate(first, start=1)]
    assert exact == sorted(exact), "the fallback came back"


def test_a_table_of_lrs_reaches_every_rank(url: str, tmp_path: Path) -> None:
    """`lrs` gives rank 0's list everywhere, and an error of rank 0 everywhere."""
    everyone = said(tmp_path, ranks(tmp_path, TABLE, url, REFERENCE_SPEC))
    assert [each["asked"] for each in everyone] == [[0], [], [], []]
    for each in everyone:
        assert [str(lr) for lr in each["table"]] == ["0.0", *REFERENCE_ROWS]
        assert [str(lr) for lr in each["middle"]] == list(REFERENCE_ROWS[4:6])
    assert [each["refused"] for each in everyone] == ["IterationOutOfRange"] * RANKS


FLOAT32 = [float(np.float32(row)) for row in REFERENCE_ROWS]


@pytest.mark.skipif(find_spec("optax") is None, reason="make adapters installs it")
def test_optax_on_every_rank_runs_at_rank_0s_table(url: str, tmp_path: Path) -> None:
    """A jitted step over the table and LRs set from outside are rank 0's; only rank 0 asks."""
    everyone = said(tmp_path, ranks(tmp_path, OPTAX, url, REFERENCE_SPEC))
    assert [each["asked"] for each in everyone] == [[0], [], [], []]
    for each in everyone:
        assert each["moved"] == each["set_to"] == FLOAT32


@pytest.mark.skipif(find_spec("keras") is None, reason="make adapters installs it")
def test_keras_on_every_rank_runs_at_rank_0s_table(url: str, tmp_path: Path) -> None:
    """By the compiled schedule and by the callback twenty updates move the weight by the sum of the table."""
    everyone = said(tmp_path, ranks(tmp_path, KERAS, url, REFERENCE_SPEC, KERAS_BACKEND="torch"))
    assert [each["asked"] for each in everyone] == [[0], [], [], []]
    for each in everyone:
        assert (each["compiled"], each["called"]) == pytest.approx((sum(FLOAT32),) * 2, rel=1e-5)


def test_ranks_that_ask_on_their_own_agree(url: str, tmp_path: Path) -> None:
    """A schedule never changes: every rank has the same, whenever it asks."""
    everyone = said(tmp_path, ranks(tmp_path, ALONE, url, REFERENCE_SPEC))
    assert [each["asked"] for each in everyone] == [[0], [1], [2], [3]]
    for each in everyone:
        assert [str(lr) for lr in each["used"]] == list(REFERENCE_ROWS)


def test_an_error_of_rank_0_reaches_every_rank(tmp_path: Path) -> None:
    """A rank whose rank 0 failed raises the same, and does not wait; so all ranks try again, or none."""
    everyone = said(tmp_path, ranks(tmp_path, FAIL, f"http://127.0.0.1:{free_port()}", SERVED_ALONE))
    assert {each["error"] for each in everyone} == {"ServiceUnavailable"}
    assert len({each["message"] for each in everyone}) == 1


def test_a_refusal_reaches_every_rank_whole(url: str, tmp_path: Path) -> None:
    """InvalidSpec is InvalidSpec on every rank, with every field that the service has named."""
    everyone = said(tmp_path, ranks(tmp_path, FAIL, url, {"target_lr": -1}))
    assert {each["error"] for each in everyone} == {"InvalidSpec"}
    for each in everyone:
        assert {error["pointer"] for error in each["problem"]["errors"]} == {"/target_lr", "/total_iterations"}


def test_whatever_rank_0_raises_reaches_every_rank(url: str, tmp_path: Path) -> None:
    """No rank is left waiting, whether what rank 0 raises has a text, can be pickled, or is an exit."""
    rank_0, *others = said(tmp_path, ranks(tmp_path, FAIL_OTHERWISE, url, REFERENCE_SPEC))
    names = [name for name, _ in rank_0["errors"]]
    assert names == [
        *("ValueError", "TypeError", "KeyboardInterrupt", "SystemExit", "MemoryError", "Silent", "Unpicklable"),
        *("Locked", "MemoryError", "BaseExceptionGroup", "TypeError", "TypeError"),
    ]
    rule = "must be a schedule of Preheat().create(spec) or .schedule(id)"
    assert rank_0["errors"][-2][1] == f"what open_schedule returns (NoneType) {rule}"
    texts = ["its text raises SystemExit" if name == "Silent" else text for name, text in rank_0["errors"]]
    expected = [["RankZeroFailed", f"rank 0 raised {name}: {text}"] for name, text in zip(names, texts, strict=True)]
    expected[-1] = rank_0["errors"][-1]  # what is no function is refused where it is given
    for each in others:
        assert each["errors"] == expected
    assert [str(each["next"]) for each in (rank_0, *others)] == [REFERENCE_ROWS[4]] * RANKS


def test_an_interrupt_waits_until_the_ranks_have_their_message(url: str, tmp_path: Path) -> None:
    """A real SIGINT within a broadcast is raised after it, and as ever outside of one."""
    for each in said(tmp_path, ranks(tmp_path, INTERRUPTED, url, REFERENCE_SPEC)):
        assert each["said"] == ["went on", "then raised", "at once again"]


def test_the_death_of_rank_0_ends_the_others(url: str, tmp_path: Path) -> None:
    """A rank 0 that is killed closes its connections: no rank waits for the process group's time-out."""
    spec = {**REFERENCE_SPEC, "total_iterations": 10_000}
    started = time.monotonic()
    with ranks(tmp_path, KILLED, url, spec) as processes:
        processes.communicate(timeout=120)
    assert time.monotonic() - started < 60
    assert processes.returncode != 0


def test_one_process_reads_the_schedule_itself(url: str) -> None:
    """Without torch.distributed the same call gives the schedule."""
    with Preheat(url) as preheat:
        schedule = from_rank_zero(lambda: preheat.create(REFERENCE_SPEC))
        assert isinstance(schedule, Schedule)
        assert [str(schedule.lr(n)) for n in range(1, 21)] == list(REFERENCE_ROWS)


def test_what_is_no_schedule_is_refused_in_one_process_too() -> None:
    """A function without a return, which a run on several ranks would refuse."""
    with pytest.raises(TypeError, match=r"schedule \(NoneType\) is not a schedule: .*create\(spec\)"):
        from_rank_zero(lambda: None)  # type: ignore[arg-type,return-value]
