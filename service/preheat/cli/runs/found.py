"""Found: the run that an argument RUN means, by its id or by the label of a living run."""

import re
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from preheat.cli.runs.answers import Refused, ServiceError
from preheat.cli.runs.service import Service

RunName = Annotated[
    str,
    typer.Argument(metavar="RUN", help="Id of a run, or the label of one that is not finished.", show_default=False),
]

_ID = re.compile(r"[0-9a-f]{32}")
_MOST_NAMED = 5
_AT_ONCE = 50


def find_run(service: Service, name: str) -> dict[str, Any]:
    """The run that is meant, as it is now. Raises ServiceError where none is, or several are."""
    if _ID.fullmatch(name):
        try:
            return service.get(f"/v1/runs/{name}")
        except Refused as error:  # a label may look like an id
            if error.kind != "run-not-found":
                raise
    if not name or len(name) > 200:  # noqa: PLR2004 - no label is longer
        raise ServiceError(f"RUN ({name:.80}) must be the id or the label of a run", exit_code=2)
    named = list_runs(service, label=name)
    living = [run for run in named if not run["is_finished"]]
    if len(living) == 1:
        return service.get(path_of(living[0]))
    if living:
        raise ServiceError(f"several runs have the label {name}; say which one by its id:", *_lines(living))
    if named:
        raise ServiceError(f"every run with the label {name} is finished; say which one by its id:", *_lines(named))
    raise ServiceError(f"no run has the label or the id {name}: `preheat runs list` shows them")


def list_runs(service: Service, limit: int | None = None, **search: Any) -> list[dict[str, Any]]:
    """Runs by label, label_prefix or state, newest first, at most `limit` of them."""
    found: list[dict[str, Any]] = []
    cursor = None
    while limit is None or len(found) < limit:
        most = _AT_ONCE if limit is None else min(limit - len(found), _AT_ONCE)
        page = service.get("/v1/runs", **search, limit=most, cursor=cursor)
        found += page["runs"]
        cursor = page["next"]
        if cursor is None:
            break
    return found


def path_of(run: Mapping[str, Any]) -> str:
    """The path of a run, below which everything about it is."""
    return f"/v1/runs/{run['id']}"


def _lines(runs: list[dict[str, Any]]) -> list[str]:
    lines = [f"{run['id']}  {run['state']}, made {run['created_at'][:19]}Z" for run in runs[:_MOST_NAMED]]
    return lines if len(runs) <= _MOST_NAMED else [*lines, f"and {len(runs) - _MOST_NAMED} more"]
