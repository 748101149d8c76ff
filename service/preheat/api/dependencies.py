"""Dependencies of routes: the store's curves, pictures, lint findings, settings, deadline, and the posted body."""

import re
from typing import Annotated
from weakref import WeakKeyDictionary

from fastapi import Depends, Path, Request
from fastapi.concurrency import run_in_threadpool

from preheat.budget import Deadline as _Deadline
from preheat.budget import check_length
from preheat.curve import Curve
from preheat.errors import BodyTooLarge, UnsupportedMediaType
from preheat.lint import Finding, lint
from preheat.plot.contents import PictureCache
from preheat.schedule import Schedule as _Schedule
from preheat.settings import Settings as _Settings
from preheat.specs import Spec, parse_spec
from preheat.store.curves import Catalogue as _Catalogue

_JSON = re.compile(r"application/([\w.-]+\+)?json", re.IGNORECASE)


class FindingsByCurve:
    """Lint's findings, computed once for each curve and kept as long as the curve itself is in memory."""

    def __init__(self) -> None:
        self._findings: WeakKeyDictionary[Curve, list[Finding]] = WeakKeyDictionary()

    def of(self, curve: Curve, deadline: _Deadline) -> list[Finding]:
        """The findings about a curve. Raises ComputeTimeout past the deadline."""
        findings = self._findings.get(curve)
        if findings is None:  # two requests at once may both compute them, which is cheaper than a lock
            findings = self._findings[curve] = lint(curve, deadline)
        return findings


# Dependencies are async where they do no work: FastAPI would take each of the others to a thread and back.
async def _catalogue(request: Request) -> _Catalogue:
    catalogue: _Catalogue = request.app.state.catalogue
    return catalogue


async def _pictures(request: Request) -> PictureCache:
    pictures: PictureCache = request.app.state.pictures
    return pictures


async def _findings(request: Request) -> FindingsByCurve:
    findings: FindingsByCurve = request.app.state.findings
    return findings


async def _settings(request: Request) -> _Settings:
    settings: _Settings = request.app.state.settings
    return settings


Catalogue = Annotated[_Catalogue, Depends(_catalogue)]
Pictures = Annotated[PictureCache, Depends(_pictures)]
Findings = Annotated[FindingsByCurve, Depends(_findings)]
Settings = Annotated[_Settings, Depends(_settings)]


async def deadline(settings: Settings) -> _Deadline:
    """When the request's time for computing is over."""
    return _Deadline(settings.compute_timeout_s)


async def json_body(request: Request, settings: Settings) -> bytes:
    """The body, which is not parsed yet. Raises UnsupportedMediaType, BodyTooLarge."""
    content_type = request.headers.get("content-type", "")
    if not _JSON.fullmatch(content_type.partition(";")[0].strip()):
        raise UnsupportedMediaType(content_type)
    body = bytearray()
    async for chunk in request.stream():  # a body without Content-Length is cut off where it is too large
        body += chunk
        if len(body) > settings.max_body_bytes:
            raise BodyTooLarge(settings.max_body_bytes)
    return bytes(body)


JSONBody = Annotated[bytes, Depends(json_body)]


def checked_schedule(spec: Spec, settings: _Settings) -> _Schedule:
    """The schedule of a spec that came with a request. Raises LimitExceeded if it is too long."""
    check_length(spec, settings)
    return _Schedule(spec)


async def _posted_schedule(body: JSONBody, settings: Settings) -> _Schedule:
    spec = await run_in_threadpool(parse_spec, body)  # not on the event loop: a large spec takes a second
    return checked_schedule(spec, settings)


Deadline = Annotated[_Deadline, Depends(deadline)]
PostedSchedule = Annotated[_Schedule, Depends(_posted_schedule)]
ScheduleId = Annotated[
    str,
    Path(description="A schedule's id.", examples=["630e8304e0352e14c20ae59b8f487901"], pattern=None),
]
