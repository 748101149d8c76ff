"""The tracks of a spec: what is stepped as one, and which columns of an answer come of it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preheat.specs.after_schedulers.scheduler import Scheduler
from preheat.specs.after_schedulers.torch_schedulers import CyclicLR, OneCycleLR
from preheat.specs.warmup import Warmup

if TYPE_CHECKING:
    from preheat.specs.spec import Spec

LR_NAME = "lr"
"""The hyperparameter that every param group has."""


@dataclass(frozen=True)
class Column:
    """One column of an answer: a hyperparameter of one param group."""

    group: str
    hyperparameter: str = LR_NAME

    @property
    def name(self) -> str:
        """Header of the column in CSV."""
        return self.group if self.hyperparameter == LR_NAME else f"{self.group}.{self.hyperparameter}"


@dataclass(frozen=True)
class Track:
    """Columns that share warm-up and scheduler, each with its own target; `path` leads to them in the spec.

    `cycles_momentum` are the columns whose values are the momentum that the scheduler cycles, not its LR.
    """

    columns: tuple[int, ...]
    targets: tuple[float, ...]
    warmup: Warmup
    after_scheduler: Scheduler | None
    path: tuple[str | int, ...] = ()
    is_momentum: bool = False


def columns(spec: "Spec") -> tuple[Column, ...]:
    """The columns of a spec's answers: the LR of each group, then each hyperparameter of each group."""
    names = spec.group_names
    found = [Column(name) for name in names]
    if any(_cycles_momentum(spec, index) for index in range(len(names))):
        found += [Column(name, "momentum") for index, name in enumerate(names) if _cycles_momentum(spec, index)]
    for hyperparameter, schedule in (spec.hyperparameters or {}).items():
        found += [Column(name, hyperparameter) for name in schedule.param_groups or names]
    return tuple(found)


def tracks(spec: "Spec") -> tuple[Track, ...]:
    """The tracks of a normalised spec; together they have every column once."""
    places = {column: index for index, column in enumerate(columns(spec))}
    found: list[Track] = []
    shared = tuple(index for index in range(len(spec.group_names)) if not _has_own_schedule(spec, index))
    if shared:
        targets = tuple(spec.target_lrs[index] for index in shared)
        found.append(Track(shared, targets, spec.warmup, spec.after_scheduler))
    for index, group in enumerate(spec.param_groups or ()):
        if index not in shared:
            warmup, after = _schedule(spec, index)
            path = ("param_groups", index)
            found.append(Track((index,), (spec.target_lrs[index],), warmup, after, path))
            del group
    found += [_momentum_of(track, spec, places) for track in list(found) if _is_cycled(track.after_scheduler)]
    for name, schedule in (spec.hyperparameters or {}).items():
        place = tuple(places[Column(group, name)] for group in schedule.param_groups or spec.group_names)
        targets = (schedule.value,) * len(place)
        found.append(Track(place, targets, schedule.warmup, schedule.after_scheduler, ("hyperparameters", name)))
    return tuple(found)


def _momentum_of(track: Track, spec: "Spec", places: dict[Column, int]) -> Track:
    place = tuple(places[Column(spec.group_names[index], "momentum")] for index in track.columns)
    return Track(place, track.targets, track.warmup, track.after_scheduler, track.path, is_momentum=True)


def _has_own_schedule(spec: "Spec", index: int) -> bool:
    group = spec.param_groups[index] if spec.param_groups else None
    return group is not None and (group.warmup is not None or group.after_scheduler is not None)


def _schedule(spec: "Spec", index: int) -> tuple[Warmup, Scheduler | None]:
    group = spec.param_groups[index] if spec.param_groups else None
    if group is None:
        return spec.warmup, spec.after_scheduler
    return group.warmup or spec.warmup, group.after_scheduler or spec.after_scheduler


def _cycles_momentum(spec: "Spec", index: int) -> bool:
    return _is_cycled(_schedule(spec, index)[1])


def _is_cycled(scheduler: Scheduler | None) -> bool:
    return isinstance(scheduler, CyclicLR | OneCycleLR) and scheduler.cycle_momentum
