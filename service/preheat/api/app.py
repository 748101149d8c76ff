"""The service as an ASGI application."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from anyio import to_thread
from fastapi import Depends, FastAPI
from fastapi.responses import RedirectResponse
from pydantic.json_schema import models_json_schema
from starlette.types import ASGIApp

from preheat import __version__
from preheat.api.methods import Methods
from preheat.api.operations import operations
from preheat.api.point_lookup import PointLookup
from preheat.api.problems import Problem, add_problem_handlers
from preheat.api.queries import refuse_repeated_parameters
from preheat.api.routes import analysis, conversions, health, lint, plots, recipes, schedules
from preheat.curve import Curve
from preheat.errors import StoreUnavailable
from preheat.plot.cache import PictureCache
from preheat.schedule import Schedule
from preheat.settings import Settings
from preheat.specs import Spec
from preheat.store import Database, ScheduleStore
from preheat.store.curves import Catalogue

_LOG = logging.getLogger("preheat")


def create_app(settings: Settings) -> ASGIApp:
    """The service, with everything it needs built from `settings`."""
    app = _create_routes(settings)
    return PointLookup(app, app.state.catalogue)


def app_from_environment() -> ASGIApp:
    """What each worker process of `preheat serve` runs."""
    return create_app(Settings())


def _create_routes(settings: Settings) -> FastAPI:
    app = FastAPI(
        title="Preheat",
        version=__version__,
        summary="Learning-rate schedules as a service",
        lifespan=_lifespan,
        separate_input_output_schemas=False,
    )
    app.state.settings = settings
    app.state.database = Database(settings.database_url, settings.database_timeout_s)
    app.state.catalogue = Catalogue(ScheduleStore(app.state.database), settings.curve_cache_bytes)
    app.state.gallery = PictureCache(settings.picture_cache_bytes)
    for router in (schedules.router, plots.router, analysis.router, lint.router, recipes.router, conversions.router):
        app.include_router(router, prefix="/v1", dependencies=[Depends(refuse_repeated_parameters)])
    app.include_router(health.router)
    app.add_api_route("/", _to_the_documentation, include_in_schema=False)
    add_problem_handlers(app)
    app.add_middleware(Methods, described_by=app)
    _complete_openapi(app)
    return app


def _to_the_documentation() -> RedirectResponse:
    return RedirectResponse("/docs")


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Gets slow things over with before the first request.

    torch imports half of itself when the first optimizer is made. A broken database is reported, and tried again
    with each request.
    """
    await to_thread.run_sync(operations, app)
    await to_thread.run_sync(Curve, Schedule(Spec(target_lr=0.1, total_iterations=1)))
    try:
        await to_thread.run_sync(app.state.database.check)
    except StoreUnavailable as error:
        _LOG.error(str(error))
    yield


def _complete_openapi(app: FastAPI) -> None:
    """Adds what FastAPI cannot see: the spec, which we read from the body ourselves, and problem documents."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            document = generate()
            template = "#/components/schemas/{model}"
            _, extra = models_json_schema(
                [(Spec, "validation"), (Problem, "validation"), (conversions.ImportRequest, "validation")],
                ref_template=template,
            )
            schemas = document.setdefault("components", {}).setdefault("schemas", {})
            schemas |= extra["$defs"]
            for name in ("HTTPValidationError", "ValidationError"):
                schemas.pop(name, None)
            app.openapi_schema = document
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign] # FastAPI's documented way to extend it
