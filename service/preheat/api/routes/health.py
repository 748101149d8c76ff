"""Routes: whether the service lives, and whether it is ready."""

from fastapi import APIRouter, Request
from pydantic import BaseModel, Field

from preheat import __version__
from preheat.api.problems import responses

router = APIRouter(tags=["health"])


class Health(BaseModel):
    """A sign of life."""

    status: str = Field(description="`alive` or `ready`.", examples=["ready"])
    version: str = Field(description="The service's version.", examples=["0.1.0"])


@router.get("/livez", operation_id="livez", summary="Whether the process answers", responses=responses())
async def livez() -> Health:
    """Answers without touching the database."""
    return Health(status="alive", version=__version__)


@router.get("/readyz", operation_id="readyz", summary="Whether schedules can be stored", responses=responses(503))
def readyz(request: Request) -> Health:
    """Answers 200 if the database can be read and written at this moment, 503 if not."""
    request.app.state.database.check()
    return Health(status="ready", version=__version__)
