"""The service as a FastAPI application."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, FastAPI, Request

from preheat import __version__
from preheat.api.dependencies import FindingsByCurve
from preheat.api.middleware import HTTPMethods, PointLookup
from preheat.api.models import Health
from preheat.api.offload import Offload, answering
from preheat.api.openapi import complete_openapi, problems
from preheat.api.problems import add_problem_handlers
from preheat.api.queries import refuse_repeated_parameters
from preheat.api.routes import analysis, conversions, documentation, plots, schedules, specs
from preheat.errors import StoreUnavailable
from preheat.plot.cache import PictureCache
from preheat.settings import Settings
from preheat.store import Database, ScheduleStore
from preheat.store.curves import Catalogue
from preheat.workers import Limits, Setup, WorkerPool

_LOG = logging.getLogger("preheat")
_health = APIRouter(tags=["health"])

_CHECKING_AT_ONCE, _DELETING_AT_ONCE = 4, 16

PRELOADED = ("preheat.workers.background", "preheat.api.warm")
"""What worker processes import before they are made."""


def create_app(settings: Settings) -> FastAPI:
    """The service, with everything it needs built from `settings`.

    A middleware that is added to it sees every request and answer, those of the short way of points too.
    """
    app = routed_app(settings)
    catalogue = app.state.catalogue
    app.state.workers = None
    if settings.compute_workers and app.state.database.is_shared:
        app.state.workers = _worker_pool(settings)
        app.add_middleware(Offload, pool=app.state.workers, catalogue=catalogue, settings=settings)
    # The last one added is the outermost: points need nothing of what the others do.
    app.add_middleware(PointLookup, catalogue=catalogue)
    return app


def app_from_environment() -> FastAPI:
    """What each process of `preheat serve` that answers requests runs."""
    return create_app(Settings())


def routed_app(settings: Settings) -> FastAPI:
    """The routes alone, which worker processes answer heavy requests with."""
    app = FastAPI(
        title="Preheat",
        version=__version__,
        summary="Learning-rate schedules as a service",
        lifespan=_lifespan,
        docs_url=None,  # FastAPI's own pages load Swagger UI and ReDoc from another host
        redoc_url=None,
        # Both differ in what is required alone, and generated clients would get two types for each model.
        separate_input_output_schemas=False,
        # FastAPI's own telemetry would look at the environment several times a request, even where none is set up.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.database = Database(settings.database_url, settings.database_timeout_s)
    app.state.catalogue = Catalogue(ScheduleStore(app.state.database), settings.curve_cache_bytes)
    app.state.pictures = PictureCache(settings.picture_cache_bytes)
    app.state.findings = FindingsByCurve()
    app.state.checking = CapacityLimiter(_CHECKING_AT_ONCE)
    app.state.deleting = CapacityLimiter(_DELETING_AT_ONCE)
    for module in (schedules, plots, analysis, specs, conversions):
        app.include_router(module.router, prefix="/v1", dependencies=[Depends(refuse_repeated_parameters)])
    app.include_router(_health)
    app.include_router(documentation.router)
    add_problem_handlers(app)
    app.add_middleware(HTTPMethods)
    complete_openapi(app)
    return app


@_health.get("/livez", operation_id="livez", summary="Whether the process answers", responses=problems())
async def livez() -> Health:
    """Answers without touching the database."""
    return Health(status="alive", version=__version__)


@_health.get("/readyz", operation_id="readyz", summary="Whether schedules can be stored", responses=problems(503))
async def readyz(request: Request) -> Health:
    """Answers 200 if the database can be read and written at this moment, 503 if not."""
    # Threads of its own: all others may wait for a database that is locked.
    await to_thread.run_sync(request.app.state.database.check, limiter=request.app.state.checking)
    return Health(status="ready", version=__version__)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Makes the routes and looks at the database before the first request, and closes it after the last one.

    FastAPI makes its routes when they are first asked for, which two requests at once must not do. A broken database is
    reported, and tried again with each request.
    """
    await to_thread.run_sync(app.openapi)
    try:
        await to_thread.run_sync(app.state.database.check)
    except StoreUnavailable as error:
        _LOG.error(str(error))
    if app.state.workers is not None:
        app.state.workers.start()  # which takes its time beside the first requests
    yield
    if app.state.workers is not None:
        await app.state.workers.close()
    app.state.database.close()


def _worker_pool(settings: Settings) -> WorkerPool:
    limits = Limits(
        settings.compute_workers, settings.compute_queue, settings.compute_wait_s, settings.compute_timeout_s
    )
    # A worker's caches are part of its memory, of which most is for the request.
    caches = {
        "curve_cache_bytes": min(settings.curve_cache_bytes, settings.compute_memory_bytes // 4),
        "picture_cache_bytes": min(settings.picture_cache_bytes, settings.compute_memory_bytes // 8),
    }
    of_workers = settings.model_copy(update=caches)
    setup = Setup(
        answering, (routed_app, of_workers), settings.compute_memory_bytes, 2 * limits.kill_after_s, PRELOADED
    )
    return WorkerPool(setup, limits)
