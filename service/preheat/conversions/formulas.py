"""Formulas of a whole schedule: the LR of each param group by the iteration n, which is what a script computes."""

from preheat.errors import NotExpressible
from preheat.specs import Spec


def formulas(spec: Spec) -> list[str]:
    """The LR of each param group as a formula in `n`.

    Raises NotExpressible for other hyperparameters, and where an LR follows from the one before.
    """
    if len(spec.columns) > len(spec.group_names):
        named = sorted({column.hyperparameter for column in spec.columns[len(spec.group_names) :]})
        raise NotExpressible(f"schedules of {', '.join(named)} go beyond what a learning-rate scheduler sets")
    by_column = {column: track.formula(i) for track in spec.tracks for i, column in enumerate(track.columns)}
    return [by_column[column] for column in range(len(spec.group_names))]
