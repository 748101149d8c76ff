"""Preview of a change: the answer to a dry run, as JSON or as a picture of both revisions."""

import orjson
from fastapi import Response

from preheat import formats
from preheat.api.caching import response
from preheat.api.dependencies import RequestContext
from preheat.api.live_runs import LiveRuns
from preheat.api.run_content import preview_content
from preheat.budget import in_time
from preheat.plot.options import PlotOptions
from preheat.runs.changes import ChangeRequest

PREVIEW_FORMATS = (formats.SVG, formats.PNG)


def preview_response(
    context: RequestContext, runs: LiveRuns, run_id: str, asked: ChangeRequest, if_match: str | None
) -> Response:
    """What a change would do if it were accepted now; nothing is kept."""
    media_type = formats.negotiate(context.request.headers.get("accept"), (formats.JSON, *PREVIEW_FORMATS))
    run, preview, reasons, (before, after) = runs.dry_run(run_id, asked, if_match, context.deadline)
    if media_type != formats.JSON:
        curves = [after, before]
        kind = formats.PICTURES[media_type]
        picture = context.pictures.picture(curves, PlotOptions(), kind, context.deadline)
        return response(picture, media_type=media_type, etag=run.etag)
    findings = in_time(context.lint, after)
    lint = None if findings is None else formats.findings_content(findings)
    content = {**preview_content(run, preview, reasons, runs.clock(), runs.limits), "lint": lint}
    return response(orjson.dumps(content), etag=run.etag)
