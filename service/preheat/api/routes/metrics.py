"""Route: metrics, for Prometheus."""

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Request, Response

router = APIRouter(include_in_schema=False, default_response_class=Response)


@router.get("/metrics")
async def metrics(request: Request) -> Response:
    """Every metric of this service, of all its workers."""
    # A thread of its own: those of the other routes may all be taken, which is when metrics matter.
    body, media_type = await to_thread.run_sync(
        request.app.state.metrics.exposition, request.headers.get("accept"), limiter=CapacityLimiter(1)
    )
    return Response(body, headers={"content-type": media_type})
