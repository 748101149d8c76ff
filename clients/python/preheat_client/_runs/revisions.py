"""Revisions: the schedules that a run has had lately, fetched ahead, to look at and to go on along in an outage."""

from collections.abc import Callable

from preheat_client._core.curve import Window
from preheat_client.schedule import Schedule

_KEPT = 2


class Revisions:
    """The schedules of the newest revisions, by number.

    Those are added by the client's thread, and read by any, without a lock: what is kept is replaced, never altered.
    """

    def __init__(self, revision: int, schedule: Schedule, open_later: Callable[[str], Schedule]) -> None:
        """`open_later` opens a schedule by its id, and does not wait for it."""
        self._schedules = {revision: schedule}
        self._coming: dict[int, Schedule] = {}
        self._open_later = open_later

    @property
    def newest(self) -> tuple[int, Schedule]:
        """The newest revision whose LRs have arrived."""
        self._take_over()
        revision = max(self._schedules)
        return revision, self._schedules[revision]

    def see(self, revision: int, schedule_id: str, iteration: int) -> None:
        """Notes a revision that the service has named: it is fetched, first around an iteration, if it is a new one."""
        if revision > max({*self._schedules, *self._coming}):
            known = [each for each in self._schedules.values() if each.id == schedule_id]
            coming = known[0] if known else self._open_later(schedule_id)
            coming._prefetch.focus(iteration)  # noqa: SLF001 - for this alone
            self._coming = {revision: coming}

    def has(self, revision: int, iteration: int) -> bool:
        """Whether the loop could go on along a revision from an iteration on."""
        self._take_over()
        return self.rows(iteration, 1, revision) is not None

    def spec(self, revision: int) -> dict[str, object] | None:
        """The spec of a revision, None if it has not arrived."""
        self._take_over()
        found = self._schedules.get(revision)
        return None if found is None else found.spec

    def rows(self, start: int, count: int, revision: int | None) -> tuple[int, Window] | None:
        """The next iterations of a revision, the newest by default; None if they are not known exactly."""
        if revision is None:
            revision = self.newest[0]
        schedule = self._schedules.get(revision)
        window = None if schedule is None else schedule._exact(start, start + count)  # noqa: SLF001 - as above
        return None if window is None else (revision, window)

    def focus(self, iteration: int) -> None:
        """Notes where the loop is: what is missing there is fetched."""
        for schedule in (*self._schedules.values(), *self._coming.values()):
            schedule._prefetch.focus(iteration)  # noqa: SLF001 - as above

    def _take_over(self) -> None:
        coming = {revision: each for revision, each in self._coming.items() if each._prefetch.curve is not None}  # noqa: SLF001
        if coming:
            known = self._schedules | coming
            self._schedules = {revision: known[revision] for revision in sorted(known)[-_KEPT:]}
            self._coming = {revision: each for revision, each in self._coming.items() if revision not in coming}
