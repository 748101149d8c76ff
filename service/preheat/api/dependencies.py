"""What routes are given."""

from typing import Annotated

from fastapi import Depends, Path, Request

from preheat.api.spec_body import read_spec
from preheat.budget import Deadline as _Deadline
from preheat.budget import check_length
from preheat.plot.cache import PictureCache as _PictureCache
from preheat.schedule import Schedule as _Schedule
from preheat.settings import Settings as _Settings
from preheat.store.curves import Catalogue as _Catalogue


def _catalogue(request: Request) -> _Catalogue:
    catalogue: _Catalogue = request.app.state.catalogue
    return catalogue


def _gallery(request: Request) -> _PictureCache:
    gallery: _PictureCache = request.app.state.gallery
    return gallery


def _settings(request: Request) -> _Settings:
    settings: _Settings = request.app.state.settings
    return settings


Catalogue = Annotated[_Catalogue, Depends(_catalogue)]
Gallery = Annotated[_PictureCache, Depends(_gallery)]
Settings = Annotated[_Settings, Depends(_settings)]


def _deadline(settings: Settings) -> _Deadline:
    return _Deadline(settings.compute_timeout_s)


async def _posted_schedule(request: Request, settings: Settings) -> _Schedule:
    spec = await read_spec(request, settings.max_body_bytes)
    check_length(spec, settings)
    return _Schedule(spec)


Deadline = Annotated[_Deadline, Depends(_deadline)]
PostedSchedule = Annotated[_Schedule, Depends(_posted_schedule)]
ScheduleId = Annotated[
    str,
    Path(description="A schedule's id.", examples=["630e8304e0352e14c20ae59b8f487901"], pattern=None),
]
