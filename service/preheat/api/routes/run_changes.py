"""Routes: changes of live runs: made, tried, listed, cancelled; restarts and controllers."""

from typing import Annotated

from fastapi import APIRouter, Query, Response

from preheat.api.caching import response
from preheat.api.dependencies import Context, JSONBody
from preheat.api.openapi import answer, json_body_entry, problems
from preheat.api.queries import AttemptQuery, DryRunQuery, NoQuery
from preheat.api.run_change_models import (
    AcceptedAnswer,
    ChangeDescription,
    ChangeList,
    PreviewAnswer,
    RollbackPreviewAnswer,
)
from preheat.api.run_content import accepted_content, change_content, controller_content
from preheat.api.run_dependencies import (
    Author,
    ChangeId,
    ControllerId,
    Preconditions,
    RunId,
    Runs,
    run_response,
    tagged,
)
from preheat.api.run_models import ControllerAnswer, ControllerList, RunAnswer
from preheat.api.run_preview import PREVIEW_FORMATS, preview_response, rollback_preview_response
from preheat.api.run_requests import ChangeRequest, ControllerRequest, RollbackRequest, body_of
from preheat.runs.errors import ChangeNotFound

router = APIRouter(tags=["runs"], default_response_class=Response)


@router.post(
    "/runs/{run_id}/changes",
    operation_id="change_run",
    summary="Change what is still to come of a run, or try it",
    openapi_extra=json_body_entry(ChangeRequest),
    responses={
        **answer("The key was answered before; or what a dry run shows.", AcceptedAnswer | PreviewAnswer,
                 *PREVIEW_FORMATS),
        **answer("The change is accepted.", AcceptedAnswer, status=201),
        **problems(404, 406, 409, 412, 413, 415, 422, 428, 429, 503),
    },
)  # fmt: skip
def change_run(
    context: Context,
    runs: Runs,
    run_id: RunId,
    body: JSONBody,
    author: Author,
    precondition: Preconditions,
    query: Annotated[DryRunQuery, Query()],
) -> Response:
    """Needs If-Match and an Idempotency-Key; it begins with the first iteration that was not handed out, or later.

    With `?dry_run=true` neither is needed and nothing is kept: the answer says what it would do, as JSON or as a
    picture of both revisions.
    """
    asked = body_of(ChangeRequest, body)
    if query.dry_run:
        return preview_response(context, runs, run_id, asked.value(author), precondition.if_match)
    run, accepted = runs.change(run_id, asked.value(author), precondition, context.deadline)
    return tagged(run, accepted_content(run, accepted, runs.clock(), runs.limits), 200 if accepted.is_repeated else 201)


@router.get(
    "/runs/{run_id}/changes",
    operation_id="list_changes",
    summary="The changes of a run",
    responses={**answer("The changes.", ChangeList), **problems(404, 422, 503)},
)
def list_changes(runs: Runs, run_id: RunId, query: Annotated[AttemptQuery, Query()]) -> Response:
    """In order of acceptance, with their status in an attempt."""
    run, now = runs.store.get(run_id), runs.clock()
    return tagged(run, {"changes": [change_content(run, each, now, query.attempt) for each in run.changes]})


@router.get(
    "/runs/{run_id}/changes/{change_id}",
    operation_id="get_change",
    summary="A change of a run",
    responses={**answer("The change.", ChangeDescription), **problems(404, 422, 503)},
)
def get_change(runs: Runs, run_id: RunId, change_id: ChangeId, query: Annotated[AttemptQuery, Query()]) -> Response:
    """With its status in an attempt."""
    run = runs.store.get(run_id)
    found = run.change_of(change_id)
    if found is None:
        raise ChangeNotFound(change_id)
    return tagged(run, change_content(run, found, runs.clock(), query.attempt))


@router.post(
    "/runs/{run_id}/changes/{change_id}/cancel",
    operation_id="cancel_change",
    summary="Take back a change that was not handed out yet",
    responses={**answer("It is out.", AcceptedAnswer), **problems(404, 409, 412, 422, 428, 503)},
)
def cancel_change(
    runs: Runs,
    run_id: RunId,
    change_id: ChangeId,
    author: Author,
    precondition: Preconditions,
    _query: Annotated[NoQuery, Query()],
) -> Response:
    """Needs If-Match and an Idempotency-Key. One that was handed out is taken back by the operation `revert`."""
    run, accepted = runs.cancel(run_id, change_id, author, precondition)
    return tagged(run, accepted_content(run, accepted, runs.clock(), runs.limits))


@router.post(
    "/runs/{run_id}/rollback",
    operation_id="roll_back",
    summary="Ask the job to restart after an iteration, or try it",
    openapi_extra=json_body_entry(RollbackRequest),
    responses={
        **answer("The run; or what a dry run shows.", RunAnswer | RollbackPreviewAnswer, *PREVIEW_FORMATS),
        **problems(404, 406, 409, 412, 413, 415, 422, 428, 503),
    },
)
def roll_back(
    context: Context,
    runs: Runs,
    run_id: RunId,
    body: JSONBody,
    author: Author,
    precondition: Preconditions,
    query: Annotated[DryRunQuery, Query()],
) -> Response:
    """Needs If-Match and an Idempotency-Key. Until the job has restarted there, other changes are refused.

    With `?dry_run=true` neither is needed and nothing is kept, as with changes.
    """
    asked = body_of(RollbackRequest, body).value(author)
    if query.dry_run:
        return rollback_preview_response(context, runs, run_id, asked, precondition.if_match)
    return run_response(context, runs, runs.roll_back(run_id, asked, precondition))


@router.delete(
    "/runs/{run_id}/rollback",
    operation_id="withdraw_rollback",
    summary="Take back a restart that was asked for",
    responses={**answer("The run.", RunAnswer), **problems(404, 409, 412, 422, 428, 503)},
)
def withdraw_rollback(
    context: Context,
    runs: Runs,
    run_id: RunId,
    author: Author,
    precondition: Preconditions,
    _query: Annotated[NoQuery, Query()],
) -> Response:
    """Needs If-Match."""
    return run_response(context, runs, runs.withdraw_rollback(run_id, author, precondition))


@router.get(
    "/runs/{run_id}/controllers",
    operation_id="list_controllers",
    summary="The controllers of a run",
    responses={**answer("The controllers.", ControllerList), **problems(404, 422, 503)},
)
def list_controllers(runs: Runs, run_id: RunId, _query: Annotated[NoQuery, Query()]) -> Response:
    """Rules that follow what the job reports."""
    run = runs.store.get(run_id)
    return tagged(run, {"controllers": [controller_content(each) for each in run.controllers]})


@router.post(
    "/runs/{run_id}/controllers",
    operation_id="add_controller",
    summary="Let torch's ReduceLROnPlateau follow a reported number",
    openapi_extra=json_body_entry(ControllerRequest),
    responses={
        **answer("It was there already.", ControllerAnswer),
        **answer("The controller is new.", ControllerAnswer, status=201),
        **problems(404, 409, 413, 415, 422, 503),
    },
)
def add_controller(
    runs: Runs, run_id: RunId, body: JSONBody, author: Author, _query: Annotated[NoQuery, Query()]
) -> Response:
    """It counts what is reported of iterations that are not handed out yet; a reduction is a change like any other.

    The same again is the one that there is.
    """
    asked = body_of(ControllerRequest, body)
    run, controller, is_new = runs.control(run_id, asked.metric, asked.parameters, author)
    return tagged(run, controller_content(controller), 201 if is_new else 200)


@router.delete(
    "/runs/{run_id}/controllers/{controller_id}",
    operation_id="remove_controller",
    summary="Remove a controller",
    status_code=204,
    responses={204: {"description": "It is removed; its reductions stay."}, **problems(404, 422, 503)},
)
def remove_controller(
    runs: Runs, run_id: RunId, controller_id: ControllerId, author: Author, _query: Annotated[NoQuery, Query()]
) -> Response:
    """Its reductions stay."""
    runs.release(run_id, controller_id, author)
    return response(b"", 204)
