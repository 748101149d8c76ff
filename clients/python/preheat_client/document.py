"""What the service says about a schedule, without its LRs."""

import json
import sys
from dataclasses import dataclass
from typing import Any

from preheat_client.errors import ServiceUnavailable


@dataclass(frozen=True)
class Request:
    """Which schedule is meant: that of a spec, or the one with an id."""

    spec: str | None = None
    """The spec as canonical JSON."""
    schedule_id: str | None = None

    @property
    def key(self) -> str:
        """The request as one text, the same wherever it is made."""
        return f"id {self.schedule_id}" if self.spec is None else f"spec {self.spec}"

    @property
    def name(self) -> str:
        """What logs call the schedule before its id is known."""
        return f"schedule {self.schedule_id}" if self.schedule_id else "the schedule of the spec"

    @staticmethod
    def of_spec(spec: dict[str, Any]) -> "Request":
        """The request for a spec. Raises TypeError if it is not JSON."""
        return Request(spec=json.dumps(spec, sort_keys=True))

    @property
    def spec_dict(self) -> dict[str, Any]:
        """The spec, empty if there is only an id."""
        spec: dict[str, Any] = json.loads(self.spec or "{}")
        return spec


@dataclass(frozen=True)
class Document:
    """A schedule without its LRs. `total_iterations` is `UNKNOWN` where nothing but a constant is known."""

    id: str | None
    spec: dict[str, Any]
    total_iterations: int
    group_names: tuple[str, ...]
    hyperparameter_columns: tuple[tuple[str, str], ...] = ()

    @property
    def columns(self) -> int:
        """LRs and other hyperparameters of one iteration."""
        return len(self.group_names) + len(self.hyperparameter_columns)

    def has_shape_of(self, other: "Document") -> bool:
        """Whether `lr(n)` gives the same param groups, in the same order, for both."""
        return self.group_names == other.group_names or len(self.group_names) == len(other.group_names) == 1


UNKNOWN = sys.maxsize


def document_of(answer: dict[str, Any], request: Request) -> Document:
    """The schedule in an answer of the service.

    Raises ServiceUnavailable unless it is one, and the one that was asked for as far as that can be told.
    """
    try:
        names = tuple(_of(group["name"], str) for group in answer["groups"])
        columns = [(_of(column["group"], str), _of(column["hyperparameter"], str)) for column in answer["columns"]]
        total_iterations = _of(answer["total_iterations"], int)
        others = tuple(columns[len(names) :])
        document = Document(_of(answer["id"], str), _of(answer["spec"], dict), total_iterations, names, others)
    except (KeyError, TypeError) as error:
        raise ServiceUnavailable(f"the service answered something that is not a schedule ({error!r})") from error
    if not names or columns[: len(names)] != [(name, "lr") for name in names]:
        raise ServiceUnavailable("the service answered a schedule whose columns are not those of its param groups")
    _check(document, request)
    return document


def _check(document: Document, request: Request) -> None:
    if document.total_iterations < 1:
        raise ServiceUnavailable(f"the service answered a schedule of {document.total_iterations} iterations")
    if request.schedule_id not in {None, document.id}:
        raise ServiceUnavailable(f"the service answered schedule {document.id}, not {request.schedule_id}")
    asked = request.spec_dict.get("total_iterations")
    if isinstance(asked, int) and asked != document.total_iterations:
        raise ServiceUnavailable(
            f"the service answered a schedule of {document.total_iterations} iterations where {asked} were asked for"
        )


def _of(value: Any, kind: type) -> Any:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError(f"{value!r:.80} is not {kind.__name__}")
    return value
