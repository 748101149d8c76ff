"""Dependencies of routes about live runs: the runs, who asks, the headers of a change, and answers about a run."""

from typing import Annotated, Any

import orjson
from fastapi import Depends, Header, Path, Request, Response

from preheat.api.admission import KEY_NAME
from preheat.api.bodies import gzipped_json_body
from preheat.api.caching import response
from preheat.api.dependencies import Context, RequestContext
from preheat.api.live_runs import LiveRuns
from preheat.api.run_content import run_content
from preheat.runs.changes import Precondition
from preheat.runs.run import Run

NOBODY = "anonymous"
"""The author of a change at a service without keys."""


async def _runs(request: Request) -> LiveRuns:
    found: LiveRuns = request.app.state.runs
    return found


async def _author(request: Request) -> str:
    name: str = request.scope.get(KEY_NAME, NOBODY)
    return name


async def _precondition(
    if_match: Annotated[
        str | None, Header(description="The run's ETag that its author saw.", max_length=200, examples=['"1.3.2"'])
    ] = None,
    idempotency_key: Annotated[
        str | None,
        Header(description="New for every change; a retry has the same.", max_length=200, examples=["5c0a5f9be1a4"]),
    ] = None,
) -> Precondition:
    return Precondition(if_match, idempotency_key)


async def _gzipped_json_body(context: Context) -> bytes:
    return await gzipped_json_body(context.request, context.settings.max_body_bytes)


Runs = Annotated[LiveRuns, Depends(_runs)]
Author = Annotated[str, Depends(_author)]
Preconditions = Annotated[Precondition, Depends(_precondition)]
GzippedJSONBody = Annotated[bytes, Depends(_gzipped_json_body)]
RunId = Annotated[str, Path(description="A run's id.", examples=["0123456789abcdef0123456789abcdef"])]
ChangeId = Annotated[str, Path(description="A change's id.", examples=["0123456789abcdef"])]
ControllerId = Annotated[str, Path(description="A controller's id.", examples=["0123456789abcdef"])]


def run_response(context: RequestContext, runs: LiveRuns, run: Run, status: int = 200, **headers: str) -> Response:
    """A run as an answer, with its ETag."""
    content = run_content(run, runs.clock(), runs.limits, context.root_path)
    return tagged(run, content, status, **headers)


def tagged(run: Run, content: dict[str, Any], status: int = 200, **headers: str) -> Response:
    """An answer about a run, with the run's ETag."""
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return response(body, status, etag=run.etag, **headers)
