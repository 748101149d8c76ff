"""Real optax and JAX, training on the CPU at the LRs of a real service."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from preheat_client import Preheat, Schedule
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from support.fake_runs import SPEC

jax = pytest.importorskip("jax", reason="make adapters installs it")
optax = pytest.importorskip("optax", reason="make adapters installs it")

from preheat_client.optax import remote_schedule, with_lr  # noqa: E402 - where optax is installed

jnp = jax.numpy

FLOAT32 = [str(float(np.float32(row))) for row in REFERENCE_ROWS]


@pytest.fixture
def double() -> Iterator[None]:
    """JAX in float64."""
    with jax.enable_x64(True):
        yield


class Loop:
    """A jitted loop whose gradient is 1: `moved` has how far each update moved the weight; `compilations` counts."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer, self.compilations = optimizer, 0
        self.weight = jnp.zeros(())
        self.state = optimizer.init(self.weight)
        self.moved: list[float] = []
        self._update = jax.jit(self._traced)

    def _traced(self, gradient: Any, state: Any, weight: Any) -> Any:
        self.compilations += 1
        return self.optimizer.update(gradient, state, weight)

    def update(self, gradient: float = 1.0) -> None:
        """One update."""
        change, self.state = self._update(jnp.asarray(gradient), self.state, self.weight)
        self.weight = optax.apply_updates(self.weight, change)
        self.moved.append(-float(change))


def test_every_update_runs_at_the_tables_lr(schedule: Schedule, double: None) -> None:  # noqa: ARG001 - sets the type
    """In float64 each update has its LR digit for digit, compiled once, and past the end the last one."""
    loop = Loop(optax.sgd(remote_schedule(schedule)))
    for _ in range(25):
        loop.update()
    assert [str(lr) for lr in loop.moved[:20]] == list(REFERENCE_ROWS)
    assert loop.moved[20:] == [0.0] * 5
    assert loop.compilations == 1


def test_float32_is_the_table_rounded_once(schedule: Schedule) -> None:
    """In float32, JAX's default, each LR is the table's, rounded once."""
    loop = Loop(optax.sgd(remote_schedule(schedule)))
    for _ in range(20):
        loop.update()
    assert [str(lr) for lr in loop.moved] == FLOAT32


def test_a_loop_that_counts_from_0_begins_there(schedule: Schedule) -> None:
    """With first_iteration=0 the first update runs at lr[0]."""
    loop = Loop(optax.sgd(remote_schedule(schedule, first_iteration=0)))
    for _ in range(21):
        loop.update()
    assert [str(lr) for lr in loop.moved] == ["0.0", *FLOAT32]


def test_accumulated_and_skipped_updates_are_none(schedule: Schedule) -> None:
    """MultiSteps and apply_if_finite use an LR up for each update that they perform."""
    accumulating = Loop(optax.MultiSteps(optax.sgd(remote_schedule(schedule)), 4))
    for _ in range(80):
        accumulating.update()
    assert [str(moved) for moved in accumulating.moved[3::4]] == FLOAT32
    skipping = Loop(optax.apply_if_finite(optax.sgd(remote_schedule(schedule)), 5))
    for attempt in range(24):
        skipping.update(float("nan") if attempt in {0, 1, 9, 10} else 1.0)
    performed = [str(moved) for n, moved in enumerate(skipping.moved) if n not in {0, 1, 9, 10}]
    assert performed == FLOAT32


def test_a_scan_reads_the_table_on_the_device(schedule: Schedule) -> None:
    """A whole run in one compiled loop reads each LR of the table."""
    lr = remote_schedule(schedule)
    _, lrs = jax.lax.scan(lambda count, _: (count + 1, lr(count)), jnp.int32(0), length=20)
    assert [str(float(each)) for each in lrs] == FLOAT32


def test_an_lr_can_be_set_from_outside(preheat: Preheat) -> None:
    """A schedule too long for a table sets inject_hyperparams' LR anywhere in a chain, compiled once."""
    schedule = preheat.create({"target_lr": 0.01, "total_iterations": 10**9, "warmup": {"iterations": 10**9}})
    injected = optax.inject_hyperparams(optax.sgd)(learning_rate=0.5)
    loop = Loop(optax.chain(optax.clip_by_global_norm(10.0), injected))
    for n in range(1, 21):
        loop.state = with_lr(loop.state, schedule.lr(n * 10**7))  # type: ignore[arg-type] # one param group
        loop.update()
    expected = [np.float32(0.01 * (n * 10**7) / 10**9) for n in range(1, 21)]
    assert loop.moved == [float(each) for each in expected]
    assert loop.compilations == 1


def test_what_would_be_wrong_in_silence_is_refused(preheat: Preheat) -> None:
    """Several LRs for one optimizer, a table without end and a state without an LR raise."""
    groups = preheat.create({**REFERENCE_SPEC, "param_groups": [{"name": "a"}, {"name": "b"}]})
    with pytest.raises(ValueError, match=r"param_groups \(a, b\) must be one"):
        remote_schedule(groups)
    long = preheat.create({**REFERENCE_SPEC, "total_iterations": 10**9})
    with pytest.raises(ValueError, match=r"total_iterations \(1000000000\) must not exceed 10000000"):
        remote_schedule(long)
    with pytest.raises(KeyError, match="inject_hyperparams"):
        with_lr(optax.sgd(0.1).init(jnp.zeros(())), 0.1)


def test_what_is_no_schedule_is_refused() -> None:
    """A spec that was not posted: the error names the argument and says what makes a schedule of it."""
    with pytest.raises(TypeError, match=r"schedule \(dict\) is not a schedule: .*create\(spec\)"):
        remote_schedule(REFERENCE_SPEC)  # type: ignore[arg-type]


def test_a_live_run_is_refused_as_a_table_and_set_from_outside(runs: Any) -> None:
    """Its LRs may change: each update's is set in the state."""
    with Preheat(runs.url) as preheat:
        run: Any = preheat.run("llama", SPEC)
        with pytest.raises(ValueError, match="its LRs may change"):
            remote_schedule(run)
        assert runs.toy.attempts == []
        optimizer = optax.inject_hyperparams(optax.sgd)(learning_rate=0.5)
        state = optimizer.init(jnp.zeros(()))
        for n in range(1, 40):
            state = with_lr(state, run.lr(n))
            assert float(state.hyperparams["learning_rate"]) == float(jnp.asarray(n / 1_000_000, jnp.float32))
            _, state = optimizer.update(jnp.ones(()), state)
    assert len(runs.toy.attempts) == 1
