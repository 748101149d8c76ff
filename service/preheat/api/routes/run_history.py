"""Routes: what a live run used and will use, what its job reported, and its events as they happen."""

from typing import Annotated

import orjson
from anyio import to_thread
from fastapi import APIRouter, Header, Path, Query, Response

from preheat import formats
from preheat.api.caching import response
from preheat.api.dependencies import Context
from preheat.api.event_stream import EventStream
from preheat.api.openapi import answer, problems
from preheat.api.queries import AttemptQuery, EventsQuery, RunWindowQuery, SeriesQuery
from preheat.api.run_content import event_content
from preheat.api.run_dependencies import RunId, Runs, tagged
from preheat.api.run_job_content import lr_content, lrs_content, series_content
from preheat.api.run_models import EventList, RunLRAnswer, RunLRsAnswer, SeriesAnswer
from preheat.api.run_record import record_of
from preheat.budget import check_values
from preheat.specs.fields import MAX_ITERATION

router = APIRouter(tags=["runs"], default_response_class=Response)


@router.get(
    "/runs/{run_id}/lr",
    operation_id="get_run_window",
    summary="Learning rates of a run, past and future",
    responses={**answer("The window.", RunLRsAnswer), **problems(404, 409, 422, 503)},
)
def get_run_window(context: Context, runs: Runs, run_id: RunId, query: Annotated[RunWindowQuery, Query()]) -> Response:
    """Of an attempt and what it goes on from; `parts` says what was used, is committed, is planned, or unknown."""
    run = runs.store.get(run_id)
    record = record_of(run, query.attempt, query.start, query.stop, query.step)
    check_values(len(record.window), record.columns, context.settings)
    return tagged(run, lrs_content(run, record, record.rows(runs.free_curves(), context.deadline), runs.clock()))


@router.get(
    "/runs/{run_id}/lr/{iteration}",
    operation_id="get_run_lr",
    summary="Learning rate of one iteration of a run",
    responses={**answer("The LR.", RunLRAnswer), **problems(404, 409, 422, 503)},
)
def get_run_lr(
    context: Context,
    runs: Runs,
    run_id: RunId,
    iteration: Annotated[int, Path(description="The iteration, from 0.", ge=0, le=MAX_ITERATION, examples=[9])],
    query: Annotated[AttemptQuery, Query()],
) -> Response:
    """To look at, not to use: what a job uses it gets as windows."""
    run = runs.store.get(run_id)
    record = record_of(run, query.attempt, iteration, iteration + 1)
    return tagged(run, lr_content(run, record, record.rows(runs.free_curves(), context.deadline), runs.clock()))


@router.get(
    "/runs/{run_id}/reports",
    operation_id="get_reports",
    summary="What the job of a run reported",
    responses={**answer("The numbers.", SeriesAnswer), **problems(404, 422, 503)},
)
def get_reports(runs: Runs, run_id: RunId, query: Annotated[SeriesQuery, Query()]) -> Response:
    """One name of one attempt, from its own lane alone."""
    run = runs.store.get(run_id)
    attempt = run.attempt_number if query.attempt is None else query.attempt
    series = runs.history.series(run.owner_of(attempt), attempt, query.name, query.start, query.stop, query.limit)
    return tagged(run, series_content(attempt, query.name, series))


@router.get(
    "/runs/{run_id}/events",
    operation_id="get_events",
    summary="What happens to a run",
    responses={**answer("The events.", EventList, formats.EVENT_STREAM), **problems(404, 406, 410, 422, 503)},
)
async def get_events(
    context: Context,
    runs: Runs,
    run_id: RunId,
    query: Annotated[EventsQuery, Query()],
    last_event_id: Annotated[
        int | None, Header(description="As `after`.", ge=0, le=MAX_ITERATION, examples=[17])
    ] = None,
) -> Response:
    """A page of events after a number; with `Accept: text/event-stream` as they happen, by default from now on."""
    request = context.request
    after = last_event_id if last_event_id is not None else query.after
    media_type = formats.negotiate(request.headers.get("accept"), (formats.JSON, formats.EVENT_STREAM))
    events, last = await to_thread.run_sync(runs.events, run_id, after, query.limit)
    if media_type == formats.JSON:
        return response(orjson.dumps({"events": [event_content(each) for each in events], "last": last}))
    return EventStream(request.app.state.run_events, run_id, after)
