"""The service as a FastAPI application."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from anyio import to_thread
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.middleware.cors import CORSMiddleware

from preheat import __version__
from preheat.api.admission import Admission, AdmissionMiddleware
from preheat.api.browser import CORS, SecurityHeaders
from preheat.api.dependencies import FindingsByCurve
from preheat.api.first_key import first_key
from preheat.api.keyring import KeyRing
from preheat.api.middleware import HTTPMethods, PointLookup
from preheat.api.models import Health
from preheat.api.observed import Observed, Observer
from preheat.api.openapi import complete_openapi, problems
from preheat.api.problems import add_problem_handlers
from preheat.api.queries import refuse_repeated_parameters
from preheat.api.routes import analysis, conversions, documentation, plots, schedules, specs
from preheat.api.routes import metrics as metrics_route
from preheat.errors import ServiceStopping, StoreUnavailable
from preheat.observability import logs
from preheat.observability.metrics import Metrics
from preheat.observability.traces import tracing_from_environment
from preheat.plot.cache import PictureCache
from preheat.schedule import TORCH_VERSION
from preheat.server import DRAINING
from preheat.settings import Settings
from preheat.store import Changes, Database, KeyStore, ScheduleStore
from preheat.store.curves import Catalogue
from preheat.store.retention import Retention
from preheat.store.schedules import TOPIC

_LOG = logging.getLogger("preheat")
_FLUSH_TIMEOUT_S = 2.0
"""How long the last spans may take to be exported, once every request is over."""

_health = APIRouter(tags=["health"])


def create_app(settings: Settings) -> FastAPI:
    """The service, with everything it needs built from `settings`.

    A middleware that is added to it sees every request and answer, those of the short way of points too. Raises
    ValueError if the key that the settings give cannot be one.
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
    app.state.changes = Changes(app.state.database)
    app.state.changes.subscribe(TOPIC, app.state.catalogue.forget)
    app.state.retention = Retention(app.state.database, app.state.catalogue.used, settings.retention_days)
    app.state.keyring = KeyRing(KeyStore(app.state.database), first_key(settings))
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
    admission = Admission(settings, app.state.keyring)
    app.add_middleware(HTTPMethods)
    app.add_middleware(AdmissionMiddleware, admission=admission)
    if settings.origins:  # before keys are asked for: a browser asks without one whether it may send one
        app.add_middleware(CORSMiddleware, allow_origins=settings.origins, **CORS)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Observed, observer=observer)
    app.add_middleware(PointLookup, catalogue=app.state.catalogue, observer=observer, admission=admission)
    complete_openapi(app, is_key_required=app.state.keyring.ring is not None)
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
    """Answers 200 if the database can be read and written at this moment, 503 if not and when it is to stop."""
    draining = request.scope.get("state", {}).get(DRAINING)
    if draining is not None and draining.is_set():
        raise ServiceStopping
    request.app.state.database.check()
    return Health(status="ready", version=__version__)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Makes the routes and looks at the database before the first request, and closes it after the last one.

    FastAPI makes its routes when they are first asked for, which two requests at once must not do. A broken database is
    reported, and tried again with each request.
    """
    await to_thread.run_sync(app.openapi)
    with suppress(StoreUnavailable):  # logged by the database
        await to_thread.run_sync(app.state.database.check)
    if app.state.settings.without_keys:
        _LOG.warning("without_keys: whoever reaches this service can read, make and delete schedules")
    else:
        await to_thread.run_sync(app.state.keyring.begin)
    app.state.metrics.start_sharing()
    app.state.changes.start()
    app.state.retention.start()
    yield
    for thread in (app.state.changes, app.state.retention):
        await to_thread.run_sync(thread.stop)
    await to_thread.run_sync(app.state.keyring.close)
    app.state.metrics.stop_sharing()
    app.state.database.close()
    if app.state.tracing:
        await to_thread.run_sync(app.state.tracing.shut_down, _FLUSH_TIMEOUT_S)
    await to_thread.run_sync(logs.flush)
