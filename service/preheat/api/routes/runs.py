"""Routes: live runs, made, listed, described, forked, locked, finished and deleted."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Response

from preheat.api.caching import response
from preheat.api.dependencies import Context, JSONBody, RequestContext
from preheat.api.openapi import answer, json_body_entry, problems
from preheat.api.queries import NoQuery, RunListQuery, cursor
from preheat.api.run_content import summary_content
from preheat.api.run_dependencies import Author, Preconditions, RunId, Runs, run_response
from preheat.api.run_models import RunAnswer, RunList
from preheat.api.run_requests import ForkRequest, LockRequest, RunRequest, body_of, spec_at
from preheat.schedule import Schedule

router = APIRouter(tags=["runs"], default_response_class=Response)


@router.post(
    "/runs",
    operation_id="create_run",
    summary="Find the run of a label, or make it",
    openapi_extra=json_body_entry(RunRequest),
    responses={
        **answer("The living run of that label.", RunAnswer),
        **answer("The run is new.", RunAnswer, status=201),
        **problems(404, 409, 413, 415, 422, 503),
    },
)
def create_run(context: Context, runs: Runs, body: JSONBody, _query: Annotated[NoQuery, Query()]) -> Response:
    """The same request on every rank of a job, and after every restart, gives the same run.

    409 if the label's run has another spec, with the difference, or is finished. With `unique: false` there is a new
    run each time.
    """
    asked = body_of(RunRequest, body)
    run, is_new = runs.make(asked.label, _base(context, asked), is_unique=asked.unique)
    return run_response(context, runs, run, 201 if is_new else 200, location=f"{context.root_path}/v1/runs/{run.id}")


def _base(context: RequestContext, asked: RunRequest) -> Schedule:
    """The schedule of a new run. Raises InvalidSpec, LimitExceeded, ScheduleNotFound."""
    if asked.schedule_id is not None:
        return context.catalogue.curve(asked.schedule_id).schedule
    schedule = context.schedule(spec_at(("spec",), asked.spec, context.deadline.check))
    # Made here, while nothing waits: whoever attaches gets its first window at once.
    context.catalogue.curve_of(schedule)
    return schedule


@router.get(
    "/runs",
    operation_id="list_runs",
    summary="List live runs, newest first",
    responses={**answer("A page.", RunList), **problems(422, 503)},
)
def list_runs(context: Context, runs: Runs, query: Annotated[RunListQuery, Query()]) -> Response:
    """A page of runs by label and state; `next` is the cursor of the following one."""
    found, following = runs.page(query.search, query.limit, query.before)
    now, root = runs.clock(), context.root_path
    summaries = [summary_content(run, now, runs.limits, root) for run in found]
    return response(orjson.dumps({"runs": summaries, "next": None if following is None else cursor(following)}))


@router.get(
    "/runs/{run_id}",
    operation_id="get_run",
    summary="A live run with its present attempt",
    responses={**answer("The run.", RunAnswer), **problems(404, 422, 503)},
)
def get_run(context: Context, runs: Runs, run_id: RunId, _query: Annotated[NoQuery, Query()]) -> Response:
    """Where it stands; its ETag is what a change needs as If-Match."""
    return run_response(context, runs, runs.store.get(run_id))


@router.delete(
    "/runs/{run_id}",
    operation_id="delete_run",
    summary="Remove a run that is over",
    status_code=204,
    responses={204: {"description": "It is removed."}, **problems(404, 409, 422, 503)},
)
def delete_run(runs: Runs, run_id: RunId, _query: Annotated[NoQuery, Query()]) -> Response:
    """With its history. 409 unless it is finished, or its job is closed or has never been."""
    runs.delete(run_id)
    return Response(status_code=204)


@router.post(
    "/runs/{run_id}/fork",
    operation_id="fork_run",
    summary="Make another run that shares the history up to an iteration",
    openapi_extra=json_body_entry(ForkRequest),
    responses={
        **answer("The key was answered before.", RunAnswer),
        **answer("The new run.", RunAnswer, status=201),
        **problems(404, 409, 413, 415, 422, 428, 503),
    },
)
def fork_run(
    context: Context,
    runs: Runs,
    run_id: RunId,
    body: JSONBody,
    author: Author,
    precondition: Preconditions,
    _query: Annotated[NoQuery, Query()],
) -> Response:
    """Needs an Idempotency-Key. The run stays as it is; a checkpoint of it can be loaded in the fork."""
    asked = body_of(ForkRequest, body).value()
    run, is_new = runs.fork(run_id, asked, author, precondition.key)
    return run_response(context, runs, run, 201 if is_new else 200, location=f"{context.root_path}/v1/runs/{run.id}")


@router.post(
    "/runs/{run_id}/finish",
    operation_id="finish_run",
    summary="End a run",
    responses={**answer("The run.", RunAnswer), **problems(404, 422, 503)},
)
def finish_run(
    context: Context, runs: Runs, run_id: RunId, author: Author, _query: Annotated[NoQuery, Query()]
) -> Response:
    """It takes nothing more from now on; again, it changes nothing."""
    return run_response(context, runs, runs.finish(run_id, author))


@router.put(
    "/runs/{run_id}/lock",
    operation_id="lock_run",
    summary="Lock a run for changes, or open it",
    openapi_extra=json_body_entry(LockRequest),
    responses={**answer("The run.", RunAnswer), **problems(404, 413, 415, 422, 503)},
)
def lock_run(
    context: Context, runs: Runs, run_id: RunId, body: JSONBody, author: Author, _query: Annotated[NoQuery, Query()]
) -> Response:
    """While it is locked, changes are refused; its job goes on."""
    is_locked = body_of(LockRequest, body).lock == "locked"
    return run_response(context, runs, runs.lock(run_id, author, is_locked=is_locked))
