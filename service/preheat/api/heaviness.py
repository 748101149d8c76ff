"""Which requests are cheap enough to be answered by the service itself, and which are heavy."""

import re
from collections.abc import Mapping
from urllib.parse import parse_qsl

from preheat.budget import MOST_VALUES_UNASKED
from preheat.curve import Curve
from preheat.errors import NotAcceptable
from preheat.formats import PICTURES, negotiate

BY_ID = re.compile(r"/v1/schedules/([0-9a-f]{32})(?:/(.*))?", re.DOTALL)
"""The path of what is said of one schedule: its id, and what follows."""

_ALWAYS_CHEAP = re.compile(r"/v1/recipes(/.*)?|(?!/v1/).*", re.DOTALL)
_CHEAP_OF_RUNS = re.compile(
    r"(GET|HEAD) /v1/runs(/[^/]+(/changes)?)?"
    r"|[A-Z]+ /v1/runs/[^/]+/(attempts|windows|reports|events|fork|rollback|finish|lock|controllers)(/.*)?"
    r"|[A-Z]+ /v1/runs/[^/]+/(changes|lr)/.+",
    re.DOTALL,
)
"""Heartbeats, events, and what people look at: none of them may wait for what takes a spec, or computes a whole run."""

_SMALL_NUMBER = re.compile(r"[0-9]{1,16}")
_MOST_PARAMETERS = 100
"""No route has as many; to name each one that is too many takes a while."""

_MOST_AMENDED = 1_000_000
"""Iterations times amendments, each of which may be in force: it takes some hundredths of a second."""


def may_be_heavy(method: str, path: str, query_string: bytes = b"") -> bool:
    """Whether a request may take long, by its method, path and query: whatever is not known to be cheap."""
    if _ALWAYS_CHEAP.fullmatch(path):
        return False
    if _CHEAP_OF_RUNS.fullmatch(f"{method} {path}") and not _is_dry_run(query_string):
        return False
    return method in {"GET", "HEAD", "POST"}


def _is_dry_run(query_string: bytes) -> bool:
    """Whether a whole run is computed to show what something would do."""
    return bool(query_string) and "dry_run" in (_query(query_string) or {})


def _query(query_string: bytes) -> dict[str, str] | None:
    """The parameters of a query; None if they are more than any route has."""
    if query_string.count(b"&") >= _MOST_PARAMETERS:
        return None
    return dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))


def asks_for_little(path: str) -> bool:
    """Whether a path is that of a schedule, of its LRs or of one of them, which may be at hand."""
    match = BY_ID.fullmatch(path)
    return match is not None and (match[2] in {None, "lr", "at"} or match[2].startswith("lr/"))


def is_at_hand(curve: Curve, path: str, query_string: bytes, accept: str | None) -> bool:
    """Whether the answer about a light curve takes some hundredths of a second at most; `path` asks for little."""
    rest = path.split("/")[4:]
    query = _query(query_string)
    if query is None:
        return False
    if not rest:
        return query.get("lint") in {"false", "0"}
    if rest == ["at"]:
        return curve.has_closed_form
    if len(rest) == 2:  # noqa: PLR2004 - lr, and an iteration
        return not _SMALL_NUMBER.fullmatch(rest[1]) or _has(curve, range(int(rest[1]), int(rest[1]) + 1))
    window = _window(query, curve.total_iterations)
    # A picture is drawn, whatever its window. What is no window is refused, which takes no time.
    return not _is_picture(accept) and (window is None or _has(curve, window))


def _is_picture(accept: str | None) -> bool:
    """Whether the format that an Accept header prefers is drawn; one that admits none is refused."""
    try:
        return negotiate(accept) in PICTURES
    except NotAcceptable:
        return False


def _has(curve: Curve, window: range) -> bool:
    window = range(window.start, min(window.stop, curve.total_iterations + 1), window.step)
    if not window:
        return True
    if len(window) * len(curve.columns) > MOST_VALUES_UNASKED or len(window) * curve.amendments > _MOST_AMENDED:
        return False
    return curve.is_near(window[0], window[-1])


def _window(query: Mapping[str, str], total_iterations: int) -> range | None:
    """The iterations that a query asks for; None if it will be refused."""
    found = {"start": "0", "stop": str(total_iterations + 1), "step": "1", **query}
    bounds = [found[name] for name in ("start", "stop", "step")]
    if not all(map(_SMALL_NUMBER.fullmatch, bounds)) or int(found["step"]) == 0:
        return None
    return range(*map(int, bounds))
