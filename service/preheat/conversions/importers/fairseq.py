"""Import of fairseq's configuration: Hydra's YAML, or the options of its command line."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from preheat.conversions.fields import Fields
from preheat.conversions.harmless import HARMLESS
from preheat.conversions.imported import Imported, NotCarried
from preheat.conversions.known import Known
from preheat.errors import NotImportable


def from_fairseq(source: Any, known: Known) -> Imported:
    """A spec from optimization and lr_scheduler, or from a command line's options. Raises NotImportable.

    fairseq/optim/lr_scheduler/*.py: iteration n is num_updates. A warm-up goes from warmup_init_lr by n / W; the clock
    of polynomial_decay and inverse_sqrt counts from 0, that of cosine and step from W.
    """
    fields = Fields(source)
    scheduler = fields.take("lr_scheduler")
    is_hydra = isinstance(scheduler, dict) or "optimization" in fields
    own = run_fields = fields
    if is_hydra:
        # A name alone stands for Hydra's group of that name, with nothing in it changed.
        own = fields.fields("lr_scheduler") if isinstance(scheduler, dict) else Fields({"_name": scheduler})
        run_fields = fields.fields("optimization")
    _check_layers(fields)
    # 0 is fairseq's default for both, and stands for no limit.
    epochs, updates = run_fields.limit("max_epoch"), run_fields.limit("max_update")
    total = known.length(updates, "the source has max_epoch and no max_update" if epochs else "give max_update")
    field = "_name" if is_hydra else "lr_scheduler"
    if own.take(field) == "pass_through":
        spec, notes = _by_group(fields, run_fields, total, known)
        return Imported(spec, notes + fields.left(HARMLESS["fairseq"]))
    if isinstance(fields.take("optimizer"), dict):
        fields.fields("optimizer")
    notes = _early(run_fields) if updates else []
    lr = known.lr(_lr(own, run_fields))
    parts, unused = _schedule(own, field, lr, total, known)
    return Imported(known.spec(lr, total, **parts), notes + unused + fields.left(HARMLESS["fairseq"]))


def _schedule(own: Fields, field: str, lr: float, total: int, known: Known) -> tuple[dict[str, Any], list[NotCarried]]:
    """The warm-up and what follows of one scheduler, and the options that it does not use."""
    name = own.choice(field, _SCHEDULERS, by_metric={"reduce_lr_on_plateau"})
    warmup = 0
    if name in _WITHOUT_WARMUP:
        known.without_warmup(name)
    else:
        # 4000 is the default of inverse_sqrt alone.
        warmup = own.count("warmup_updates", 4000 if name == "inverse_sqrt" else 0)
    run = _Run(own, lr, total, known.warmup(warmup))
    return _SCHEDULERS[name](run), own.unused(_OPTIONS.split(), name)


def _by_group(fields: Fields, run_fields: Fields, total: int, known: Known) -> tuple[dict[str, Any], list[NotCarried]]:
    """A param group for each of a composite optimizer's, with its own LR and schedule (fairseq/optim/composite.py)."""
    if known.target_lr is not None:
        raise NotImportable("target_lr has no place in an import of a composite optimizer: its groups have their own")
    optimizer = fields.fields("optimizer")
    optimizer.choice("_name", ("composite",))
    groups, notes = optimizer.fields("groups"), list[NotCarried]()
    if optimizer.flag("dynamic_groups"):
        notes.append(NotCarried("optimizer.dynamic_groups", "lets the model scale the LR of parameters by itself"))
    found = list[dict[str, Any]]()
    for name in groups.names:
        group = groups.fields(name)
        group.fields("optimizer")
        lr = group.optional_number("lr_float")
        lr = known.lr(_lr(group, run_fields) if lr is None else lr)
        parts, unused = _schedule(group.fields("lr_scheduler"), "_name", lr, total, known)
        found.append({"name": name, "target_lr": lr, **parts})
        notes += unused
    notes += run_fields.unused(("lr",), "groups with lr_float")
    if not found:
        raise NotImportable("optimizer.groups must have a group or more")
    only = {part: value for part, value in found[0].items() if part not in {"name", "target_lr"}}
    if len(found) == 1:
        return known.spec(found[0]["target_lr"], total, **only), notes
    return known.spec(max(group["target_lr"] for group in found), total, param_groups=found), notes


def _early(run_fields: Fields) -> list[NotCarried]:
    """Notes on what ends a run before max_update."""
    early = [name for name in ("max_epoch", "stop_min_lr", "stop_time_hours") if name in run_fields]
    return [
        NotCarried(run_fields.path(name), "may end the run before max_update")
        for name in early
        if run_fields.number(name) > 0
    ]


def _check_layers(fields: Fields) -> None:
    model = fields.take("model")
    if isinstance(model, dict) and model.get("layer_decay") not in (None, 1, 1.0):
        raise NotImportable(
            "model.layer_decay gives each layer an LR of its own: import without it, and write the number of layers "
            "into the spec's layer_decay"
        )


@dataclass(frozen=True)
class _Run:
    """The options of a scheduler, and the run that it is for."""

    own: Fields
    lr: float
    total: int
    warmup: int

    def rise(self, low: float = 0.0) -> dict[str, Any]:
        """The warm-up, from warmup_init_lr or, where that is negative, from `low`."""
        start = self.own.number("warmup_init_lr", -1)
        start = low if start < 0 else start
        return {"iterations": self.warmup, **({"start_lr": start} if start else {})}

    def share(self, lr: float) -> float:
        """An LR as a share of lr."""
        return lr / self.lr if self.lr else 0.0


def _lr(own: Fields, run_fields: Fields) -> float | None:
    """optimization.lr: a list with one LR; more would be one for each epoch."""
    for fields in (own, run_fields):
        value = fields.take("lr")
        if isinstance(value, list) and len(value) > 1:
            raise NotImportable("lr must be one LR: fairseq takes several one for each epoch")
        # Hydra has a list, [0.0005]; on a command line the same is text.
        if isinstance(value, str) and value.startswith("["):
            value = value.strip("[] ")
        if value is not None:
            return Fields({"lr": value[0] if isinstance(value, list) and value else value}).number("lr")
    return None


def _polynomial(run: _Run) -> dict[str, Any]:
    own = run.own
    own.refuse("force_anneal", "shrinks the LR by epochs")
    length, low = own.count("total_num_update", run.total) - run.warmup, own.number("end_learning_rate", 0.0)
    if length < 1:
        raise NotImportable(f"total_num_update must exceed warmup_updates ({run.warmup})")
    after = {"type": "PolynomialDecayLR", "length": length, "min_lr": low, "power": own.number("power", 1.0)}
    # polynomial_decay has no warmup_init_lr: it rises from 0.
    return {"warmup": {"iterations": run.warmup}, "after_scheduler": after}


def _inverse_sqrt(run: _Run) -> dict[str, Any]:
    if not run.warmup:
        raise NotImportable("warmup_updates must be > 0 with inverse_sqrt: fairseq divides by it")
    return {"warmup": run.rise(), "after_scheduler": {"type": "InverseSqrtLR", "timescale": run.warmup}}


def _cosine(run: _Run) -> dict[str, Any]:
    """Period after period, the peak and the floor of each lr_shrink times those of the one before."""
    own = run.own
    low = min(own.number("min_lr", 0.0), run.lr)
    period = own.number("lr_period_updates", -1)
    # -1 is fairseq's default: one period over all that follows the warm-up.
    period = run.total - run.warmup if period <= 0 else period
    if own.number("t_mult", 1.0) != 1 and run.total > run.warmup + period:
        raise NotImportable("t_mult must be 1 where there is more than one period: import them as CosineRestartsLR")
    if period <= 0:
        raise NotImportable(f"max_update must exceed warmup_updates ({run.warmup})")
    floor, shrink = run.share(low), own.number("lr_shrink", 0.1)
    x = f"(s / {period!r} - floor(s / {period!r}))"
    wave = f"{shrink!r} ** floor(s / {period!r}) * ({floor!r} + {(1 - floor) / 2!r} * (1 + cos(pi * {x})))"
    return {"warmup": run.rise(low), "after_scheduler": {"type": "ExpressionLR", "expression": wave}}


def _tri_stage(run: _Run) -> dict[str, Any]:
    own = run.own
    ratios = own.numbers("phase_ratio") if "phase_ratio" in own else []
    # Compared exactly, in floats, as fairseq's own assert does.
    if ratios and (len(ratios) != 3 or sum(ratios) != 1):  # noqa: PLR2004 - stages
        raise NotImportable("phase_ratio must be three shares that add up to 1")
    names = ("warmup_steps", "hold_steps", "decay_steps")
    # With phase_ratio fairseq does not use the numbers of steps.
    steps = [int(run.total * ratio) for ratio in ratios] if ratios else [own.count(name, 0) for name in names]
    after = {
        "type": "TriStageLR",
        "warmup_iterations": steps[0],
        "hold_iterations": steps[1],
        "decay_iterations": steps[2],
        "init_ratio": own.number("init_lr_scale", 0.01),
        "final_ratio": own.number("final_lr_scale", 0.01),
    }
    return {"after_scheduler": after}


def _fixed(run: _Run) -> dict[str, Any]:
    run.own.refuse("force_anneal", "shrinks the LR by epochs: write the LRs as a PiecewiseLR")
    run.own.take("lr_shrink")  # of use with force_anneal alone
    # FixedLRSchedule counts from 1, unlike the other schedulers: lr · (num_updates + 1) / W.
    return {"warmup": {"iterations": run.warmup, "convention": "(n+1)/W"}}


def _triangular(run: _Run) -> dict[str, Any]:
    """From lr up to max_lr and down, again and again; `lr` is the floor, so that the target is max_lr."""
    own, high = run.own, run.own.number("max_lr")
    # A period is up and down; torch's CyclicLR would call half of it step_size_up.
    size = int(own.number("lr_period_updates", 5000) // 2)
    if size < 1 or high <= run.lr:
        raise NotImportable("lr_period_updates must be ≥ 2, and max_lr above lr")
    shrink, low = own.number("lr_shrink", 0.1), run.lr
    cycle = f"floor(s / {2 * size})"
    bottom = f"{low!r} * {shrink!r} ** {cycle}" if own.flag("shrink_min") else f"{low!r}"
    rise = f"max(0, 1 - abs(s / {size} - 2 * ({cycle} + 1) + 1))"
    whole = f"({bottom} + ({high!r} * {shrink!r} ** {cycle} - {bottom}) * {rise}) / {low!r}"
    return {"after_scheduler": {"type": "ExpressionLR", "expression": whole}}


def _step(run: _Run) -> dict[str, Any]:
    own, low = run.own, run.own.number("min_lr", 0.0)
    period, decay = own.count("lr_deacy_period", 25_000), own.number("lr_decay", 0.5)  # fairseq's own spelling
    if not period:
        raise NotImportable("lr_deacy_period must be > 0")
    fall = f"max({decay!r} ** floor(s / {period}), {run.share(low)!r})"
    return {"warmup": run.rise(low), "after_scheduler": {"type": "ExpressionLR", "expression": fall}}


_OPTIONS = """
    warmup_updates warmup_init_lr force_anneal end_learning_rate power total_num_update min_lr lr_period_updates t_mult
    lr_shrink phase_ratio warmup_steps hold_steps decay_steps init_lr_scale final_lr_scale max_lr shrink_min
    lr_deacy_period lr_decay lr_patience lr_threshold
"""

_WITHOUT_WARMUP = {"tri_stage", "triangular"}

_SCHEDULERS: dict[str, Callable[[_Run], dict[str, Any]]] = {
    "polynomial_decay": _polynomial,
    "inverse_sqrt": _inverse_sqrt,
    "cosine": _cosine,
    "tri_stage": _tri_stage,
    "fixed": _fixed,
    "triangular": _triangular,
    "step": _step,
}
