"""View of a run at one moment, as `runs watch` shows it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from preheat.cli.runs.answers import NoAnswer, content_of, refusal
from preheat.cli.runs.words import number, others_words

if TYPE_CHECKING:  # httpx takes a while to import; --help does not need it
    import httpx

_REPORTS_LOOKED_AT = 500


@dataclass(frozen=True)
class View:
    """A run, the LRs of its next iteration, its changes, and what is known of a metric."""

    run: Mapping[str, Any]
    groups: list[Mapping[str, Any]]
    changes: list[Mapping[str, Any]]
    metric: str
    report: str


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
        start = max(iteration - _REPORTS_LOOKED_AT, 0)
        series = await get("/reports", name=metric, start=start)
        report = _report_words(metric, series)
        if metric not in series["names"] and series["attempt"] > 1:
            report = f"{report} in attempt {series['attempt']}"
            attempt = run["attempt"] or (await get("/attempts"))["attempts"][-1]
            before = attempt["parent"]
            if before:
                series = await get("/reports", name=metric, start=start, stop=attempt["start"], attempt=before)
                report += f"; {_report_words(metric, series)} in attempt {before}" if series["iterations"] else ""
    except httpx.HTTPError as error:
        raise NoAnswer(address, error, may_be_done=False) from error
    return View(run, groups, changes, metric, report)


def _report_words(metric: str, series: Mapping[str, Any]) -> str:
    """The last value of a metric, or why there is none."""
    if series["iterations"]:
        value = series["values"][-1]
        shown = f"{value:.6g}" if isinstance(value, float) else str(value)
        return f"{shown} at iteration {number(series['iterations'][-1])}"
    if metric in series["names"]:
        return f"none in the last {_REPORTS_LOOKED_AT} iterations"
    return f"not reported yet, {others_words(series['names'])}"
