"""DeepSpeed configuration: the optimizer's LR and one of DeepSpeed's schedulers."""

import json
from typing import Any

from preheat.errors import NotExpressible
from preheat.schedule import Schedule
from preheat.specs import Spec, Warmup
from preheat.specs.after_schedulers.decays import CosineLR, PolynomialDecayLR


def deepspeed_config(schedule: Schedule) -> str:
    """The `scheduler` and the optimizer's LR, as JSON. Raises NotExpressible.

    DeepSpeed's first update is at the start of its warm-up and every later one is one update late: it can express a
    warm-up by (n-1)/W alone.
    """
    spec = schedule.spec
    if len(spec.columns) > 1:
        raise NotExpressible("DeepSpeed's schedulers set one LR, and no other hyperparameter that has a schedule here")
    kind, params = _scheduler(spec)
    config = {"optimizer": {"params": {"lr": spec.target_lrs[0]}}, "scheduler": {"type": kind, "params": params}}
    return json.dumps(config, indent=2) + "\n"


def _scheduler(spec: Spec) -> tuple[str, dict[str, Any]]:
    warmup, after, target_lr = spec.warmup, spec.after_scheduler, spec.target_lrs[0]
    # Each of DeepSpeed's schedulers has this warm-up, so one that it cannot express rules out all three.
    _check_warmup(warmup)
    # A start_factor is a share of the target LR; warmup_min_lr is an LR.
    start = warmup.start_factor * target_lr if warmup.start_factor is not None else warmup.start_lr or 0.0
    linear_or_log = {
        "warmup_min_lr": start,
        "warmup_max_lr": target_lr,
        "warmup_num_steps": warmup.iterations,
        "warmup_type": warmup.shape,
    }
    if after is None:
        return "WarmupLR", linear_or_log
    # low is the end LR as the formula has it
    if isinstance(after, PolynomialDecayLR) and after.power == 1 and not after.cycle and after.low == "0.0":
        if warmup.decay_clock == "from_peak" and start == 0:
            # DeepSpeed counts the warm-up in
            total = warmup.iterations + (after.length or 0)
            return "WarmupDecayLR", {**linear_or_log, "total_num_steps": total}
        raise NotExpressible(
            "WarmupDecayLR starts at 0 and begins its decay where the warm-up reaches its peak (from_peak)"
        )
    if isinstance(after, CosineLR) and after.exponent == 1 and after.num_cycles == 0.5:  # noqa: PLR2004
        if warmup.decay_clock == "after_warmup" and not after.min_lr and start == 0:
            return "WarmupCosineLR", {
                # Its first update is at 0 whatever the ratio is, so that no other can be said.
                "warmup_min_ratio": 0.0,
                "warmup_num_steps": warmup.iterations,
                # written out even where it is 0: DeepSpeed's default is 1e-4
                "cos_min_ratio": after.min_ratio or 0.0,
                "total_num_steps": warmup.iterations + (after.length or 0),
                "warmup_type": warmup.shape,
            }
        raise NotExpressible(
            "WarmupCosineLR starts at 0, and counts its decay from W (after_warmup), down to a ratio of the target"
        )
    raise NotExpressible(
        f"DeepSpeed has no scheduler for {after.type}: its own are WarmupLR, WarmupDecayLR, WarmupCosineLR"
    )


def _check_warmup(warmup: Warmup) -> None:
    if warmup.iterations < 2 or warmup.convention != "(n-1)/W" or warmup.shape not in {"linear", "log"}:  # noqa: PLR2004
        raise NotExpressible(
            "DeepSpeed warms up in two iterations or more by (n-1)/W, one update later than other libraries, linearly "
            f"or by a logarithm; this warm-up has {warmup.iterations}, {warmup.convention}, {warmup.shape}"
        )
    if warmup.hold > 1:
        raise NotExpressible(f"DeepSpeed's warm-ups rise at every update; this one holds each LR for {warmup.hold}")
