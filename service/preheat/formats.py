"""Formats of answers: learning rates as JSON, CSV and NPY, media types, and which of them an Accept header prefers."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, get_args
from urllib.parse import urlencode

import numpy as np
import orjson

from preheat.conversions import Target
from preheat.curve import Curve, Floats
from preheat.errors import NotAcceptable
from preheat.lint import Finding
from preheat.schedule import Schedule

JSON = "application/json"
PNG = "image/png"
SVG = "image/svg+xml"
CSV = "text/csv"
NPY = "application/x-npy"
TEXT = "text/plain"
EVENT_STREAM = "text/event-stream"

PICTURES = {PNG: "png", SVG: "svg"}
"""Media types of pictures, each with what `plot` calls its kind."""

WINDOW_FORMATS = (JSON, PNG, SVG, CSV, NPY)
"""What a window of LRs can be answered as; the first is the default."""


MOST_ACCEPT_CHARACTERS = 1000
"""Several times what browsers send; a header may have many thousand ranges, which the event loop would compare."""


def negotiate(accept: str | None, formats: Sequence[str] = WINDOW_FORMATS) -> str:
    """The format that an Accept header prefers (RFC 9110 §12.5.1); at equal weight the earlier of ours.

    Parameters of a media range other than its weight (`text/csv; header=present`) are ignored. Raises NotAcceptable
    if the header admits none, or has more than 1,000 characters: of one that was read in part, nobody could tell what
    it prefers.
    """
    accept = accept or "*/*"
    if len(accept) > MOST_ACCEPT_CHARACTERS:
        rule = f"Accept ({len(accept)} characters) must have at most {MOST_ACCEPT_CHARACTERS}, and admit one of"
        raise NotAcceptable(formats, rule)
    ranges: dict[str, float] = {}
    for media_range, weight in (_media_range(part) for part in accept.split(",") if part.strip()):
        ranges[media_range] = max(weight, ranges.get(media_range, 0.0))
    weights = {media_type: _weight(media_type, ranges) for media_type in formats}
    # max takes the first of equals, so that the order of `formats` decides.
    best = max(formats, key=weights.__getitem__)
    if weights[best] <= 0:
        raise NotAcceptable(formats)
    return best


def schedule_content(schedule: Schedule, root_path: str = "") -> dict[str, Any]:
    """A schedule without its learning rates, as plain data: an `api.models.ScheduleAnswer`.

    `root_path` is what a proxy puts before the paths of this service, here and below.
    """
    return {
        **_heading(schedule, root_path),
        "links": all_links(schedule.id, root_path),
        "spec": schedule.spec_dict,
        "torch_version": schedule.torch_version,
        "computes": schedule.computes,
        "groups": [{"name": name} for name in schedule.spec.group_names],
    }


def summary_content(schedule: Schedule, created_at: int | None, root_path: str = "") -> dict[str, Any]:
    """What a list says of a schedule, as plain data: an `api.models.ScheduleSummary`; `created_at` in seconds."""
    spec = schedule.spec
    return {
        "id": schedule.id,
        "label": spec.label,
        "target_lr": spec.target_lr,
        "total_iterations": spec.amended_total_iterations,
        "after_scheduler": spec.after_scheduler and spec.after_scheduler.type,
        "created_at": None if created_at is None else f"{datetime.fromtimestamp(created_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "links": links(schedule.id, root_path),
    }


def links(schedule_id: str, root_path: str = "") -> dict[str, Any]:
    """Where to find a schedule, its LRs and its pictures: an `api.links.Links`."""
    path = f"{root_path}/v1/schedules/{schedule_id}"
    return {"self": path, "lr": f"{path}/lr", "plot_png": f"{path}/plot.png", "plot_svg": f"{path}/plot.svg"}


def all_links(schedule_id: str, root_path: str = "") -> dict[str, Any]:
    """Where to find everything about a schedule: an `api.links.ScheduleLinks`."""
    own = links(schedule_id, root_path)
    path = own["self"]
    return {
        **own,
        "point": f"{path}/lr/{{iteration}}",
        "at": f"{path}/at?epoch={{epoch}}",
        "lint": f"{path}?lint=true",
        "sum": f"{path}/sum",
        "crossing": f"{path}/crossing?value={{value}}",
        "diff": f"{root_path}/v1/diff?a={schedule_id}&b={{other_id}}",
        "resume": f"{path}/resume?iteration={{iteration}}",
        "export": {target: f"{path}/export?to={target}" for target in get_args(Target)},
        "delete": path,
    }


def findings_content(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Lint's findings as plain data."""
    return [asdict(finding) for finding in findings]


def window_json(curve: Curve, window: range, lrs: Floats, root_path: str = "") -> bytes:
    """A window as JSON, every float with all its digits: an `api.models.WindowAnswer`."""
    content = _heading(curve.schedule, root_path)
    content["links"]["next"] = _next_link(curve, window, root_path)
    return _json({**content, **_bounds(window), "groups": lists_by_group(curve, lrs)})


def schedule_window_json(
    curve: Curve, window: range, lrs: Floats, findings: Sequence[Finding] | None, root_path: str = ""
) -> bytes:
    """A schedule with a window of its LRs: an `api.models.ScheduleWindowAnswer`; `lint` is null without findings."""
    content = schedule_content(curve.schedule, root_path)
    content["links"]["next"] = _next_link(curve, window, root_path)
    content["groups"] = lists_by_group(curve, lrs)
    content |= _bounds(window)
    content["is_complete"] = window == range(curve.total_iterations + 1)
    content["lint"] = None if findings is None else findings_content(findings)
    return _json(content)


def window_csv(curve: Curve, window: range, lrs: Floats) -> bytes:
    """A window as CSV: a header `iteration,<group>,…,<group>.<hyperparameter>,…`, then a row per iteration."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(["iteration", *(column.name for column in curve.columns)])
    # Numbers need no quoting, and csv.writer takes twice as long for a million rows.
    for iteration, row in zip(window, lrs.tolist(), strict=True):
        text.write(f"{iteration},{','.join(map(repr, row))}\n")
    return text.getvalue().encode()


def window_npy(lrs: Floats) -> bytes:
    """A window as NPY: float64, shape (rows, columns)."""
    data = io.BytesIO()
    np.save(data, lrs, allow_pickle=False)
    return data.getvalue()


def point_json(curve: Curve, iteration: int, lrs: list[float]) -> bytes:
    """The values of one iteration as JSON: an `api.models.PointAnswer`."""
    return orjson.dumps({"iteration": iteration, "groups": by_group(curve, lrs)})


def _bounds(window: range) -> dict[str, int]:
    return {"start": window.start, "stop": window.stop, "step": window.step}


def _next_link(curve: Curve, window: range, root_path: str) -> str | None:
    following = _following(window, curve.total_iterations)
    path = links(curve.schedule.id, root_path)["lr"]
    return None if following is None else f"{path}?{urlencode(_bounds(following))}"


def _following(window: range, total_iterations: int) -> range | None:
    """The window of up to as many iterations that follows; None at the end of the run, and after an empty one."""
    size = len(window) * window.step
    start = window.start + size
    if not size or start > total_iterations:
        return None
    return range(start, min(start + size, total_iterations + 1), window.step)


def lists_by_group(curve: Curve, lrs: Floats) -> list[dict[str, Any]]:
    """Each group with a list per LR and other hyperparameter, from values of shape (iterations, columns)."""
    # orjson writes only arrays whose rows are contiguous in memory, and a row here is a column of the window.
    return by_group(curve, np.ascontiguousarray(lrs.T))


def _heading(schedule: Schedule, root_path: str) -> dict[str, Any]:
    return {
        "id": schedule.id,
        "total_iterations": schedule.spec.amended_total_iterations,
        "columns": [asdict(column) for column in schedule.spec.columns],
        "links": links(schedule.id, root_path),
    }


def by_group(curve: Curve, values: Sequence[Any] | Floats) -> list[dict[str, Any]]:
    """Each group with its LR and its other hyperparameters, from one value (or one list) per column."""
    names = curve.group_names
    if len(curve.columns) == 1:  # most of the points that are asked for
        return [{"name": names[0], "lr": values[0]}]
    # Columns begin with every group's LR, in the order of the groups; the other hyperparameters follow.
    groups: list[dict[str, Any]] = [{"name": name, "lr": lr} for name, lr in zip(names, values, strict=False)]
    others = curve.columns[len(names) :]
    if others:
        by_name = dict(zip(names, groups, strict=True))
        for column, value in zip(others, values[len(names) :], strict=True):
            by_name[column.group].setdefault("hyperparameters", {})[column.hyperparameter] = value
    return groups


def _json(content: dict[str, Any]) -> bytes:
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def _media_range(part: str) -> tuple[str, float]:
    media_range, *parameters = (piece.strip().lower() for piece in part.split(";"))
    weight = next((value[2:] for value in parameters if value.startswith("q=")), "1")
    try:
        return media_range, min(max(float(weight), 0.0), 1.0)
    except ValueError:
        return media_range, 0.0  # a weight that is no number asks for nothing


def _weight(media_type: str, ranges: Mapping[str, float]) -> float:
    """The weight of the most specific range that covers the type."""
    patterns = (media_type, media_type.partition("/")[0] + "/*", "*/*")
    return next((ranges[pattern] for pattern in patterns if pattern in ranges), 0.0)
