"""RunUse: the part of a scheduler that has to do with runs: their LRs are looked at until an update uses them."""

from collections.abc import Callable, Mapping
from typing import Any

IN_SEQUENTIAL_LR = (
    "a run must not be in a SequentialLR, whose other schedulers would set LRs that are not on record: put all phases "
    "into its spec"
)


class RunUse:
    """What a scheduler of a run does besides setting LRs.

    Making it and loading a state only look at what is planned. The first update after that uses its LR: the process
    attaches, and the LR is set anew. `is_in_use` says whether it has; the LRs of a schedule may be used at any time.

    A copy of one that is in use only looks, and refuses to make an update: two loops would say where the run is.
    """

    schedule: Any
    last_epoch: int
    is_in_use: bool
    _resumed: Mapping[str, Any] | None
    _after_last: int
    _looked_at: int
    """The iteration whose LR was set last, before an update has attached."""

    def _start_use(self, schedule: Any) -> None:
        self.is_in_use, self._resumed, self._is_copy = not is_live(schedule), None, False
        if is_live(schedule):
            schedule.follow(self)

    def _look_from(self, state: Mapping[str, Any]) -> None:
        """Goes on from a loaded state: its LR is looked at, and the next update attaches."""
        if not is_live(self.schedule):
            return
        mine = self.state_dict()
        if self.is_in_use and state == mine:
            return
        if self.is_in_use:  # what ran up to here did run, in the attempt that is left
            self.schedule.reach(mine["iteration"])
        self.is_in_use, self._resumed, self._is_copy = False, state, False

    def _use_state(self, iteration: int) -> dict[str, Any]:
        """The part of a state that is the run's; until an update attaches, that of the state that was loaded."""
        resumed = self._resumed
        if resumed is not None and not self.is_in_use and (self._is_copy or not self.schedule.is_begun):
            return {**resumed, "iteration": iteration}
        state: dict[str, Any] = self.schedule.state_dict(iteration)
        return state

    def _copied_use(self) -> dict[str, Any]:
        """What a copy has in the place of its own: it goes on as from a checkpoint that was saved now."""
        if not is_live(self.schedule) or not self.is_in_use:
            return {}
        return {"is_in_use": False, "_resumed": self.state_dict(), "_is_copy": True}

    def _resume_use(self) -> None:
        """Begins as a copy; one that was unpickled where its run has not begun is none, and may attach."""
        if is_live(self.schedule):
            self._is_copy = self._is_copy and self.schedule.is_begun
            self.schedule.follow(self)

    @property
    def _source(self) -> Any:
        """What LRs are read from."""
        return self.schedule if self.is_in_use else self.schedule.planned

    @property
    def _hook(self) -> Callable[[], None]:
        """What runs before each update."""
        return self._before_update if is_live(self.schedule) else self._set_for_new_groups

    def use(self) -> None:
        """Sets what the update that follows is to run at; for adapters that know of it before the hook does."""
        if is_live(self.schedule):
            self._before_update()

    def _before_update(self) -> None:
        self._set_for_new_groups()
        if not self.is_in_use:
            self._check_use()
            self.schedule.begin(self.last_epoch, self._resumed, self)
            self.is_in_use = True
            self._set_used(self.last_epoch)
        elif self.last_epoch >= self._after_last:  # the step before has left the last LR, and did not use it again
            self._set_used(self.last_epoch)
        elif self._has_other_lr() and (lrs := self._other_lrs()):
            self.schedule.ran_at(self.last_epoch, lrs)

    def _check_use(self) -> None:
        """Raises RuntimeError for a copy, ValueError for one that waits in a SequentialLR, which has put it back."""
        if self.last_epoch != self._looked_at:
            raise ValueError(IN_SEQUENTIAL_LR)
        if self._is_copy:
            raise RuntimeError(
                f"this RemoteLR is a copy of one that trains {self.schedule!r}, and must not: train with the original, "
                "which goes back to where the copy was made by loading its state_dict(); to train with both, construct "
                "a RemoteLR on the second optimizer"
            )

    def state_dict(self) -> dict[str, Any]:
        """As the scheduler has it."""
        raise NotImplementedError

    def _set_for_new_groups(self) -> None:
        """Sets the LR where param groups were added or loaded."""
        raise NotImplementedError

    def _has_other_lr(self) -> bool:
        """Whether a group has not the very number that was set last; a Tensor is none."""
        raise NotImplementedError

    def _other_lrs(self) -> dict[str, float]:
        """The LRs that groups have and that were not set last, by param group of the schedule."""
        raise NotImplementedError

    def _set_used(self, iteration: int) -> None:
        """Sets what an update is about to run at."""
        raise NotImplementedError


def is_live(schedule: Any) -> bool:
    """Whether it is a run, whose LRs are handed out as they are used."""
    return bool(getattr(schedule, "is_live", False))
