"""optax and JAX: a schedule function over the fetched table, and LRs that are set from outside a jitted step."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import optax

from preheat_client.schedule import ReadableSchedule, lr_table


def remote_schedule(schedule: ReadableSchedule, first_iteration: int = 1) -> Callable[[Any], Any]:
    """An `optax.Schedule`: the LR of the update after `count` updates; the first one runs at lr[1].

    Safe inside jit, and compiled once: the table is a constant. Past the end the last LR is held.
    Raises ValueError for a schedule of several param groups, or too long for a table, and for a run, whose LRs may
    change: these are set from outside, `with_lr(opt_state, run.lr(n))`.
    """
    table = jnp.asarray(lr_table(schedule))

    def lr(count: Any) -> Any:
        return table[jnp.minimum(count + first_iteration, len(table) - 1)]

    return lr


def with_lr(opt_state: Any, lr: float) -> Any:
    """A state of `optax.inject_hyperparams` whose learning_rate is another, wherever in a chain it is.

    It keeps shape and dtype, so that a jitted step is not compiled again. Raises KeyError if there is no learning_rate.
    """
    before = optax.tree_utils.tree_get(opt_state, "learning_rate")
    if before is None:
        raise KeyError("the state has no learning_rate: wrap the optimizer in optax.inject_hyperparams")
    return optax.tree_utils.tree_set(opt_state, learning_rate=jnp.asarray(lr, dtype=jnp.asarray(before).dtype))
