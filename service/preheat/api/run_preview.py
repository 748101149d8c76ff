"""Previews: answers to dry runs, of changes and restarts, as JSON or as a picture of both revisions."""

from typing import Any

import orjson
from fastapi import Response

from preheat import formats
from preheat.api.caching import response
from preheat.api.dependencies import RequestContext
from preheat.api.live_runs import LiveRuns
from preheat.api.run_content import change_content, preview_content
from preheat.budget import in_time
from preheat.curve import Curve
from preheat.plot.options import PlotOptions
from preheat.runs.attempts import Attached
from preheat.runs.changes import ChangeRequest
from preheat.runs.draft import Outcome
from preheat.runs.making import RollbackRequest
from preheat.runs.run import Run

PREVIEW_FORMATS = (formats.SVG, formats.PNG)


def preview_response(
    context: RequestContext, runs: LiveRuns, run_id: str, asked: ChangeRequest, if_match: str | None
) -> Response:
    """What a change would do if it were accepted now; nothing is kept."""
    media_type = _media_type(context)
    run, preview, reasons, curves = runs.dry_run(run_id, asked, if_match, context.deadline)
    return _shown(context, run, curves, media_type, preview_content(run, preview, reasons, runs.clock(), runs.limits))


def rollback_preview_response(
    context: RequestContext, runs: LiveRuns, run_id: str, asked: RollbackRequest, if_match: str | None
) -> Response:
    """What a restart would do if the job made it now; nothing is kept."""
    media_type = _media_type(context)
    run, restarted, preview, curves = runs.rehearse_rollback(run_id, asked, if_match, context.deadline)
    now, first = runs.clock(), preview.effect
    content = {
        **preview_content(run, preview, [], now, runs.limits),
        # When, depends on the checkpoint, and on who starts the job.
        "effect": {"iteration": first, "in_s": None, "text": f"from iteration {first:,}"},
        "changes": restarted_content(run, restarted, first, now),
    }
    return _shown(context, run, curves, media_type, content)


def restarted_content(run: Run, restarted: Outcome[Attached], first: int, now: float) -> list[dict[str, Any]]:
    """What becomes of changes from a restart on, and of those before it that do not stay: each a `RestartedChange`.

    A reduction goes with its report, wherever it begins.
    """
    reasons = {event.data["change"]: event.data.get("why") for event in restarted.events if "change" in event.data}
    return [
        {
            "change": change_content(run, change, now),
            "effect": then.effect,
            "stop": then.stop_of(then.placement),
            "kind": then.placement.kind,
            "reason": reasons.get(change.id),
        }
        for change, then in zip(run.changes, restarted.run.changes, strict=True)
        if change.effect is not None and (change.effect >= first or then.placement != change.placement)
    ]


def _media_type(context: RequestContext) -> str:
    return formats.negotiate(context.request.headers.get("accept"), (formats.JSON, *PREVIEW_FORMATS))


def _shown(
    context: RequestContext, run: Run, curves: tuple[Curve, Curve], media_type: str, content: dict[str, Any]
) -> Response:
    """What would be, as content with what lint says of it, or as a picture of the curves before and after it."""
    before, after = curves
    if media_type != formats.JSON:
        picture = context.pictures.picture(
            [after, before], PlotOptions(), formats.PICTURES[media_type], context.deadline
        )
        return response(picture, media_type=media_type, etag=run.etag)
    findings = in_time(context.lint, after)
    lint = None if findings is None else formats.findings_content(findings)
    return response(orjson.dumps({**content, "lint": lint}), etag=run.etag)
