"""Updates: counts those that an optimizer performs, by one pair of hooks on it however many schedulers it has had."""

import weakref
from collections.abc import Callable
from typing import Any

REPLACED = -1


class Updates:
    """The updates that an optimizer has performed since its scheduler's last step.

    `count` is `REPLACED` once another scheduler counts them.
    """

    def __init__(self) -> None:
        self.count = REPLACED
        self._hooks: list[Any] = []

    def count_one(self, *_: Any) -> None:
        """After each update."""
        self.count += 1

    def start(self, optimizer: Any, before_each: Callable[[], None]) -> None:
        """Counts from 0, in the place of whichever counted before; a bound method is called before each update."""
        before = _COUNTING.get(optimizer)
        if before is not self:
            if before is not None:
                before.stop()
            self._hooks = [
                optimizer.register_step_pre_hook(_weakly(before_each)),
                optimizer.register_step_post_hook(self.count_one),
            ]
            _COUNTING[optimizer] = self
        self.count = 0

    def stop(self) -> None:
        """Counts no more."""
        for hook in self._hooks:
            hook.remove()
        self.count = REPLACED


def _weakly(method: Any) -> Callable[..., None]:
    """A hook that calls a bound method, and keeps no scheduler, which would live as long as the optimizer."""
    held, function = weakref.ref(method.__self__), method.__func__  # a WeakMethod would cost a tenth of the step

    def hook(*_: Any) -> None:
        scheduler = held()
        if scheduler is not None:
            function(scheduler)

    return hook


def is_counted(optimizer: Any) -> bool:
    """Whether a scheduler counts the updates of an optimizer already."""
    return optimizer in _COUNTING


def unwrapped(optimizer: Any) -> Any:
    """The optimizer within what accelerate, Lightning, DeepSpeed or apex wrap around it: torch sees it step."""
    inner = optimizer
    while (deeper := getattr(inner, "optimizer", None)) is not None:
        inner = deeper
    return inner if hasattr(inner, "register_step_post_hook") else optimizer


_COUNTING: "weakref.WeakKeyDictionary[Any, Updates]" = weakref.WeakKeyDictionary()
"""Which counter each optimizer has at present: hooks of a notebook's discarded schedulers must not pile up."""
