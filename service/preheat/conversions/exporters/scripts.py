"""Scripts for torch, optax and Keras: a schedule as one formula of the iteration n."""

from preheat.conversions.exporters.amended import FALLS, amended_functions
from preheat.errors import NotExpressible
from preheat.formula.printers import in_arrays, in_python
from preheat.schedule import Schedule
from preheat.specs import Spec


def torch_script(schedule: Schedule) -> str:
    """A script with a LambdaLR, and one function for each param group. Raises NotExpressible."""
    spec = schedule.spec
    # LambdaLR multiplies the optimizer's LR: with lr=1.0 in every group, a formula gives the LR itself.
    functions = amended_functions(spec, lambda each: [in_python(formula) for formula in _formulas(each)])
    if spec.amendments:
        functions = FALLS + functions
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
    for n in range({spec.amended_total_iterations + 1}):
        print(*scheduler.get_last_lr())
        optimizer.step()
        scheduler.step()
"""


# a table of values: Python's [] does not take an index that is traced
_PICK_IN_JAX = """def pick(values, index):
    return jnp.asarray(values, dtype=float)[jnp.maximum(index, 0).astype(int)]


"""


def optax_script(schedule: Schedule) -> str:
    """A script with a schedule for optax. Raises NotExpressible."""
    formula = _only_formula(schedule, "an optax schedule is one function: use optax.multi_transform with one for each")
    # jnp.where and the like in place of if: the count is an array while JAX compiles
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
    for n in range({schedule.spec.total_iterations + 1}):
        print(float(schedule(n)))
"""


_PICK_IN_KERAS = """def pick(values, index):
    table = ops.convert_to_tensor(values, dtype=keras.config.floatx())
    return ops.take(table, ops.cast(ops.maximum(index, 0), "int32"))


"""


def keras_script(schedule: Schedule) -> str:
    """A script with a Keras LearningRateSchedule that can be saved with its model. Raises NotExpressible."""
    formula = _only_formula(schedule, "a Keras schedule is one function")
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
    for n in range({schedule.spec.total_iterations + 1}):
        print(float(Schedule()(n)))
"""


def _only_formula(schedule: Schedule, reason: str) -> str:
    # Neither optax nor Keras has param groups, but groups of equal LRs are one schedule.
    of_groups = _formulas(schedule.spec)
    if len(set(of_groups)) > 1:
        raise NotExpressible(f"the {len(of_groups)} param groups have different LRs, and {reason}")
    return of_groups[0]


def _formulas(spec: Spec) -> list[str]:
    """The LR of each param group as a formula in `n`.

    Raises NotExpressible for other hyperparameters, and where an LR follows from the one before.
    """
    # The LRs of the groups are the first columns; momentum and other hyperparameters follow.
    if len(spec.columns) > len(spec.group_names):
        named = sorted({column.hyperparameter for column in spec.columns[len(spec.group_names) :]})
        raise NotExpressible(f"schedules of {', '.join(named)} go beyond what a learning-rate scheduler sets")
    for track in spec.tracks:
        if track.after_scheduler is not None:
            track.after_scheduler.check_formula(spec.total_iterations - track.warmup.origin)
    by_column = {column: track.formula(i) for track in spec.tracks for i, column in enumerate(track.columns)}
    return [by_column[column] for column in range(len(spec.group_names))]


def _head(schedule: Schedule) -> str:
    label = f"{schedule.spec.label}: " if schedule.spec.label else ""
    # escaped, so that nothing in a label ends the comment
    escaped = label.encode("unicode_escape").decode("ascii")
    return f"# {escaped}Preheat schedule {schedule.id}, iterations 0 to {schedule.spec.amended_total_iterations}.\n"
