"""Routes: what lint says about a spec."""

from typing import Annotated

import orjson
from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool

from preheat.api.answers import Remark, remarks
from preheat.api.dependencies import Catalogue, Deadline, Settings
from preheat.api.media_types import JSON
from preheat.api.openapi_parts import SPEC_BODY, answers
from preheat.api.problems import responses
from preheat.api.queries import NoQuery
from preheat.api.spec_body import read_spec
from preheat.budget import check_length
from preheat.curve import Curve
from preheat.lint import lint, refusals
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec

router = APIRouter(tags=["lint"])


class LintAnswer(BaseModel):
    """What lint says about a spec."""

    is_valid: bool = Field(description="Whether the spec would be taken: it has no error.", examples=[True])
    findings: list[Remark] = Field(description="The gravest first.")


@router.post(
    "/lint",
    operation_id="lint_spec",
    summary="What a spec does that its author may not have meant",
    openapi_extra={"requestBody": SPEC_BODY},
    responses={**answers(200, "The findings.", LintAnswer), **responses(413, 415, 422, 503)},
    response_class=Response,
)
async def lint_spec(
    request: Request,
    _query: Annotated[NoQuery, Query()],
    settings: Settings,
    catalogue: Catalogue,
    deadline: Deadline,
) -> Response:
    """Findings about a valid spec, or an error for each rule that it breaks; nothing is stored."""
    try:
        spec = await read_spec(request, settings.max_body_bytes)
    except InvalidSpec as error:
        findings = refusals(error)
    else:
        check_length(spec, settings)
        curve: Curve = await run_in_threadpool(catalogue.curve_of, Schedule(spec))
        findings = await run_in_threadpool(lint, curve, deadline)
    is_valid = all(finding.severity != "error" for finding in findings)
    content = {"is_valid": is_valid, "findings": remarks(findings)}
    return Response(orjson.dumps(content), headers={"cache-control": "no-store"}, media_type=JSON)
