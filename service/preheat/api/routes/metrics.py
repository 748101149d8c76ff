"""Route: metrics, for Prometheus."""

from anyio import to_thread
from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False, default_response_class=Response)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Every metric of this service, of all its workers."""
    # Threads of its own: those of the other routes may all be taken, which is when metrics matter.
    kept = request.app.state
    body, media_type = await to_thread.run_sync(
        kept.metrics.exposition, request.headers.get("accept"), limiter=kept.scraping
    )
    return Response(body, headers={"content-type": media_type})
