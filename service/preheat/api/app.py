"""The service as a FastAPI application."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Request

from preheat import __version__
from preheat.api.dependencies import FindingsByCurve
from preheat.api.middleware import HTTPMethods, PointLookup
from preheat.api.models import Health
from preheat.api.observed import Observed, Observer
from preheat.api.openapi import complete_openapi, problems
from preheat.api.problems import add_problem_handlers
from preheat.api.queries import refuse_repeated_parameters
from preheat.api.routes import analysis, conversions, documentation, plots, schedules, specs
from preheat.api.routes import metrics as metrics_route
from preheat.errors import StoreUnavailable
from preheat.observability import logs
from preheat.observability.metrics import Metrics
from preheat.observability.traces import tracing_from_environment
from preheat.plot.cache import PictureCache
from preheat.schedule import TORCH_VERSION
from preheat.settings import Settings
from preheat.store import Database, ScheduleStore
from preheat.store.curves import Catalogue

_LOG = logging.getLogger("preheat")
_FLUSH_TIMEOUT_S = 2.0
"""How long the last spans may take to be exported, once every request is over."""

_health = APIRouter(tags=["health"])


def create_app(settings: Settings) -> FastAPI:
    """The service, with everything it needs built from `settings`.

    A middleware that is added to it sees every request and answer, those of the short way of points too.
    """
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
    app.state.metrics = metrics = Metrics(TORCH_VERSION, settings.metrics_dir)
    app.state.tracing = tracing_from_environment()
    app.state.database = Database(settings.database_url, settings.database_timeout_s, metrics.transaction)
    app.state.catalogue = Catalogue(ScheduleStore(app.state.database), settings.curve_cache_bytes)
    app.state.pictures = PictureCache(settings.picture_cache_bytes, metrics.drawing.observe)
    metrics.watch_caches({"curves": app.state.catalogue.cache, "pictures": app.state.pictures.cache})
    metrics.watch_lost_log_lines(logs.lost_lines)
    app.state.findings = FindingsByCurve()
    for module in (schedules, plots, analysis, specs, conversions):
        app.include_router(module.router, prefix="/v1", dependencies=[Depends(refuse_repeated_parameters)])
    app.include_router(_health)
    app.include_router(documentation.router)
    app.include_router(metrics_route.router)
    add_problem_handlers(app)
    # The last one added is the outermost: points need nothing of what HTTPMethods does.
    observer = Observer(metrics, app.state.tracing, logs_points=settings.log_points)
    app.add_middleware(HTTPMethods)
    app.add_middleware(Observed, observer=observer)
    app.add_middleware(PointLookup, catalogue=app.state.catalogue, observer=observer)
    complete_openapi(app)
    return app


def app_from_environment() -> FastAPI:
    """What each worker process of `preheat serve` runs."""
    settings = Settings()
    logs.configure(settings.log_format, settings.log_level)
    return create_app(settings)


@_health.get("/livez", operation_id="livez", summary="Whether the process answers", responses=problems())
async def livez() -> Health:
    """Answers without touching the database."""
    return Health(status="alive", version=__version__)


@_health.get("/readyz", operation_id="readyz", summary="Whether schedules can be stored", responses=problems(503))
def readyz(request: Request) -> Health:
    """Answers 200 if the database can be read and written at this moment, 503 if not."""
    request.app.state.database.check()
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
    app.state.metrics.start_sharing()
    yield
    app.state.metrics.stop_sharing()
    app.state.database.close()
    if app.state.tracing:
        await to_thread.run_sync(app.state.tracing.shut_down, _FLUSH_TIMEOUT_S)
    await to_thread.run_sync(logs.flush)
