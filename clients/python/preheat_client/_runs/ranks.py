"""Ranks: whether this process speaks for its job alone, or rank 0 does and tells the others."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from preheat_client._runs.heartbeat import Speakers
from preheat_client._runs.processes import Processes

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """How what the speaker has reaches every rank; `group` is a process group of torch.distributed."""

    group: Any
    size: int
    is_shared: bool

    def share(self, make: Callable[[], Value]) -> Value:
        """What a function returns, or raises, on the speaker; every rank calls this."""
        if not self.is_shared:
            return make()
        from preheat_client.distributed import on_rank_zero  # noqa: PLC0415 - it imports torch

        return on_rank_zero(make, self.group)

    @property
    def is_speaker(self) -> bool:
        """Whether this process talks to the service."""
        if not self.is_shared:
            return True
        from preheat_client.distributed import rank_of  # noqa: PLC0415 - as above

        return rank_of(self.group) == 0


def ranks_now(group: Any, speakers: Speakers, processes: Processes) -> Ranks:
    """The ranks as they are at present. torch is not imported: where it is not, no process group can have been made."""
    if speakers == "all":
        return Ranks(group, processes.size, is_shared=False)
    if "torch.distributed" in sys.modules:
        from preheat_client.distributed import is_shared, size_of  # noqa: PLC0415 - as above

        if is_shared(group):
            return Ranks(group, size_of(group), is_shared=True)
    return Ranks(group, 1, is_shared=False)


def check_alone(ranks: Ranks, speakers: Speakers, processes: Processes) -> None:
    """Raises ValueError for one of several processes that could not agree on their LRs."""
    if speakers == "one" and not ranks.is_shared and processes.size > 1:
        raise ValueError(
            f"this is one of {processes.size} processes, by its environment, and torch.distributed has no process "
            "group of them: call init_process_group before the first update, so that rank 0 tells the others, or say "
            'speakers="all", so that each asks the service'
        )
