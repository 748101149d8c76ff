"""Opened: everything that a run is made of, once it was found or made, and what schedulers read of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from preheat_client._core.curve import Known, Metadata, View
from preheat_client._core.prefetch import NO_VIEW
from preheat_client._runs.answers import RunDescription
from preheat_client._runs.attachment import Attachment
from preheat_client._runs.heartbeat import Options
from preheat_client._runs.place import Place
from preheat_client._runs.plan import Plan
from preheat_client._runs.processes import Processes
from preheat_client.run_status import RunHealth


class Feed(Known):
    """What a scheduler reads of a run: its metadata, and the part of its LRs that the loop is in."""

    view: View = NO_VIEW


@dataclass(frozen=True)
class Opened:
    """A run as it was opened; `attachment` is None where rank 0 asks for this process too.

    `reopen` opens it again, where it was pickled to.
    """

    description: RunDescription
    metadata: Metadata
    plan: Plan
    options: Options
    processes: Processes
    group: Any
    health: RunHealth
    place: Place
    attachment: Attachment | None
    is_strict: bool
    on_state_change: Callable[[Any, Any], None] | None
    reopen: Callable[[], Any]
