"""View of a run at one moment, as `runs watch` shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preheat.cli.runs.answers import NoAnswer, content_of, refusal

if TYPE_CHECKING:  # httpx takes a while to import; --help does not need it
    import httpx

_REPORTS_LOOKED_AT = 500


@dataclass(frozen=True)
class View:
    """A run, the LRs of its next iteration, its changes, and the last report of a metric: iteration and value."""

    run: Mapping[str, Any]
    groups: list[Mapping[str, Any]]
    changes: list[Mapping[str, Any]]
    metric: str
    report: tuple[int, Any] | None


async def look(http: "httpx.AsyncClient", address: str, run_id: str, metric: str) -> View:
    """A run as it is now, at the service with this address. Raises Refused, NoAnswer, ServiceError."""
    import httpx  # noqa: PLC0415

    async def get(path: str, **query: Any) -> dict[str, Any]:
        response = await http.get(f"/v1/runs/{run_id}{path}", params=query)
        if not response.is_success:
            raise refusal(response)
        return content_of(response)

    try:
        run = await get("")
        iteration = min(run["position"], run["total_iterations"])
        groups = (await get(f"/lr/{iteration}"))["groups"]
        changes = (await get("/changes"))["changes"]
        series = await get("/reports", name=metric, start=max(iteration - _REPORTS_LOOKED_AT, 0))
    except httpx.HTTPError as error:
        raise NoAnswer(address, error, may_be_done=False) from error
    last = (series["iterations"][-1], series["values"][-1]) if series["iterations"] else None
    return View(run, groups, changes, metric, last)
