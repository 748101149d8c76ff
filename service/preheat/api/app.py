"""The service as a FastAPI application."""

import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import APIRouter, Depends, FastAPI, Request
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from preheat import __version__
from preheat.api.access import check_routes
from preheat.api.admission import Admission, AdmissionMiddleware
from preheat.api.browser import CORS, SecurityHeaders
from preheat.api.dependencies import FindingsByCurve
from preheat.api.keyring import KeyRing
from preheat.api.live_runs import LiveRuns
from preheat.api.middleware import HTTPMethods, PointLookup
from preheat.api.models import Health
from preheat.api.observed import Observed, Observer
from preheat.api.offload import Offload, answering
from preheat.api.openapi import complete_openapi, problems
from preheat.api.problems import add_problem_handlers
from preheat.api.queries import refuse_repeated_parameters
from preheat.api.routes import (
    analysis,
    conversions,
    documentation,
    plots,
    run_changes,
    run_history,
    run_jobs,
    run_plots,
    runs,
    schedules,
    specs,
)
from preheat.api.routes import metrics as metrics_route
from preheat.api.run_events import EventHub
from preheat.errors import ServiceStarting, ServiceStopping, StoreUnavailable
from preheat.first_key import first_key, without_file
from preheat.observability import logs
from preheat.observability.metrics import Metrics
from preheat.observability.traces import tracing_from_environment
from preheat.plot.cache import PictureCache
from preheat.schedule import TORCH_VERSION
from preheat.server import DRAINING, ON_REFUSAL
from preheat.settings import Settings
from preheat.store import Changes, Database, KeyStore, ScheduleStore
from preheat.store.curves import Catalogue
from preheat.store.keys import TOPIC as KEYS
from preheat.store.retention import Retention
from preheat.store.run_lists import count_by_state
from preheat.store.runs import TOPIC as RUNS
from preheat.store.schedules import TOPIC as SCHEDULES
from preheat.workers import PRELOADED, Limits, Setup, WorkerPool

_LOG = logging.getLogger("preheat")
_FLUSH_TIMEOUT_S = 2.0
"""How long the last spans may take to be exported, once every request is over."""

_CHECKING_AT_ONCE, _SCRAPING_AT_ONCE, _DELETING_AT_ONCE = 4, 2, 16
_health = APIRouter(tags=["health"])


def create_app(settings: Settings) -> FastAPI:
    """The service, with everything it needs built from `settings`.

    A middleware that is added to it sees every request and answer, those of the short way of points too. Raises
    ValueError if the key that the settings give cannot be one.
    """
    app, short_way = _complete_app(settings)
    app.add_middleware(short_way)
    return app


def served_app(settings: Settings) -> PointLookup:
    """The same for a server: nobody adds a middleware to it, and so points need not enter the FastAPI application."""
    app, short_way = _complete_app(settings)
    return short_way(app)


def _complete_app(settings: Settings) -> tuple[FastAPI, Callable[[ASGIApp], PointLookup]]:
    """The service without the short way of points, and that, to be put around it."""
    app = routed_app(settings)
    kept = app.state
    kept.tracing = tracing_from_environment()
    kept.retention = Retention(kept.database, kept.catalogue.used, settings.retention_days)
    kept.keyring = KeyRing(KeyStore(kept.database), first_key(settings))
    kept.changes.subscribe(KEYS, kept.keyring.reload)
    kept.metrics.count_worker()
    kept.metrics.watch_runs(lambda: count_by_state(kept.database, time.time()))
    kept.observer = observer = Observer(kept.metrics, kept.tracing, logs_points=settings.log_points)
    kept.metrics.watch_watchers(lambda: kept.run_events.count)
    admission = Admission(settings, kept.keyring)
    kept.run_events.admits = admission.admits_still
    # The last one added is the outermost.
    kept.workers = None
    if settings.compute_workers and kept.database.is_shared:
        kept.workers = _worker_pool(settings, kept.metrics)
        app.add_middleware(
            Offload,
            pool=kept.workers,
            catalogue=kept.catalogue,
            settings=settings,
            run_changed=kept.run_events.changed,
        )
    app.add_middleware(AdmissionMiddleware, admission=admission)
    if settings.cors_origins:  # before keys are asked for: a browser asks without one whether it may send one
        app.add_middleware(CORSMiddleware, allow_origins=settings.cors_origins, **CORS)
    app.add_middleware(SecurityHeaders)
    app.add_middleware(Observed, observer=observer)
    complete_openapi(app, is_key_required=kept.keyring.ring is not None)
    # Around all of them: points need nothing of what they do.
    return app, partial(PointLookup, service=app, catalogue=kept.catalogue, observer=observer, admission=admission)


def app_from_environment() -> PointLookup:
    """What each process of `preheat serve` that answers requests runs."""
    settings = Settings()
    logs.configure(settings.log_format, settings.log_level)
    return served_app(settings)


def worker_app(settings: Settings) -> FastAPI:
    """What worker processes answer heavy requests with: the routes, kept up to date with what others delete."""
    logs.configure(settings.log_format, settings.log_level)
    first_key(settings)  # none is asked for here, but problem documents must not show it
    app = routed_app(settings)
    app.state.changes.start()
    app.state.metrics.start_sharing()
    return app


def routed_app(settings: Settings) -> FastAPI:
    """The routes and what they work with."""
    app = FastAPI(
        title="Preheat",
        version=__version__,
        summary="Learning-rate schedules as a service",
        lifespan=_lifespan,
        openapi_url=None,  # FastAPI's own route would hold up every other request while it makes the document
        docs_url=None,  # its pages load Swagger UI and ReDoc from another host
        redoc_url=None,
        # Both differ in what is required alone, and generated clients would get two types for each model.
        separate_input_output_schemas=False,
        # FastAPI's own telemetry would look at the environment several times a request, even where none is set up.
        telemetry={"tracing": False, "metrics": False, "logs": False},
    )
    app.state.settings = settings
    app.state.metrics = metrics = Metrics(TORCH_VERSION, settings.metrics_dir)
    app.state.database = Database(settings.database_url, settings.database_timeout_s, metrics.transaction)
    app.state.catalogue = Catalogue(ScheduleStore(app.state.database), settings.curve_cache_bytes)
    app.state.changes = Changes(app.state.database)
    app.state.changes.subscribe(SCHEDULES, app.state.catalogue.forget)
    app.state.runs = LiveRuns(app.state.database, app.state.catalogue, settings, metrics)
    app.state.run_events = EventHub(app.state.runs.history, settings.most_watchers)
    app.state.runs.watch = app.state.run_events.changed
    app.state.changes.subscribe(RUNS, app.state.run_events.changed)
    app.state.pictures = PictureCache(settings.picture_cache_bytes, metrics.drawing.observe)
    metrics.watch_caches({"curves": app.state.catalogue.cache, "pictures": app.state.pictures.cache})
    metrics.watch_lost_log_lines(logs.lost_lines)
    app.state.findings = FindingsByCurve()
    app.state.checking = CapacityLimiter(_CHECKING_AT_ONCE)
    app.state.scraping = CapacityLimiter(_SCRAPING_AT_ONCE)
    app.state.deleting = CapacityLimiter(_DELETING_AT_ONCE)
    for module in (schedules, plots, analysis, specs, conversions, runs, run_jobs, run_changes, run_history, run_plots):
        app.include_router(module.router, prefix="/v1", dependencies=[Depends(refuse_repeated_parameters)])
    app.include_router(_health)
    app.include_router(documentation.router)
    app.include_router(metrics_route.router)
    add_problem_handlers(app)
    app.add_middleware(HTTPMethods)
    return app


@_health.get("/livez", operation_id="livez", summary="Whether the process answers", responses=problems())
async def livez() -> Health:
    """Answers without touching the database."""
    return Health(status="alive", version=__version__)


@_health.get("/readyz", operation_id="readyz", summary="Whether schedules can be stored", responses=problems(503))
async def readyz(request: Request) -> Health:
    """Answers 200 if the database can be read and written at this moment, 503 if not.

    Also 503 after the start, until a process that computes is ready, and when the service is to stop.
    """
    draining = request.scope.get("state", {}).get(DRAINING)
    if draining is not None and draining.is_set():
        raise ServiceStopping
    workers = request.app.state.workers
    if workers is not None and workers.is_starting:
        raise ServiceStarting
    # Threads of its own: all others may wait for a database that is locked.
    await to_thread.run_sync(request.app.state.database.check, limiter=request.app.state.checking)
    return Health(status="ready", version=__version__)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[Mapping[str, Any]]:
    """Makes the routes and looks at the database before the first request, and closes it after the last one.

    FastAPI makes its routes when they are first asked for, which two requests at once must not do. A broken database is
    reported, and tried again with each request.
    """
    kept = app.state
    check_routes(app.routes)
    with suppress(StoreUnavailable):  # logged by the database
        await to_thread.run_sync(kept.database.check)
    if kept.settings.without_keys:
        _LOG.warning("without_keys: whoever reaches this service can read, make and delete schedules")
    else:
        await to_thread.run_sync(kept.keyring.begin)
    kept.metrics.start_sharing()
    await to_thread.run_sync(kept.changes.start)
    kept.retention.start()
    if kept.workers is not None:
        kept.workers.start()  # which takes its time beside the first requests
    yield {ON_REFUSAL: kept.observer.refused}
    if kept.workers is not None:
        await kept.workers.close()
    for stop in (kept.changes.stop, kept.retention.stop, kept.keyring.close):
        await to_thread.run_sync(stop)
    kept.metrics.stop_sharing()
    kept.database.close()
    if kept.tracing:
        await to_thread.run_sync(kept.tracing.shut_down, _FLUSH_TIMEOUT_S)
    await to_thread.run_sync(logs.flush)


def _worker_pool(settings: Settings, metrics: Metrics) -> WorkerPool:
    limits = Limits(
        settings.compute_workers, settings.compute_queue, settings.compute_wait_s, settings.compute_timeout_s
    )
    # A worker's caches are part of its memory, of which most is for the request.
    caches = {
        "curve_cache_bytes": min(settings.curve_cache_bytes, settings.compute_memory_bytes // 4),
        "picture_cache_bytes": min(settings.picture_cache_bytes, settings.compute_memory_bytes // 8),
    }
    of_workers = settings.model_copy(update=caches | without_file(settings))
    setup = Setup(
        answering, (worker_app, of_workers), settings.compute_memory_bytes, 2 * limits.kill_after_s, PRELOADED
    )
    return WorkerPool(setup, limits, metrics)
