"""Scripts for torch, optax and Keras: a schedule as one formula of the iteration n."""

import re

from preheat.conversions.exporters.amended import FALLS, amended_functions
from preheat.errors import NotExpressible
from preheat.formula.easing import number
from preheat.formula.language import substituted
from preheat.formula.printers import in_arrays, in_python
from preheat.messages import listed
from preheat.schedule import Schedule
from preheat.specs import Scheduler, Spec


def torch_script(schedule: Schedule) -> str:
    """A script with a LambdaLR, and one function for each param group. Raises NotExpressible."""
    spec = schedule.spec
    # LambdaLR multiplies the optimizer's LR: with lr=1.0 in every group, a formula gives the LR itself.
    functions, calls = _amended_functions(spec) if spec.amendments else _plain_functions(spec)
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
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, [{calls}])

if __name__ == "__main__":
    for n in range({spec.amended_total_iterations + 1}):
        print(*scheduler.get_last_lr())
        optimizer.step()
        scheduler.step()
"""


def _plain_functions(spec: Spec) -> tuple[str, str]:
    """Functions of the param groups' LRs, and how the groups call them, in order."""
    of_groups = _formulas(spec)
    targets: dict[str, set[float]] = {}
    for formula, target in of_groups:
        targets.setdefault(formula, set()).add(target)
    names = {formula: f"lr_{index}" for index, formula in enumerate(targets)}
    functions = "".join(_function(names[formula], formula, found) for formula, found in targets.items())
    # Groups that differ in their targets alone have one function.
    calls = (
        names[formula] if len(targets[formula]) == 1 else f"lambda n: {names[formula]}(n, {target!r})"
        for formula, target in of_groups
    )
    return functions, ", ".join(calls)


def _amended_functions(spec: Spec) -> tuple[str, str]:
    """The same of a spec with amendments."""

    def formulas(of: Spec) -> list[str]:
        return [in_python(substituted(formula, {"b": number(target)})) for formula, target in _formulas(of)]

    return FALLS + amended_functions(spec, formulas), ", ".join(f"lr_{i}" for i in range(len(spec.group_names)))


def _function(name: str, formula: str, targets: set[float]) -> str:
    """A function of the iteration, and of the target where groups have different ones."""
    parameters = "n"
    if len(targets) == 1:
        formula = substituted(formula, {"b": number(*targets)})
    else:
        parameters = "n, b"
    return f"def {name}({parameters}):\n    return {in_python(formula)}\n\n\n"


# a table of values: Python's [] does not take an index that is traced
_PICK_IN_JAX = """def pick(values, index):
    return jnp.asarray(values, dtype=float)[jnp.maximum(index, 0).astype(int)]


"""


def optax_script(schedule: Schedule) -> str:
    """A script with a schedule for optax. Raises NotExpressible."""
    formula = _only_formula(schedule, "an optax schedule is one function: use optax.multi_transform with one for each")
    # jnp.where and the like in place of if: the count is an array while JAX compiles
    body = _body(formula, "jnp", "    ")
    return f"""{_head(schedule)}# In float32 unless JAX is told otherwise: JAX_ENABLE_X64=1.
import math

import jax.numpy as jnp
import optax


{_PICK_IN_JAX if "pick(" in body else ""}def schedule(count):
    n = jnp.asarray(count, dtype=float)
    {body}


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
    body = _body(formula, "ops", "        ")
    return f"""{_head(schedule)}# In Keras' floatx: float32, unless keras.config.set_floatx("float64") says otherwise.
import math

import keras
from keras import ops


{_PICK_IN_KERAS if "pick(" in body else ""}@keras.saving.register_keras_serializable()
class Schedule(keras.optimizers.schedules.LearningRateSchedule):
    def __call__(self, step):
        n = ops.cast(step, keras.config.floatx())
        {body}

    def get_config(self):
        return {{}}


optimizer = keras.optimizers.AdamW(learning_rate=Schedule())

if __name__ == "__main__":
    for n in range({schedule.spec.total_iterations + 1}):
        print(float(Schedule()(n)))
"""


def _body(formula: str, module: str, indent: str) -> str:
    """The lines of a function of n after its first."""
    assignments, value = in_arrays(formula, module)
    return f"\n{indent}".join([*assignments, f"return {value}"])


def _only_formula(schedule: Schedule, reason: str) -> str:
    # Neither optax nor Keras has param groups, but groups of equal LRs are one schedule.
    of_groups = _formulas(schedule.spec)
    # Where no formula names the target, groups with different targets have equal LRs.
    distinct = {(formula, target if re.search(r"\bb\b", formula) else 0.0) for formula, target in of_groups}
    if len(distinct) > 1:
        raise NotExpressible(f"the {len(of_groups)} param groups have different LRs, and {reason}")
    ((formula, target),) = distinct
    return substituted(formula, {"b": number(target)})


_MOST_CHARACTERS = 3_000_000
"""Characters of a scheduler, once for each scheduler that it is nested in: some seconds of work for its formula."""


def _formulas(spec: Spec) -> list[tuple[str, float]]:
    """The LR of each param group as a formula in `n` and `b`, and the group's target, which is b.

    Raises NotExpressible for other hyperparameters, where an LR follows from the one before, and for a formula that is
    too long.
    """
    # The LRs of the groups are the first columns; momentum and other hyperparameters follow.
    if len(spec.columns) > len(spec.group_names):
        named = sorted({column.hyperparameter for column in spec.columns[len(spec.group_names) :]})
        raise NotExpressible(f"schedules of {listed(named)} go beyond what a learning-rate scheduler sets")
    characters, by_column = 0, dict[int, tuple[str, float]]()
    for track in spec.tracks:
        after = track.after_scheduler
        if after is not None:
            after.check_formula(spec.total_iterations - track.warmup.origin)
        # One for each group where the scheduler has a parameter for each.
        indices = range(len(track.columns) if after is not None and after.differs_by_group else 1)
        characters += 0 if after is None else len(after.model_dump_json()) * (_depth(after) + 2) * len(indices)
        if characters > _MOST_CHARACTERS:
            raise NotExpressible(
                f"the schedulers, with those that they are nested in, come to more than {_MOST_CHARACTERS} characters: "
                "a script for them would be too long"
            )
        formulas = [track.formula(index) for index in indices]
        by_column |= {
            column: (formulas[min(index, len(formulas) - 1)], track.targets[index])
            for index, column in enumerate(track.columns)
        }
    return [by_column[column] for column in range(len(spec.group_names))]


def _depth(scheduler: Scheduler) -> int:
    return 1 + max(map(_depth, scheduler.children.values()), default=0)


def _head(schedule: Schedule) -> str:
    label = f"{schedule.spec.label}: " if schedule.spec.label else ""
    # escaped, so that nothing in a label ends the comment
    escaped = label.encode("unicode_escape").decode("ascii")
    return f"# {escaped}Preheat schedule {schedule.id}, iterations 0 to {schedule.spec.amended_total_iterations}.\n"
