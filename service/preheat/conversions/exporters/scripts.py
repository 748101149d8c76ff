"""Exports: a schedule as a script, or a configuration, of another library."""

from collections.abc import Callable

from preheat.conversions.exporters.deepspeed import deepspeed_config
from preheat.conversions.exporters.transformers import transformers_script
from preheat.conversions.formulas import formulas
from preheat.errors import NotExpressible
from preheat.formula.printers import in_arrays, in_python
from preheat.schedule import Schedule


def export(schedule: Schedule, target: str) -> str:
    """The text of a schedule for a target of TARGETS; a script prints, when it is run, the LR of every iteration.

    Raises NotExpressible where the target cannot say it, with the reason.
    """
    return TARGETS[target](schedule)


def _torch(schedule: Schedule) -> str:
    spec = schedule.spec
    functions = "".join(
        f"def lr_{index}(n):\n    return {in_python(formula)}\n\n\n" for index, formula in enumerate(formulas(spec))
    )
    names = ", ".join(f"lr_{index}" for index in range(len(spec.group_names)))
    groups = "\n".join(
        f'    {{"params": [torch.nn.Parameter(torch.zeros(1))], "name": {name!r}}},' for name in spec.group_names
    )
    return f"""{_head(schedule)}import math

import torch


{functions}# Your own optimizer, with lr=1.0 in every param group: the functions give whole learning rates.
param_groups = [
{groups}
]
optimizer = torch.optim.SGD(param_groups, lr=1.0)
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, [{names}])

if __name__ == "__main__":
    for n in range({spec.total_iterations + 1}):
        print(*scheduler.get_last_lr())
        optimizer.step()
        scheduler.step()
"""


def _optax(schedule: Schedule) -> str:
    spec = schedule.spec
    (formula,) = _one_group(schedule, "an optax schedule is one function: use optax.multi_transform with one for each")
    text = in_arrays(formula, "jnp")
    return f"""{_head(schedule)}# In float32 unless JAX is told otherwise: JAX_ENABLE_X64=1.
import math

import jax.numpy as jnp
import optax


{_PICK_IN_JAX if "pick(" in text else ""}def schedule(count):
    n = jnp.asarray(count, dtype=float)
    return {text}


optimizer = optax.adamw(learning_rate=schedule)

if __name__ == "__main__":
    for n in range({spec.total_iterations + 1}):
        print(float(schedule(n)))
"""


def _keras(schedule: Schedule) -> str:
    spec = schedule.spec
    (formula,) = _one_group(schedule, "a Keras schedule is one function")
    text = in_arrays(formula, "ops")
    return f"""{_head(schedule)}# In Keras' floatx: float32, unless keras.config.set_floatx("float64") says otherwise.
import math

import keras
from keras import ops


{_PICK_IN_KERAS if "pick(" in text else ""}@keras.saving.register_keras_serializable()
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        n = ops.cast(step, keras.config.floatx())
        return {text}

    def get_config(self):
        return {{}}


optimizer = keras.optimizers.AdamW(learning_rate=Schedule())

if __name__ == "__main__":
    for n in range({spec.total_iterations + 1}):
        print(float(Schedule()(n)))
"""


_PICK_IN_JAX = """def pick(values, index):
    return jnp.asarray(values, dtype=float)[jnp.maximum(index, 0).astype(int)]


"""

_PICK_IN_KERAS = """def pick(values, index):
    table = ops.convert_to_tensor(values, dtype=keras.config.floatx())
    return ops.take(table, ops.cast(ops.maximum(index, 0), "int32"))


"""


def _one_group(schedule: Schedule, reason: str) -> list[str]:
    found = formulas(schedule.spec)
    if len(set(found)) > 1:
        raise NotExpressible(f"the {len(found)} param groups have LRs of their own, and {reason}")
    return found[:1]


def _head(schedule: Schedule) -> str:
    label = f"{schedule.spec.label}: " if schedule.spec.label else ""
    printable = label.encode("ascii", "backslashreplace").decode().replace("\n", " ").replace("\r", " ")
    return f"# {printable}Preheat schedule {schedule.id}, iterations 0 to {schedule.spec.total_iterations}.\n"


TARGETS: dict[str, Callable[[Schedule], str]] = {
    "torch": _torch,
    "transformers": transformers_script,
    "optax": _optax,
    "keras": _keras,
    "deepspeed": deepspeed_config,
}
"""What a schedule can be exported to."""
