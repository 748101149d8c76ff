"""Dependencies of routes: what every request works with (`Context`), the posted body, and the schedule in it."""

from dataclasses import dataclass
from typing import Annotated
from weakref import WeakKeyDictionary

from anyio import CapacityLimiter
from fastapi import Depends, Path, Request

from preheat.api.bodies import json_body
from preheat.api.caching import etag
from preheat.budget import Deadline, check_length
from preheat.curve import Curve
from preheat.lint import Finding, lint
from preheat.plot.cache import PictureCache
from preheat.schedule import Schedule
from preheat.settings import Settings
from preheat.specs import Spec, parse_spec
from preheat.store.curves import Catalogue


class FindingsByCurve:
    """Lint's findings, computed once for each curve and kept as long as the curve itself is in memory."""

    def __init__(self) -> None:
        self._findings: WeakKeyDictionary[Curve, list[Finding]] = WeakKeyDictionary()

    def of(self, curve: Curve, deadline: Deadline) -> list[Finding]:
        """The findings about a curve. Raises ComputeTimeout past the deadline."""
        findings = self._findings.get(curve)
        if findings is None:  # two requests at once may both compute them, which is cheaper than a lock
            findings = self._findings[curve] = lint(curve, deadline)
        return findings


@dataclass(frozen=True)
class RequestContext:
    """A request, the time that it has for computing, and what the service keeps from one request to the next."""

    request: Request
    deadline: Deadline
    settings: Settings
    catalogue: Catalogue
    pictures: PictureCache
    findings: FindingsByCurve
    deleting: CapacityLimiter

    def etag(self, *parts: object) -> str:
        """The entity tag of an answer that is made of these parts, by this version of the service."""
        return etag(self.request.app.version, *parts, *([self.root_path] if self.root_path else []))

    @property
    def root_path(self) -> str:
        """What a proxy, or an application around this one, puts before the paths of this service."""
        root: str = self.request.scope.get("root_path", "")
        return root.rstrip("/")

    def lint(self, curve: Curve) -> list[Finding]:
        """What lint says about a curve. Raises ComputeTimeout."""
        return self.findings.of(curve, self.deadline)

    def schedule(self, spec: Spec) -> Schedule:
        """The schedule of a spec that came with the request. Raises LimitExceeded if it is too long."""
        check_length(spec, self.settings)
        return Schedule(spec)


# Dependencies are async where they do no work: FastAPI would take each of the others to a thread and back.
async def deadline(request: Request) -> Deadline:
    """When the request's time for computing is over."""
    return Deadline(request.app.state.settings.compute_timeout_s)


async def _context(request: Request, deadline: Annotated[Deadline, Depends(deadline)]) -> RequestContext:
    kept = request.app.state
    return RequestContext(request, deadline, kept.settings, kept.catalogue, kept.pictures, kept.findings, kept.deleting)


Context = Annotated[RequestContext, Depends(_context)]


async def _json_body(context: Context) -> bytes:
    return await json_body(context.request, context.settings.max_body_bytes)


JSONBody = Annotated[bytes, Depends(_json_body)]


def _posted_schedule(body: JSONBody, context: Context) -> Schedule:
    return context.schedule(parse_spec(body, context.deadline.check))  # a large spec takes a second


PostedSchedule = Annotated[Schedule, Depends(_posted_schedule)]
ScheduleId = Annotated[
    str, Path(description="A schedule's id.", examples=["630e8304e0352e14c20ae59b8f487901"], pattern=None)
]
