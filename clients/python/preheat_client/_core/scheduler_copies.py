"""Scheduler copies: what of RemoteLR can be copied and pickled, and how a copy begins."""

from collections.abc import Sequence
from typing import Any

from preheat_client._core.run_use import RunUse
from preheat_client._core.series import NOTHING, AtHand
from preheat_client._core.updates import REPLACED, Updates, is_counted

_LEFT_OUT = {"_updates", "_known", "_bound_to", "_groups", "_at_hand", "_series", "_one_lr"}


class SchedulerCopies(RunUse):
    """The part of RemoteLR for copy and pickle: a copy counts its own optimizer's updates.

    `unchanging` is what it knows of a schedule that is not ours.
    """

    unchanging: Any
    optimizer: Any
    _updates: Updates
    _at_hand: AtHand
    _one_lr: Sequence[float] | None

    def __getstate__(self) -> dict[str, Any]:
        state = {name: value for name, value in self.__dict__.items() if name not in _LEFT_OUT}
        return {**state, **self._copied_use(), "_lrs": self.get_last_lr(), "_count": self._updates.count}

    def __setstate__(self, state: dict[str, Any]) -> None:
        count = state.pop("_count")
        self.__dict__.update(state)
        self._updates = Updates()
        self._groups = self.optimizer.param_groups
        self._known = getattr(self.schedule, "_known", self.unchanging)
        self._bound_to = None
        self._at_hand, self._one_lr = NOTHING, None
        self._resume_use()
        self._looked_at = self.last_epoch
        if count != REPLACED and not is_counted(self.optimizer):
            self._updates.start(self.optimizer, self._hook)
            self._updates.count = count
            if self._resumed is not None and self._resumed["iteration"] > self.last_epoch:  # not stepped for yet
                self._begin(self._resumed["iteration"])

    def get_last_lr(self) -> list[Any]:
        """The LR of each param group, as set last."""
        raise NotImplementedError

    def _begin(self, iteration: int) -> None:
        """Sets the LR of an iteration, and counts from there."""
        raise NotImplementedError
