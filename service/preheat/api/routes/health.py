"""Routes: health, whether the process is alive and whether it is ready."""

from fastapi import APIRouter, Request

from preheat import __version__
from preheat.api.models import Health
from preheat.api.openapi import problems

router = APIRouter(tags=["health"])


@router.get("/livez", operation_id="livez", summary="Whether the process answers", responses=problems())
async def livez() -> Health:
    """Answers without touching the database."""
    return Health(status="alive", version=__version__)


@router.get("/readyz", operation_id="readyz", summary="Whether schedules can be stored", responses=problems(503))
def readyz(request: Request) -> Health:
    """Answers 200 if the database can be read and written at this moment, 503 if not."""
    request.app.state.database.check()
    return Health(status="ready", version=__version__)
