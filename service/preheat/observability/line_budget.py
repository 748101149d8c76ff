"""A budget of log lines: what anybody can provoke, as often as they like, must not fill the log."""

_LINES, _PERIOD_S = 20, 60.0


class LineBudget:
    """Admits the first 20 lines of a kind in each minute that has any, and counts the others."""

    def __init__(self) -> None:
        self._ends_at = 0.0
        self._left = self._held_back = 0

    def take(self, now: float) -> int | None:
        """How many lines were held back since the one before; None if this one is to be held back too.

        `now` is in seconds, of a clock that never goes back.
        """
        if now >= self._ends_at:
            self._ends_at, self._left = now + _PERIOD_S, _LINES
        if not self._left:
            self._held_back += 1
            return None
        self._left -= 1
        held_back, self._held_back = self._held_back, 0
        return held_back
