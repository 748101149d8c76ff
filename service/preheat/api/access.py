"""Access: the scope that each route needs, as one table; a route that is missing in it stops the service's start."""

import re
from collections.abc import Sequence
from typing import Any, Literal

from fastapi.routing import iter_route_contexts
from starlette._utils import get_route_path  # what routes themselves match: the two must never differ
from starlette.routing import BaseRoute

from preheat.keys import Scope

Access = Scope | Literal["anybody", "any key", "by setting"]
"""Who may use a route: whoever has a key with this scope, anybody, or (only to be told what is wrong) any key.

"by setting": `read` with `metrics_need_key`, else anybody.
"""

_SCHEDULE = "/v1/schedules/{schedule_id}"
_RUN = "/v1/runs/{run_id}"

ROUTES: dict[str, dict[str, Access]] = {
    # First what is asked for most: trainers repeat it.
    f"{_SCHEDULE}/lr/{{iteration}}": {"GET": "read"},
    f"{_SCHEDULE}/lr": {"GET": "read"},
    _SCHEDULE: {"GET": "read", "DELETE": "write"},
    "/v1/schedules": {"GET": "read", "POST": "write"},
    f"{_SCHEDULE}/at": {"GET": "read"},
    f"{_SCHEDULE}/plot.png": {"GET": "read"},
    f"{_SCHEDULE}/plot.svg": {"GET": "read"},
    f"{_SCHEDULE}/sum": {"GET": "read"},
    f"{_SCHEDULE}/crossing": {"GET": "read"},
    f"{_SCHEDULE}/export": {"GET": "read"},
    f"{_SCHEDULE}/resume": {"POST": "read"},  # computes, and stores nothing; so do the other two
    "/v1/lint": {"POST": "read"},
    "/v1/import": {"POST": "read"},
    "/v1/diff": {"GET": "read"},
    "/v1/plot.png": {"GET": "read"},
    "/v1/plot.svg": {"GET": "read"},
    "/v1/recipes": {"GET": "read"},
    "/v1/recipes/{name}": {"GET": "read"},
    # Live runs: what jobs do, what people and programs change, and what everybody may see.
    f"{_RUN}/windows": {"POST": "run"},
    f"{_RUN}/attempts": {"GET": "read", "POST": "run"},
    f"{_RUN}/attempts/{{attempt}}/close": {"POST": "run"},
    f"{_RUN}/reports": {"GET": "read", "POST": "run"},
    "/v1/runs": {"GET": "read", "POST": "run"},
    _RUN: {"GET": "read", "DELETE": "admin"},
    f"{_RUN}/changes": {"GET": "read", "POST": "steer"},
    f"{_RUN}/changes/{{change_id}}": {"GET": "read"},
    f"{_RUN}/changes/{{change_id}}/cancel": {"POST": "steer"},
    f"{_RUN}/controllers": {"GET": "read", "POST": "steer"},
    f"{_RUN}/controllers/{{controller_id}}": {"DELETE": "steer"},
    f"{_RUN}/rollback": {"POST": "steer", "DELETE": "steer"},
    f"{_RUN}/fork": {"POST": "steer"},
    f"{_RUN}/finish": {"POST": "steer"},
    f"{_RUN}/lock": {"PUT": "steer"},
    f"{_RUN}/events": {"GET": "read"},
    f"{_RUN}/lr": {"GET": "read"},
    f"{_RUN}/plot.png": {"GET": "read"},
    f"{_RUN}/plot.svg": {"GET": "read"},
    f"{_RUN}/lr/{{iteration}}": {"GET": "read"},
    # Probes have no key, nor has a browser that opens a page; what these say is in every copy of Preheat.
    "/livez": {"GET": "anybody"},
    "/readyz": {"GET": "anybody"},
    "/": {"GET": "anybody"},
    "/docs": {"GET": "anybody"},
    "/docs/swagger-ui-bundle.js": {"GET": "anybody"},
    "/docs/swagger-ui.css": {"GET": "anybody"},
    "/openapi.json": {"GET": "anybody"},
    # Names no schedule and no key, but says how much the service is used, and which torch it has.
    "/metrics": {"GET": "by setting"},
}
"""Who may use each method of each path; HEAD is as GET."""


def _pattern(path: str) -> str:
    # With ^ and $ as Starlette compiles a path: where it matches and this did not would be a way past the table.
    return f"(^{re.sub('{[a-z_]+}', '[^/]+', path.replace('.', '[.]'))}$)"


_ACCESS = list(ROUTES.values())
_OPEN: set[Access] = {"anybody", "by setting"}
_PATHS = re.compile("|".join(map(_pattern, ROUTES)))


def access_of(method: str, path: str, by_setting: Access) -> Access:
    """Who may send a request; `by_setting` is what settings say of routes that leave it to them.

    A path that no route has, and a method that its path has not, are for any key, to be answered 404 and 405; where
    all that a path has is for anybody, so are these.
    """
    found = _PATHS.match(path)
    if found is None or found.lastindex is None:
        return "any key"
    methods = _ACCESS[found.lastindex - 1]
    access = methods.get("GET" if method == "HEAD" else method) or _of_others(methods)
    return by_setting if access == "by setting" else access


def _of_others(methods: dict[str, Access]) -> Access:
    """Access to a path with a method that it has not."""
    return next((access for access in methods.values() if access in _OPEN), "any key")


def check_routes(routes: Sequence[BaseRoute]) -> None:
    """Returns if every method of every route is in the table. Raises LookupError."""
    for route in iter_route_contexts(routes):
        path = route.path_format or ""
        missing = sorted((route.methods or {"GET"}) - ROUTES.get(path, {}).keys() - {"HEAD"})
        if missing:
            raise LookupError(f"api/access.py must say who may use {', '.join(missing)} {path}")


def path_of(scope: Any) -> str:
    """The path of a request as the table has it, without what a proxy or a mount has put before it."""
    path: str = get_route_path(scope) if scope.get("root_path") else scope["path"]
    return path
