"""Parts: what this process was told of an attempt lately, and what it has read again from the record; no I/O."""

from preheat_client._core.curve import Window
from preheat_client._runs.speaker import Part

_KEPT = 16


class Parts:
    """The last parts that were told, in order, each beginning where the one before ends, and windows of the record.

    The loop adds, any thread reads, without a lock: what is kept is replaced, never altered.
    """

    def __init__(self) -> None:
        self.told: tuple[Part, ...] = ()
        self._recorded: tuple[Window, ...] = ()

    @property
    def last(self) -> Part | None:
        """The part that was told last."""
        told = self.told
        return told[-1] if told else None

    def take(self, part: Part) -> None:
        """Adds the next part."""
        self.told = (*self.told, part)[-_KEPT:]

    def take_record(self, window: Window) -> None:
        """Adds a window of the record."""
        self._recorded = (*self._recorded, window)[-_KEPT:]

    def at(self, iteration: int) -> Part | None:
        """The part in which an iteration was told."""
        return next((part for part in reversed(self.told) if part.start <= iteration < part.stop), None)

    def window(self, iteration: int) -> Window | None:
        """The values that an iteration is to run at, if they are in memory."""
        part = self.at(iteration)
        if part is not None:
            return part.window
        return next((each for each in self._recorded if each.start <= iteration < each.start + len(each.lrs)), None)
