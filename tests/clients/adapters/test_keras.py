"""Real Keras 3, training a tiny model on the CPU with the torch and the JAX backend, at the LRs of a real service.

The backend is chosen when Keras is imported, so each run is a process of its own.
"""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from reference import REFERENCE_ROWS, REFERENCE_SPEC
from running_service import service
from support.fake_runs import SPEC

MISSING = [name for name in ("keras", "jax") if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"make adapters installs {MISSING}")

TABLE = [float(np.float32(row)) for row in REFERENCE_ROWS]
"""Keras computes in float32: so does it keep its learning rate."""

PRELUDE = """
import json, sys
import keras
import numpy as np
from preheat_client import Preheat
from preheat_client.keras import PreheatCallback, PreheatSchedule

url, spec, folder = json.loads(sys.argv[1])
schedule = Preheat(url).create(spec) if url else None
inputs, far_below = np.ones((200, 1)), np.full((200, 1), -10.0)  # |w − -10| has the gradient 1

class Used(keras.callbacks.Callback):
    '''The LR of each update, by the optimizer's variable, and by how far a gradient of 1 moves the weight.'''

    def __init__(self):
        super().__init__()
        self.lrs, self.moved, self.at = [], [], 0.0

    def on_train_batch_end(self, batch, logs=None):
        if hasattr(self.model, "jax_state_sync"):
            self.model.jax_state_sync()
        weight = float(np.asarray(self.model.get_weights()[0])[0, 0])
        if weight != self.at or not self.model.optimizer.gradient_accumulation_steps:
            self.lrs.append(float(np.asarray(self.model.optimizer.learning_rate)))
            self.moved.append(self.at - weight)
        self.at = weight

def model(lr=1.0, **options):
    dense = keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")
    made = keras.Sequential([keras.Input((1,)), dense])
    optimizer = keras.optimizers.SGD(lr, gradient_accumulation_steps=options.pop("accumulated", None))
    made.compile(optimizer, loss="mae", **options)
    return made

def fit(trained, updates, callbacks=(), used=None):
    used = used or Used()
    trained.fit(inputs[:updates], far_below[:updates], batch_size=1, callbacks=[*callbacks, used], verbose=0)
    return used

def say(used=None, **said):
    print(json.dumps({**({"lrs": used.lrs, "moved": used.moved} if used else {}), **said}))
"""


def said(folder: Path, backend: str, script: str, url: str | None, spec: Any = None) -> Any:
    """What a process says on its last line."""
    command = [sys.executable, "-c", PRELUDE + script, json.dumps([url, spec or REFERENCE_SPEC, str(folder)])]
    environ = {**os.environ, "KERAS_BACKEND": backend, "OMP_NUM_THREADS": "1"}
    run = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=180, check=False)
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout.splitlines()[-1])


def check(said: Any, rows: list[float]) -> None:
    """The optimizer's LR to the last digit; the weight as far as float32 holds the sum of what it moved by."""
    assert said["lrs"] == rows
    assert said["moved"] == pytest.approx(rows, rel=1e-4, abs=2e-8)


@pytest.fixture(params=["torch", "jax"])
def backend(request: pytest.FixtureRequest) -> str:
    """What Keras computes with."""
    return str(request.param)


def test_the_callback_sets_every_updates_lr(url: str, tmp_path: Path, backend: str) -> None:
    """The callback goes on over two calls of fit, as the optimizer goes on counting."""
    script = """
trained = model()
used = fit(trained, 12, [PreheatCallback(schedule)])
say(fit(trained, 8, [PreheatCallback(schedule)], used))
"""
    check(said(tmp_path, backend, script, url), TABLE)


def test_the_callback_is_all_it_takes(url: str, tmp_path: Path, backend: str) -> None:
    """Twenty updates move a weight by the sum of the table, without another callback that looks at the optimizer."""
    script = """
trained = model()
trained.fit(inputs[:20], far_below[:20], batch_size=1, callbacks=[PreheatCallback(schedule)], verbose=0)
say(weight=float(np.asarray(trained.get_weights()[0])[0, 0]))
"""
    assert said(tmp_path, backend, script, url)["weight"] == pytest.approx(-sum(TABLE), rel=1e-5)


def test_accumulated_gradients_are_one_update(url: str, tmp_path: Path, backend: str) -> None:
    """Batches that only accumulate gradients do not count, as Keras counts updates."""
    script = "say(fit(model(accumulated=4), 76, [PreheatCallback(schedule)]))"  # the twentieth would move nothing
    check(said(tmp_path, backend, script, url), TABLE[:19])


def test_a_saved_model_goes_on_with_the_callback(url: str, tmp_path: Path, backend: str) -> None:
    """A model that is loaded in another process goes on where its optimizer's count is."""
    save = """
trained = model()
fit(trained, 7, [PreheatCallback(schedule)])
trained.save(f"{folder}/model.keras")
say(weight=float(np.asarray(trained.get_weights()[0])[0, 0]))
"""
    resume = """
trained = keras.models.load_model(f"{folder}/model.keras")
used = Used()
used.at = float(np.asarray(trained.get_weights()[0])[0, 0])
say(fit(trained, 13, [PreheatCallback(schedule)], used))
"""
    before = said(tmp_path, backend, save, url)
    assert before["weight"] == pytest.approx(-sum(TABLE[:7]), rel=1e-5)
    check(said(tmp_path, backend, resume, url), TABLE[7:])


def test_the_compiled_schedule_moves_weights_by_the_table(url: str, tmp_path: Path, backend: str) -> None:
    """Each update moves a weight by its LR of the table, and past the end by the last one."""
    script = "say(fit(model(PreheatSchedule(schedule)), 25))"
    assert said(tmp_path, backend, script, url)["moved"] == pytest.approx([*TABLE, *[0] * 5], rel=1e-4, abs=2e-8)


def test_the_compiled_schedule_sees_every_update_of_a_call(url: str, tmp_path: Path) -> None:
    """Updates that are made five to a call, which torch's backend does not do, each have their LR."""
    script = "say(last=fit(model(PreheatSchedule(schedule), steps_per_execution=5), 15).at)"
    assert said(tmp_path, "jax", script, url)["last"] == pytest.approx(-sum(TABLE[:15]), rel=1e-5)


def test_a_saved_model_has_the_compiled_schedule_with_it(tmp_path: Path, backend: str) -> None:
    """A model that is loaded in another process goes on without a service."""
    save = """
trained = model(PreheatSchedule(schedule))
fit(trained, 7)
trained.save(f"{folder}/model.keras")
say()
"""
    resume = """
trained = keras.models.load_model(f"{folder}/model.keras")
used = Used()
used.at = float(np.asarray(trained.get_weights()[0])[0, 0])
say(fit(trained, 13, (), used))
"""
    with service() as url:
        said(tmp_path, backend, save, url)
    assert said(tmp_path, backend, resume, None)["moved"] == pytest.approx(TABLE[7:], rel=1e-4, abs=2e-8)


def test_what_would_be_wrong_in_silence_is_refused(url: str, tmp_path: Path, backend: str) -> None:
    """Updates that a callback cannot see, several LRs for one optimizer and a table without end raise ValueError."""
    script = """
errors = []
for attempt in (
    lambda: fit(model(steps_per_execution=5), 20, [PreheatCallback(schedule)]),
    lambda: fit(model(), 20, [PreheatCallback(Preheat(url).create({**spec, "param_groups": [{}, {}]}))]),
    lambda: PreheatSchedule(Preheat(url).create({**spec, "param_groups": [{}, {}]})),
    lambda: PreheatSchedule(Preheat(url).create({"target_lr": 0.1, "total_iterations": 10**9})),
):
    try:
        attempt()
    except ValueError as error:
        errors.append(str(error))
say(errors=errors)
"""
    steps, several, groups, long = said(tmp_path, backend, script, url)["errors"]
    assert "steps_per_execution (5) must be 1" in steps or backend == "torch"  # which Keras itself refuses there
    assert "param_groups (group_0, group_1) must be one" in several
    assert "param_groups (group_0, group_1) must be one" in groups
    assert "total_iterations (1000000000) must not exceed 10000000" in long


LIVE = """
client = Preheat(URL)
run = client.run("llama", spec)
try:
    PreheatSchedule(run)
except ValueError as error:
    refused = str(error)
trained = model()
used = fit(trained, 20, [PreheatCallback(run)])
fit(trained, 200, [PreheatCallback(run)], used) if not run.restart_requested else None
client.close()
say(used, refused=refused, updates=int(trained.optimizer.iterations))
"""


def test_a_live_run_is_attached_by_its_first_update(runs: Any, tmp_path: Path, backend: str) -> None:
    """Each update at its LR; the means of each epoch are reported; a compiled table refuses a run."""
    answer = said(tmp_path, backend, LIVE.replace("URL", repr(runs.url)), None, SPEC)
    assert answer["lrs"] == [float(np.float32(n / 1_000_000)) for n in range(1, 221)]
    assert "its LRs may change" in answer["refused"]
    assert [attempt.start for attempt in runs.toy.attempts] == [1]
    assert [n for _, n, name in runs.toy.reports if name == "loss"] == [20, 220]


STATES = """
import logging
logs = []
handler = logging.Handler()
handler.emit = lambda record: logs.append(record.getMessage())
logging.getLogger("preheat_client").addHandler(handler)

path, backup = f"{folder}/model.keras", f"{folder}/backup"
with Preheat(URL) as client:
    run = client.run("llama", spec)
    trained = model()
    kept = keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False)
    used = fit(trained, 9, [PreheatCallback(run), kept])
    trained.save(path)
    saved = run.state_dict(10)
    fit(trained, 5, [PreheatCallback(run)], used)
answers = [used.lrs]

def resumed(trained, *callbacks, epochs=1):
    used = Used()
    trained.fit(inputs[:3], far_below[:3], batch_size=1, epochs=epochs, callbacks=[*callbacks, used], verbose=0)
    answers.append(used.lrs)

errors = []
with Preheat(URL) as client:  # as of a process that is started again
    run = client.run("llama", spec)
    resumed(keras.models.load_model(path), PreheatCallback(run, checkpoint=path))
    trained = model()
    restored = keras.callbacks.BackupAndRestore(backup, delete_checkpoint=False)
    resumed(trained, restored, PreheatCallback(run), epochs=2)  # the first of them is done
    trained.load_weights(path)
    resumed(trained, PreheatCallback(run), epochs=2)
    plain = model()
    plain.optimizer.build(plain.trainable_variables)
    plain.save_weights(f"{folder}/plain.weights.h5")
    for path in (path, f"{folder}/plain.weights.h5"):
        try:
            resumed(plain, PreheatCallback(run, checkpoint=path))
        except Exception as error:
            errors.append(f"{type(error).__name__}: {error}")
unsaid = [line for line in logs if "nothing says" in line]
with Preheat(URL) as client:
    resumed(trained, PreheatCallback(client.run("llama", spec)), epochs=2)
say(answers=answers, saved=saved, errors=errors, unsaid=unsaid, last=[line for line in logs if "nothing says" in line])
"""


def test_the_runs_state_is_saved_and_loaded_with_the_checkpoint(runs: Any, tmp_path: Path, backend: str) -> None:
    """Rule 10: a model that is loaded, a backup that is restored, and weights each open an attempt of their own."""
    answer = said(tmp_path, backend, STATES.replace("URL", repr(runs.url)), None, SPEC)

    def planned(start: int, stop: int) -> list[float]:
        return [float(np.float32(n / 1_000_000)) for n in range(start, stop)]

    assert answer["answers"] == [planned(1, 15), *[planned(10, 13)] * 3, planned(13, 16)]
    names = ("run", "attempt", "revision", "acknowledged", "overrun")
    expected = {**{name: answer["saved"][name] for name in names}, "position": 10}
    bodies = runs.service.asked("attempts")
    assert [body["position"] for body in bodies] == [1, 10, 10, 10, 1, 13]
    assert [body["checkpoint"] for body in bodies] == [None, expected, expected, expected, expected, None]
    mismatch, missing = answer["errors"]  # a model of no updates with the state of nine; a file of no run's
    assert mismatch.startswith("CheckpointMismatch")
    assert missing.startswith("ScheduleMismatch")
    assert "has no state of a run" in missing
    assert answer["unsaid"] == []
    (unsaid,) = answer["last"]  # who does not name the file goes on from the last attempt, and reads it in the log
    assert "the optimizer has made 12 updates, and nothing says in which attempt" in unsaid
