"""Opening a run: finds or makes it, and looks at the schedule that it has at present; on rank 0 for all ranks."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from preheat_client._core.api import Api
from preheat_client._core.configuration import Configuration
from preheat_client._core.curve import Metadata, Row
from preheat_client._core.request import Request
from preheat_client._core.worker import Worker, run_in_thread
from preheat_client._runs.answers import RunDescription
from preheat_client._runs.attachment import Attachment
from preheat_client._runs.heartbeat import Link, Options
from preheat_client._runs.opened import Opened
from preheat_client._runs.patience import patiently
from preheat_client._runs.place import Place
from preheat_client._runs.plan import NewestRevision, ToldPlan
from preheat_client._runs.processes import Processes
from preheat_client._runs.ranks import ranks_now
from preheat_client._runs.revisions import Revisions
from preheat_client.errors import InvalidFallback, ServiceUnavailable
from preheat_client.run_status import RunHealth
from preheat_client.schedule import Schedule

_MOST_TOLD = 65_536


@dataclass(frozen=True)
class Opening:
    """What it takes to open a run: which one, how, and by whom. `open_schedule` waits only if it is told to."""

    label: str
    request: Request
    options: Options
    processes: Processes
    group: Any
    configuration: Configuration
    api: Api
    worker: Worker
    open_schedule: Callable[[str, bool], Schedule]
    is_closed: Callable[[], bool]
    reopen: Callable[[], Any]

    def open(self) -> Opened:
        """Finds or makes the run.

        Raises InvalidFallback where there is an override file, RunDiffers, InvalidSpec, RequestRefused;
        ServiceUnavailable in time.
        """
        ranks = ranks_now(self.group, self.options.speakers, self.processes)
        if not ranks.is_shared:
            return self._open_here()
        mine: list[Opened] = []

        def open_for_all() -> tuple[RunDescription, Metadata, int, list[tuple[Row, list[float]]]]:
            opened = self._open_here()
            mine.append(opened)
            start = 0 if opened.metadata.total_iterations < _MOST_TOLD else max(opened.description.position - 1, 0)
            newest = opened.plan.revisions.newest[1] if isinstance(opened.plan, NewestRevision) else None
            assert newest is not None  # noqa: S101 - it was opened here
            return opened.description, opened.metadata, start, newest._block(start, _MOST_TOLD)  # noqa: SLF001

        description, metadata, start, rows = ranks.share(open_for_all)
        if mine:
            return mine[0]
        health = RunHealth(f"run {description.label}", self.worker.enqueue)
        return self._opened(description, metadata, ToldPlan(metadata, start, rows), health, Place(), None)

    def _open_here(self) -> Opened:
        name = f"run {self.label}"
        self._refuse_override()
        health, place = RunHealth(name, self.worker.enqueue), Place()
        spec, seconds = self.request.spec_dict, self.configuration.start_timeout_s
        make = lambda: self.api.runs.find_or_make(self.label, spec)  # noqa: E731
        description = patiently(self.worker, make, seconds, name, self.is_closed)
        schedule = self.open_schedule(description.schedule_id, True)
        metadata = schedule._known.metadata  # noqa: SLF001 - as of every schedule
        if description.base_id != description.schedule_id:
            of_base = Request.of_id(description.base_id)
            metadata = patiently(self.worker, lambda: self.api.metadata(of_base), seconds, name, self.is_closed)
        revisions = Revisions(description.revision, schedule, lambda each: self.open_schedule(each, False))
        columns = metadata.all_columns
        address = self.configuration.address
        link = Link(description, columns, self.options, address, self.api.runs, self.worker, revisions, health, place)
        return self._opened(description, metadata, NewestRevision(revisions), health, place, Attachment(link))

    def _refuse_override(self) -> None:
        """An LR out of a file would be on record nowhere: who has put it there must not believe that it is used."""
        name = self.configuration.override_file
        if not name:
            return
        try:
            run_in_thread(Path(name).stat, self.configuration.timeout_s)
        except FileNotFoundError:
            return
        except (OSError, ServiceUnavailable) as error:
            raise InvalidFallback(f"override_file ({name}) cannot be looked for: {error}") from error
        raise InvalidFallback(
            f"override_file ({name}) must not be there for a run: its LRs are changed at the service. Hold it there; "
            "the file is for a schedule, create(spec)"
        )

    def _opened(
        self,
        description: RunDescription,
        metadata: Metadata,
        plan: NewestRevision | ToldPlan,
        health: RunHealth,
        place: Place,
        attachment: Attachment | None,
    ) -> Opened:
        return Opened(
            description,
            metadata.of_length(description.total_iterations),
            plan,
            self.options,
            self.processes,
            self.group,
            health,
            place,
            attachment,
            self.configuration.strict,
            self.configuration.on_state_change,
            self.reopen,
        )
