"""Export: a schedule as a script, or as a configuration, of another library."""

from collections.abc import Callable

from preheat.conversions import Target
from preheat.conversions.exporters.deepspeed import deepspeed_config
from preheat.conversions.exporters.scripts import keras_script, optax_script, torch_script
from preheat.conversions.exporters.transformers import transformers_script
from preheat.errors import NotExpressible
from preheat.schedule import Schedule

__all__ = ["TARGETS", "export"]

TARGETS: dict[Target, Callable[[Schedule], str]] = {
    "torch": torch_script,
    "transformers": transformers_script,
    "optax": optax_script,
    "keras": keras_script,
    "deepspeed": deepspeed_config,
}
"""Who writes a schedule for each library."""


def export(schedule: Schedule, target: Target) -> str:
    """The text of a schedule for `target`; a script, when it is run, prints the LR of every iteration.

    Raises NotExpressible, with the reason, where the target has no way to say the same.
    """
    if schedule.spec.amendments and target != "torch":
        raise NotExpressible(f"{target} has no words for amendments: export to torch")
    try:
        return TARGETS[target](schedule)
    except (RecursionError, MemoryError, SyntaxError):  # what CPython says of a hundred parentheses in each other
        raise NotExpressible("its formula is nested too deeply for a script") from None
