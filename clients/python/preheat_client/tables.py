"""A schedule's LRs as one table, for frameworks that compile the schedule into the training step."""

from collections.abc import Sequence
from typing import Any

from preheat_client.schedule import Schedule

LONGEST = 10_000_000


def lr_table(schedule: Schedule) -> Sequence[Any]:
    """LRs of iterations 0 … total_iterations, all of them.

    Raises ValueError for a schedule of several param groups or of more than 10,000,000 iterations, which are to be set
    update by update; what `Schedule.lrs` raises.
    """
    check_one_group(schedule)
    if schedule.total_iterations > LONGEST:
        raise ValueError(
            f"total_iterations ({schedule.total_iterations}) must not exceed {LONGEST} for a compiled schedule: set "
            "the LR of each update instead"
        )
    return schedule.lrs()


def check_one_group(schedule: Schedule) -> None:
    """Raises ValueError for a schedule of several param groups, where the framework has one LR."""
    if len(schedule.group_names) > 1:
        raise ValueError(f"param_groups ({', '.join(schedule.group_names)}) must be one: there is one LR to set")
