"""Routes: what the jobs of live runs do: attach, ask for windows, report, say goodbye."""

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from preheat.api.dependencies import Context, JSONBody
from preheat.api.openapi import answer, json_body_entry, problems
from preheat.api.queries import NoQuery
from preheat.api.run_content import attempt_content
from preheat.api.run_dependencies import GzippedJSONBody, RunId, Runs, run_response, tagged
from preheat.api.run_job_content import attached_content, reports_content, window_content
from preheat.api.run_models import AttachedAnswer, AttemptList, ReportsAnswer, RunAnswer, RunWindowAnswer
from preheat.api.run_record import held_rows
from preheat.api.run_requests import AttachRequest, CloseRequest, ReportsRequest, WindowRequest, body_of
from preheat.specs.fields import MAX_ITERATION

router = APIRouter(tags=["runs"], default_response_class=Response)


@router.post(
    "/runs/{run_id}/attempts",
    operation_id="attach",
    summary="Open the next attempt of a run, before its first update",
    openapi_extra=json_body_entry(AttachRequest),
    responses={
        **answer("The attempt was there already.", AttachedAnswer),
        **answer("The attempt is new.", AttachedAnswer, status=201),
        **problems(404, 409, 413, 415, 422, 503),
    },
)
def attach(runs: Runs, run_id: RunId, body: JSONBody, _query: Annotated[NoQuery, Query()]) -> Response:
    """The same token again gives the same attempt. 409 says why not; after `occupied` wait, and ask again."""
    run, attached, is_new = runs.attach(run_id, body_of(AttachRequest, body).value())
    return tagged(run, attached_content(run, attached, runs.clock()), 201 if is_new else 200)


@router.get(
    "/runs/{run_id}/attempts",
    operation_id="list_attempts",
    summary="The attempts of a run",
    responses={**answer("The attempts.", AttemptList), **problems(404, 422, 503)},
)
def list_attempts(runs: Runs, run_id: RunId, _query: Annotated[NoQuery, Query()]) -> Response:
    """The first first; a fork's begin with those that it shares."""
    run = runs.store.get(run_id)
    return tagged(run, {"attempts": [attempt_content(each) for each in run.attempts]})


@router.post(
    "/runs/{run_id}/attempts/{attempt}/close",
    operation_id="close_attempt",
    summary="Say goodbye",
    openapi_extra=json_body_entry(CloseRequest),
    responses={**answer("The run.", RunAnswer), **problems(404, 409, 413, 415, 422, 503)},
)
def close_attempt(
    context: Context,
    runs: Runs,
    run_id: RunId,
    attempt: Annotated[int, Path(description="The attempt.", ge=1, le=MAX_ITERATION, examples=[1])],
    body: JSONBody,
    _query: Annotated[NoQuery, Query()],
) -> Response:
    """The attempt is closed, and another process may attach at once."""
    asked = body_of(CloseRequest, body)
    return run_response(context, runs, runs.close(run_id, attempt, asked.token, asked.position))


@router.post(
    "/runs/{run_id}/windows",
    operation_id="ask_window",
    summary="The next LRs of a job, which are handed out for good; the heartbeat",
    openapi_extra=json_body_entry(WindowRequest),
    responses={**answer("The window.", RunWindowAnswer), **problems(404, 409, 413, 415, 422, 503)},
)
def ask_window(
    context: Context, runs: Runs, run_id: RunId, body: GzippedJSONBody, _query: Annotated[NoQuery, Query()]
) -> Response:
    """Answered when its end is on the disk: whatever is changed later begins after it.

    Each request acknowledges what its `acknowledged` says. The body may be compressed with gzip.
    """
    asked = body_of(WindowRequest, body)
    run, window, taken = runs.window(run_id, asked.value(), asked.batch, asked.told_values)
    curve = runs.free_curves().curve(window.schedule_id)
    values = curve, held_rows(curve, range(window.start, window.stop), context.deadline)
    return tagged(run, window_content(run, window, values, len(asked.batch), taken, runs.clock(), runs.limits))


@router.post(
    "/runs/{run_id}/reports",
    operation_id="report",
    summary="Report a loss, or any other numbers",
    openapi_extra=json_body_entry(ReportsRequest),
    responses={**answer("They are on the disk.", ReportsAnswer), **problems(404, 409, 413, 415, 422, 503)},
)
def report(runs: Runs, run_id: RunId, body: GzippedJSONBody, _query: Annotated[NoQuery, Query()]) -> Response:
    """A batch, between windows. What is known already, or comes too late, is ignored and never an error.

    Of a long batch there may be a rest, as the answer's `left_from` says: send it again.
    """
    asked = body_of(ReportsRequest, body)
    run, taken = runs.report(run_id, asked.attempt, asked.token, asked.batch, asked.told_values)
    return tagged(run, reports_content(run, len(asked.batch), taken, runs.clock()))
