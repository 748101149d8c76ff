"""Place: which iteration of a run a loop runs next, as its schedulers and reads say; the loop does nothing for it."""

import weakref
from typing import Any


class Place:
    """The next iteration to run, the highest of those that the users of a run are at.

    A scheduler has it in its attributes `last_epoch` and, once its first update has begun, `is_in_use`; the client's
    thread reads them from there.
    """

    def __init__(self) -> None:
        self.at = 0
        """What a loop has asked for last."""
        self._followed: tuple[weakref.ref[Any], ...] = ()

    def follow(self, scheduler: Any) -> None:
        """Looks at a scheduler from now on."""
        alive = tuple(each for each in self._followed if each() is not None)  # replaced, never altered: two threads
        self._followed = (*alive, weakref.ref(scheduler))

    @property
    def position(self) -> int:
        """The next iteration to run."""
        schedulers = [scheduler for each in self._followed if (scheduler := each()) is not None]
        position: int = max([self.at, *(scheduler.last_epoch for scheduler in schedulers if scheduler.is_in_use)])
        return position
