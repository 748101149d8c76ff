"""Watch: says, once each, what in a training loop keeps its LRs from being those of the schedule."""

import logging
from typing import Any

_LOG = logging.getLogger("preheat_client")
_IDLE_STEPS = 1000
_MANY_UPDATES = 200


class Watch:
    """What was noticed of the loop that steps a scheduler."""

    def __init__(self) -> None:
        self._said: set[str] = set()
        self._idle_at = self._idle_steps = 0
        self._many_until: int | None = None

    def idle(self, iteration: int) -> None:
        """A step without an update: so many are no accumulated gradients, torch does not see the updates."""
        if self._idle_at != iteration:
            self._idle_at, self._idle_steps = iteration, 0
        self._idle_steps += 1
        if self._idle_steps == _IDLE_STEPS:
            self._say(
                "idle",
                "RemoteLR.step() was called %d times while the optimizer performed no update: the LR stays that of "
                "iteration %d. If gradients are accumulated over so many batches this is as it should be; updates that "
                "torch does not see are counted with step(n).",
                _IDLE_STEPS,
                iteration,
            )

    def advanced(self, iteration: int, updates: int, total_iterations: int) -> None:
        """A step after several updates.

        Two in a row after a hundredth of the run each (or after 200 updates) are a step for each epoch; one after more
        than half of the run is it too.
        """
        is_many = updates >= _MANY_UPDATES or updates * 100 >= total_iterations
        if is_many and (self._many_until == iteration or updates * 2 > total_iterations):
            self._say(
                "many",
                "RemoteLR.step() is called once for %d updates, as if for each epoch, but each of the %d iterations of "
                'the schedule is one update: call step() after every update (Lightning: "interval": "step"), or, if '
                'the schedule counts epochs, construct RemoteLR(…, unit="epoch")',
                updates,
                total_iterations,
            )
        self._many_until = iteration + updates if is_many else None

    def other_lr(self, param_group: dict[str, Any], last: float) -> None:
        """A step that finds another LR than was set last."""
        if _has_other_lr(param_group, last):
            self._say(
                "other",
                "an LR that RemoteLR had set to %r was %r at its next step: another scheduler (ReduceLROnPlateau, "
                "SWALR, …), a callback or the loop sets LRs of the same optimizer, and RemoteLR sets its own again at "
                "each step. Step only one of them at a time, or put both into the spec (ProductLR, ChainedScheduler)",
                last,
                param_group["lr"],
            )

    def forgotten_state(self, param_groups: list[dict[str, Any]], lasts: list[float], iteration: int) -> None:
        """A run's first update after the optimizer's state was loaded, and not the scheduler's."""
        for group, last in zip(param_groups, lasts, strict=False):
            if _has_other_lr(group, last):
                self._say(
                    "forgotten",
                    "the optimizer's state was loaded, with an LR of %r, and RemoteLR begins at iteration %d with %r: "
                    "if the run goes on, load the state of RemoteLR too, or construct it with "
                    "first_iteration=<updates performed> + 1",
                    group["lr"],
                    iteration,
                    last,
                )

    def _say(self, what: str, message: str, *values: object) -> None:
        if what not in self._said:
            self._said.add(what)
            _LOG.warning(message, *values)


def refuse_chain(caller: Any) -> None:
    """Raises ValueError if a scheduler is stepped by torch's ChainedScheduler together with others."""
    if type(caller).__name__ == "ChainedScheduler" and len(getattr(caller, "_schedulers", ())) > 1:
        raise ValueError(
            "RemoteLR must not be in a ChainedScheduler with others: it sets the schedule's LR, and does not multiply "
            "the one that they have set. Put all of them into the spec, as ChainedScheduler or ProductLR"
        )


def _has_other_lr(param_group: dict[str, Any], last: float) -> bool:
    """Whether a group has not the LR that was set last. A Tensor's is not read: that would wait for the device."""
    lr = param_group["lr"]
    return isinstance(lr, float) and lr != last
