"""A schedule: a normalised spec, the text that its id is the hash of, and the torch that computes it.

The text is written down once, when the schedule is made, and read ever after; it is never derived from the spec again.
In format 2 it is `{"format":2,"spec":{…},"torch_version":"2.13.0"}` with sorted keys, where

- a field that is None is left out;
- a default that is filled in from the run (T_max, length, …) is written out, since another run has another;
- a constant default is written out if the field was there when format 2 was fixed (`_DEFAULTS_OF_FORMAT_2`), and left
  out if the field was added to its model later, so that a new field gives no spec another id;
- torch_version is there only if one of torch's own schedulers is in the spec: what our formulas compute is the same
  under every torch.

So a row that lacks a field was written before there was such a field, or at its default: both read as the default. A
default that is to change, or a field that is filled in from the run and comes later, needs a new format.
Format 1 had neither `format` nor the two exceptions: every default and every torch version was in it.
"""

import hashlib
import importlib.metadata
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Any, Literal, Self

from pydantic import TypeAdapter, ValidationError

from preheat.errors import ScheduleUnreadable
from preheat.specs import ParamGroup, Scheduler, Spec, parse_spec, spec_of
from preheat.specs.fields import Closed
from preheat.specs.hyperparameters import GroupHyperparameter

FORMAT = 2
"""Version of the rules by which a schedule's text is written down."""

TORCH_VERSION = importlib.metadata.version("torch").partition("+")[0]
"""Release of the torch that is installed, without its build tag (2.13.0, not 2.13.0+cpu)."""

TORCH_FINGERPRINTS = {
    "2.13.0": "efe1d187d137af5a7cb847a231c448bf",
    "2.14.1": "efe1d187d137af5a7cb847a231c448bf",
}
"""Hash of what each torch computes for a fixed set of specs; versions with the same hash agree in every LR.

`python tests/torch_fingerprint.py` prints the entry of the torch that is installed.
"""


@dataclass(frozen=True)
class Schedule:
    """What the LR is at every iteration; `spec` must be normalised.

    Made from a spec alone, its text is written down for the torch that runs. `torch_version` is None where none of
    torch's code computes.
    """

    spec: Spec = field(compare=False)  # follows from the text
    torch_version: str | None = TORCH_VERSION
    text: str = ""

    def __post_init__(self) -> None:
        if not self.text:
            version = self.torch_version if True in _computed_by_torch(self.spec) else None
            object.__setattr__(self, "torch_version", version)
            object.__setattr__(self, "text", _written_down(self.spec, version))

    @classmethod
    def of(cls, spec: Mapping[str, Any] | str | bytes) -> Self:
        """The schedule of what a user wrote: JSON, or its values. Raises InvalidSpec."""
        return cls(spec_of(spec) if isinstance(spec, Mapping) else parse_spec(spec))

    @classmethod
    def stored(cls, schedule_id: str, text: str) -> Self:
        """The schedule with this id, out of the text that was written down. Raises ScheduleUnreadable."""
        if id_of(text) != schedule_id:
            raise ScheduleUnreadable(schedule_id, "damaged", "its content is not what its id is the hash of")
        try:
            content = _CONTENT.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            place = "/".join(map(str, first["loc"]))
            raise ScheduleUnreadable(
                schedule_id, "unknown-content", f"this version of Preheat does not know its {place}: {first['msg']}"
            ) from error
        return cls(content.spec, content.torch_version, text)

    @cached_property
    def id(self) -> str:
        """Hash of the text, 32 hexadecimal digits."""
        return id_of(self.text)

    @property
    def spec_dict(self) -> dict[str, Any]:
        """The spec as it was written down, as JSON values; fields in the order of the models."""
        written: dict[str, Any] = json.loads(self.text)["spec"]
        in_order: dict[str, Any] = _in_order_of(self.spec.model_dump(mode="json", exclude_none=True), written)
        return in_order

    @property
    def computes(self) -> bool:
        """Whether the torch that runs gives the LRs that this schedule has."""
        if self.torch_version in {None, TORCH_VERSION} or TORCH_VERSION in self.agreeing:
            return True
        return True not in _computed_by_torch(self.spec)  # format 1 named a torch in every schedule

    @property
    def has_formulas(self) -> bool:
        """Whether any scheduler of the spec is a formula or is made of others by us."""
        return False in _computed_by_torch(self.spec)

    @property
    def agreeing(self) -> list[str]:
        """Versions of torch that are known to give the same LRs as the one that the schedule was made under."""
        ours = TORCH_FINGERPRINTS.get(self.torch_version or "")
        return [version for version, fingerprint in TORCH_FINGERPRINTS.items() if fingerprint == ours]


def id_of(text: str) -> str:
    """Hash of a schedule's text, 32 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


class _Content(Closed):
    """A schedule's text in any format that can be read."""

    format: Literal[1, 2] = 1
    spec: Spec
    torch_version: str | None = None


_CONTENT = TypeAdapter(_Content)


def _written_down(spec: Spec, torch_version: str | None) -> str:
    written = spec.model_dump(mode="json", exclude_none=True)
    _leave_out_later_defaults(spec, written)
    content = {"format": FORMAT, "spec": written}
    if torch_version is not None:
        content["torch_version"] = torch_version
    return json.dumps(content, sort_keys=True, separators=(",", ":"))


def _leave_out_later_defaults(model: Closed, written: dict[str, Any]) -> None:
    later = _later_defaults(type(model))
    for name, model_field in type(model).model_fields.items():
        key = model_field.alias or name
        value = getattr(model, name)
        if value is None:
            continue
        if name in later and value == model_field.default:
            del written[key]
        elif isinstance(value, Closed):
            _leave_out_later_defaults(value, written[key])
        elif isinstance(value, dict):
            for entry, content in value.items():
                if isinstance(content, Closed):  # values by param group are numbers
                    _leave_out_later_defaults(content, written[key][entry])
        elif isinstance(value, tuple) and value and isinstance(value[0], Closed):
            for entry, content in zip(value, written[key], strict=True):
                _leave_out_later_defaults(entry, content)


@cache
def _later_defaults(model: type[Closed]) -> frozenset[str]:
    """Fields with a default that the model did not have in format 2."""
    known = _DEFAULTS_OF_FORMAT_2.get(model.__name__, "")
    return frozenset(
        name for name, model_field in model.model_fields.items() if not model_field.is_required()
    ) - frozenset(known.split())


def _computed_by_torch(spec: Spec) -> set[bool]:
    """Of every scheduler of a spec, whether torch's own code computes it."""
    parts: tuple[Spec | ParamGroup | GroupHyperparameter, ...] = (
        spec,
        *(spec.param_groups or ()),
        *(each.schedule for each in spec.assignments),
    )
    schedulers: list[Scheduler] = [part.after_scheduler for part in parts if part.after_scheduler is not None]
    found = {computed for within in spec.replacing for computed in _computed_by_torch(within)}
    while schedulers:
        scheduler = schedulers.pop()
        found.add(scheduler.is_computed_by_torch)
        schedulers += scheduler.children.values()
    return found


def _in_order_of(example: Any, values: Any) -> Any:
    """The values, with the keys of every object in the order that they have in the example."""
    if isinstance(values, dict) and isinstance(example, dict):
        keys = sorted(values, key=list(example).index)
        return {key: _in_order_of(example[key], values[key]) for key in keys}
    if isinstance(values, list) and values and isinstance(values[0], dict):
        return [_in_order_of(*pair) for pair in zip(example, values, strict=True)]
    return values


_DEFAULTS_OF_FORMAT_2 = {
    "ConstantLR": "factor total_iters",
    "CooldownLR": "shape min_lr",
    "CosineAnnealingLR": "eta_min",
    "CosineAnnealingWarmRestarts": "T_mult eta_min",
    "CosineLR": "num_cycles exponent",
    "CosineRestartsLR": "T_mult decay min_lr",
    "CyclicLR": "step_size_up mode gamma cycle_momentum base_momentum max_momentum",
    "ExponentialDecayLR": "staircase min_lr",
    "Hyperparameter": "warmup",
    "InverseSqrtLR": "shift",
    "InverseTimeLR": "staircase",
    "KDecayLR": "k shape power",
    "LinearLR": "start_factor end_factor total_iters",
    "MultiStepLR": "gamma",
    "NoamLR": "factor",
    "OneCycleLR": (
        "pct_start anneal_strategy cycle_momentum base_momentum max_momentum div_factor final_div_factor three_phase"
    ),
    "PiecewiseLR": "interpolation",
    "PolynomialDecayLR": "power cycle",
    "PolynomialLR": "total_iters power",
    "RangeTestLR": "start_lr mode stair_length",
    "SWALR": "anneal_epochs anneal_strategy",
    "Segment": "shape",
    "SlantedTriangularLR": "cut_share ratio",
    "Spec": "warmup",
    "StepLR": "gamma",
    "TableLR": "are_factors hold",
    "TanhLR": "lower upper",
    "TriStageLR": "init_ratio final_ratio",
    "WSDLR": "decay power decay_ratio",
    "Warmup": "iterations shape convention decay_clock",
    "WindowLR": "begin",
}
"""Fields with a constant default of each model as format 2 has them: a record, which no later field is added to.

A model that is not listed had none, or came later: its fields are written out where they are not at their defaults.
"""
