"""What the service says about a schedule, and how it is written down."""

import csv
import hashlib
import io
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import orjson
from fastapi import Request, Response
from pydantic import BaseModel, Field

from preheat import __version__
from preheat.curve import Curve, Floats
from preheat.lint import Finding
from preheat.schedule import Schedule
from preheat.specs import Spec

IMMUTABLE = "public, max-age=31536000, immutable"
"""For what follows from a schedule's id: it can never change."""

_ID = "630e8304e0352e14c20ae59b8f487901"


class Remark(BaseModel):
    """What lint has to say about one thing."""

    severity: str = Field(description="error, warning or info.", examples=["warning"])
    rule: str = Field(description="Name of the rule.", examples=["rising-at-end"])
    pointer: str = Field(description="JSON pointer into the spec.", examples=["/after_scheduler"])
    iteration: int | None = Field(None, description="Where it happens, if anywhere.", examples=[1000])
    detail: str = Field(description="What happens.", examples=["the LR rises at the end of the run"])
    remedy: str = Field(description="What to do about it.", examples=["end the decay with the run"])


class Links(BaseModel):
    """Where to find more about a schedule."""

    self: str = Field(description="The schedule.", examples=[f"/v1/schedules/{_ID}"])
    lr: str = Field(description="Its learning rates.", examples=[f"/v1/schedules/{_ID}/lr"])
    plot_png: str = Field(description="Its picture as PNG.", examples=[f"/v1/schedules/{_ID}/plot.png"])
    plot_svg: str = Field(description="Its picture as SVG.", examples=[f"/v1/schedules/{_ID}/plot.svg"])


class GroupName(BaseModel):
    """A param group."""

    name: str = Field(description="Name of the param group.", examples=["default"])


class ColumnName(BaseModel):
    """What a column of an answer has the values of."""

    group: str = Field(description="Name of the param group.", examples=["default"])
    hyperparameter: str = Field(description="lr, momentum, weight_decay, …", examples=["lr"])


class ScheduleAnswer(BaseModel):
    """A schedule without its learning rates."""

    id: str = Field(description="Hash of the schedule as it was written down.", examples=[_ID])
    spec: Spec = Field(description="The normalised spec: every default filled in.")
    torch_version: str | None = Field(
        description="The torch that it was made under; null where no torch scheduler computes.", examples=["2.13.0"]
    )
    computes: bool = Field(description="Whether this service's torch gives the LRs that it has.", examples=[True])
    total_iterations: int = Field(description="Iterations of the run, warm-up included.", examples=[20])
    groups: list[GroupName] = Field(description="The param groups, in order.")
    columns: list[ColumnName] = Field(description="The columns of CSV and NPY, in order: every group's LR first.")
    links: Links = Field(description="Where to find more.")


class LintedScheduleAnswer(ScheduleAnswer):
    """A schedule and what lint says about it."""

    lint: list[Remark] | None = Field(
        description="What its author may not have meant, the gravest first; null where the schedule does not compute."
    )


class GroupLRs(BaseModel):
    """Learning rates of one param group."""

    name: str = Field(description="Name of the param group.", examples=["default"])
    lr: list[float] = Field(description="One LR per iteration of the window.", examples=[[0.008, 0.009, 0.01]])
    hyperparameters: dict[str, list[float]] | None = Field(
        None,
        description="Others that have a schedule, by name, if there are any.",
        examples=[{"momentum": [0.9, 0.89]}],
    )


class WindowAnswer(BaseModel):
    """Learning rates of iterations start, start + step, … below stop: a column per param group."""

    id: str = Field(description="The schedule's id.", examples=[_ID])
    total_iterations: int = Field(description="Iterations of the run, warm-up included.", examples=[20])
    start: int = Field(description="First iteration.", examples=[8])
    stop: int = Field(description="Iteration before which the window ends.", examples=[11])
    step: int = Field(description="Distance of two iterations.", examples=[1])
    groups: list[GroupLRs] = Field(description="The values, a list per param group and hyperparameter.")
    columns: list[ColumnName] = Field(description="The columns of CSV and NPY, in order: every group's LR first.")
    links: Links = Field(description="Where to find more.")


class ScheduleWindowAnswer(WindowAnswer):
    """A schedule with a window of its learning rates."""

    spec: Spec = Field(description="The normalised spec: every default filled in.")
    torch_version: str | None = Field(
        description="The torch that it was made under; null where no torch scheduler computes.", examples=["2.13.0"]
    )
    computes: bool = Field(description="Whether this service's torch gives the LRs that it has.", examples=[True])
    lint: list[Remark] = Field(description="What its author may not have meant, the gravest first.")


class GroupLR(BaseModel):
    """Learning rate of one param group."""

    name: str = Field(description="Name of the param group.", examples=["default"])
    lr: float = Field(description="The LR.", examples=[0.009])
    hyperparameters: dict[str, float] | None = Field(
        None, description="Others that have a schedule, by name, if there are any.", examples=[{"momentum": 0.9}]
    )


class PointAnswer(BaseModel):
    """Learning rates of one iteration."""

    iteration: int = Field(description="The iteration.", examples=[9])
    groups: list[GroupLR] = Field(description="One entry per param group.")


class UnreadableSchedule(BaseModel):
    """A stored schedule that cannot be read."""

    id: str = Field(description="Its id.", examples=[_ID])
    reason: str = Field(description="damaged, or unknown-content of a later version.", examples=["damaged"])
    detail: str = Field(description="What is wrong.", examples=["its content is not what its id is the hash of"])


class ScheduleList(BaseModel):
    """A page of schedules, newest first."""

    schedules: list[ScheduleAnswer] = Field(description="The page.")
    unreadable: list[UnreadableSchedule] = Field(description="Schedules of the page that cannot be read.")
    next: str | None = Field(description="Cursor of the next page; null on the last.", examples=["MTI"])


def schedule_content(schedule: Schedule) -> dict[str, Any]:
    """A `ScheduleAnswer` as plain data."""
    return {
        "id": schedule.id,
        "spec": schedule.spec_dict,
        "torch_version": schedule.torch_version,
        "computes": schedule.computes,
        "total_iterations": schedule.spec.total_iterations,
        "groups": [{"name": name} for name in schedule.spec.group_names],
        "columns": [{"group": each.group, "hyperparameter": each.hyperparameter} for each in schedule.spec.columns],
        "links": _links(schedule.id),
    }


def remarks(findings: Sequence[Finding]) -> list[dict[str, Any]]:
    """Lint's findings as plain data."""
    return [asdict(finding) for finding in findings]


def window_json(curve: Curve, window: range, lrs: Floats, lint: Sequence[Finding] | None = None) -> bytes:
    """A window as JSON, every float with all its digits.

    With findings of lint a `ScheduleWindowAnswer`, which has the spec too; without a `WindowAnswer`.
    """
    content = schedule_content(curve.schedule)
    if lint is None:
        del content["spec"], content["torch_version"], content["computes"]
    else:
        content["lint"] = remarks(lint)
    content |= {"start": window.start, "stop": window.stop, "step": window.step}
    content["groups"] = _by_group(curve, np.ascontiguousarray(lrs.T))
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def window_csv(curve: Curve, window: range, lrs: Floats) -> bytes:
    """A window as CSV: a header `iteration,<group>,…,<group>.<hyperparameter>,…`, then a row per iteration."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(["iteration", *(column.name for column in curve.columns)])
    for iteration, row in zip(window, lrs.tolist(), strict=True):
        text.write(f"{iteration},{','.join(map(repr, row))}\n")
    return text.getvalue().encode()


def window_npy(lrs: Floats) -> bytes:
    """A window as NPY: float64, shape (rows, columns)."""
    data = io.BytesIO()
    np.save(data, lrs, allow_pickle=False)
    return data.getvalue()


def point_json(curve: Curve, iteration: int, lrs: list[float]) -> bytes:
    """A `PointAnswer` as JSON."""
    groups = _by_group(curve, lrs)
    return orjson.dumps({"iteration": iteration, "groups": groups})


def etag(*parts: object) -> str:
    """A strong entity tag: what an answer is made of, and the version that writes it down."""
    return f'"{hashlib.sha256(repr((__version__, parts)).encode()).hexdigest()[:32]}"'


def point_etag(schedule_id: str, iteration: int) -> str:
    """The strong entity tag of a point: as `etag`, made without hashing, since points are asked for so often."""
    return f'"{__version__}.{schedule_id}.{iteration}"'


def is_not_modified(request: Request, tag: str) -> bool:
    """Whether the client already has the answer with this tag (RFC 9110 §13.1.2)."""
    tags = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    return tag in tags or "*" in tags


def not_modified(tag: str, cache_control: str) -> Response:
    """304."""
    return Response(status_code=304, headers={"etag": tag, "cache-control": cache_control, "vary": "accept"})


def _by_group(curve: Curve, values: Sequence[Any] | Floats) -> list[dict[str, Any]]:
    """Each group with its LR and its other hyperparameters, from one value (or one list) per column."""
    names = curve.group_names
    groups: dict[str, dict[str, Any]] = {}
    for name, lr in zip(names, values[: len(names)], strict=True):
        groups[name] = {"name": name, "lr": lr}
    for column, value in zip(curve.columns[len(names) :], values[len(names) :], strict=True):
        groups[column.group].setdefault("hyperparameters", {})[column.hyperparameter] = value
    return list(groups.values())


def _links(schedule_id: str) -> dict[str, str]:
    path = f"/v1/schedules/{schedule_id}"
    return {"self": path, "lr": f"{path}/lr", "plot_png": f"{path}/plot.png", "plot_svg": f"{path}/plot.svg"}
