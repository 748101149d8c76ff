"""RunApi: what a client asks of a service about its runs."""

from collections.abc import Mapping, Sequence
from typing import Any

from preheat_client._core.curve import Window
from preheat_client._http import Transport
from preheat_client._runs.answers import (
    Attached,
    Change,
    Handed,
    RunDescription,
    attached_of,
    changes_of,
    handed_of,
    left_from_of,
    run_description_of,
    window_of_groups,
)

Columns = Sequence[tuple[str, str]]
"""Group and hyperparameter of each column of a run, "lr" among them."""


class RunApi:
    """The requests; each raises ServiceUnavailable or RequestRefused. Used by the client's thread alone."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def find_or_make(self, label: str, spec: Mapping[str, Any]) -> RunDescription:
        """The living run of a label; made of the spec if there is none. Raises RunDiffers if its spec is another."""
        return run_description_of(self._post("/v1/runs", {"label": label, "spec": spec}))

    def attach(self, run_id: str, body: Mapping[str, Any]) -> Attached:
        """Opens an attempt, or the same one again for the same token. Raises RunOccupied, RunSuperseded, KnowsMore."""
        return attached_of(self._post(f"/v1/runs/{run_id}/attempts", body))

    def window(self, run_id: str, body: Mapping[str, Any], columns: Columns) -> Handed:
        """The next window; the request acknowledges the one before. Raises RunSuperseded, RunFinished, KnowsMore."""
        return handed_of(self._post(f"/v1/runs/{run_id}/windows", body, may_pack=True), columns)

    def report(self, run_id: str, body: Mapping[str, Any]) -> int | None:
        """Gives reports outside of a window; the iteration from which on none were taken. Raises RunSuperseded."""
        return left_from_of(self._post(f"/v1/runs/{run_id}/reports", body, may_pack=True))

    def close(self, run_id: str, attempt: int, token: str, position: int) -> None:
        """Says goodbye: another process may attach at once. Raises RunSuperseded."""
        self._post(f"/v1/runs/{run_id}/attempts/{attempt}/close", {"token": token, "position": position})

    def changes(self, run_id: str) -> list[Change]:
        """All changes, in order of acceptance."""
        return changes_of(self._transport.request("GET", f"/v1/runs/{run_id}/changes").json_object())

    def record(self, run_id: str, attempt: int, start: int, stop: int, columns: Columns) -> Window:
        """What iterations start … stop − 1 of an attempt, and of those before it, ran at."""
        parameters = {"attempt": attempt, "start": start, "stop": stop}
        answer = self._transport.request("GET", f"/v1/runs/{run_id}/lr", parameters=parameters).json_object()
        groups = answer.get("groups")
        return window_of_groups(groups if isinstance(groups, list) else [], columns, start, stop)

    def _post(self, path: str, content: Mapping[str, Any], *, may_pack: bool = False) -> dict[str, Any]:
        return self._transport.request("POST", path, content=content, may_pack=may_pack).json_object()
