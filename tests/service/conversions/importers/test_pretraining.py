"""torchtitan, Megatron, nanotron, NeMo and fairseq: their LRs by their own formulas in plain math."""

import math
from typing import Any

import pytest

from support.imports import imported, lrs, notes, refusal


def titan(n: int, warmup: int, total: int, decay: int, kind: str, floor: float) -> float:
    """The function linear_warmup_stable_decay."""
    stable_end = total + 1 - decay
    if n < warmup:
        return (n + 1) / warmup
    if n < stable_end:
        return 1.0
    p = (n + 1 - stable_end) / decay
    height = {"linear": 1 - p, "sqrt": 1 - math.sqrt(p), "cosine": 0.5 * (1 + math.cos(math.pi * p))}[kind]
    return floor + (1 - floor) * height


@pytest.mark.parametrize(
    ("warmup", "ratio", "decay", "kind", "floor"),
    [(4, None, 16, "cosine", 0.0), (4, 0.3, 6, "sqrt", 0.1), (0, None, 20, "linear", 0.0), (15, 0.8, 5, "linear", 0.0)],
)
def test_torchtitan_peaks_twice_and_cuts_off(
    warmup: int, ratio: float | None, decay: int, kind: str, floor: float
) -> None:
    """(n + 1) / W, then stable, then down to the step past the last; a decay that is too long is cut off."""
    text = (
        f"[optimizer]\nlr = 0.3\n[training]\nsteps = 20\n[lr_scheduler]\nwarmup_steps = {warmup}\n"
        f'decay_type = "{kind}"\nmin_lr_factor = {floor}\n' + ("" if ratio is None else f"decay_ratio = {ratio}\n")
    )
    expected = [0.3 * titan(n, warmup, 20, decay, kind, floor) for n in range(21)]
    assert lrs("torchtitan", text) == pytest.approx(expected, abs=1e-15)
    if ratio == 0.8:
        assert "is cut off at 5 steps" in notes("torchtitan", text)["lr_scheduler.decay_ratio"]


def megatron(n: int, warmup: int, decay: int, style: str, start: float = 0.0) -> float:
    """OptimizerParamScheduler.get_lr with lr 0.3, min_lr 0.01 and a WSD decay of 6."""
    if warmup and n <= warmup:
        return start + (0.3 - start) * n / warmup
    if style == "constant":
        return 0.3
    if n > decay:
        return 0.01
    if style == "inverse-square-root":
        # in samples, 8 of an iteration
        return max(0.01, 0.3 * math.sqrt(max(8 * warmup, 1)) / math.sqrt(max(8 * n, 1)))
    p, x = (n - warmup) / (decay - warmup), (n - (decay - 6)) / 6
    heights = {"linear": 1 - p, "cosine": 0.5 * (math.cos(math.pi * p) + 1)}
    if style in heights:
        return 0.01 + heights[style] * 0.29
    falls = {"exponential": 2 * 0.5**x - 1, "linear": 1 - x, "minus_sqrt": 1 - math.sqrt(max(x, 0))}
    return 0.01 + 0.29 * (1.0 if x <= 0 else falls[style.removeprefix("WSD ")])


@pytest.mark.parametrize(
    "style",
    ["constant", "linear", "cosine", "inverse-square-root", "WSD exponential", "WSD linear", "WSD minus_sqrt"],
)
@pytest.mark.parametrize("warmup", [0, 4])
def test_megatrons_styles_have_its_lrs(style: str, warmup: int) -> None:
    """The warm-up up to and including W, the decay to lr_decay_iters, then min_lr."""
    kind, _, wsd = style.partition(" ")
    source = {"lr": 0.3, "min_lr": 0.01, "lr_decay_style": kind, "train_iters": 25, "lr_decay_iters": 20}
    source |= {"global_batch_size": 8}
    source |= {"lr_warmup_fraction": 0.2} if warmup else {}
    source |= {"lr_wsd_decay_iters": 6, "lr_wsd_decay_style": wsd} if wsd else {}
    expected = [megatron(n, warmup, 20, style) for n in range(26)]
    assert lrs("megatron", source) == pytest.approx(expected)


def test_megatrons_wsd_without_a_decay_falls_past_its_end() -> None:
    """optimizer_param_scheduler.py: lr up to and including lr_decay_iters, min_lr from the next iteration on."""
    source = {"lr": 0.3, "min_lr": 0.01, "lr_decay_style": "WSD", "train_iters": 25, "lr_decay_iters": 20}
    assert lrs("megatron", {**source, "lr_wsd_decay_iters": 0}) == [0.3] * 21 + [0.01] * 5


def test_megatrons_command_line_counts_samples() -> None:
    """Samples become iterations by the batch; a warm-up share is of lr_decay_iters, not of the run."""
    text = (
        "torchrun pretrain_gpt.py --lr 0.3 --min-lr 0.01 --lr-decay-style cosine \\\n  --train-samples 2550 "
        "--global-batch-size 100 --lr-warmup-samples 400 --lr-decay-samples 2000 --weight-decay 0.1 --bf16 \\\n"
    )
    assert lrs("megatron", text) == pytest.approx([megatron(n, 4, 20, "cosine") for n in range(26)])
    share = {"lr": 6e-5, "lr_decay_style": "cosine", "train_iters": 500_000, "lr_decay_iters": 430_000}
    assert imported("megatron", {**share, "lr_warmup_fraction": 0.001}).spec["warmup"]["iterations"] == 430
    assert "comes to 1.5 iterations" in refusal("megatron", {**share, "lr_decay_iters": 15, "lr_warmup_fraction": 0.1})
    assert "rampup_batch_size makes the LR follow samples" in refusal(
        "megatron", {**share, "rampup_batch_size": [1, 2, 3]}
    )


def nanotron(n: int, warmup: int, start: int, decay: int, style: str) -> float:
    """lr_scheduler_builder's lr_lambda with lr 0.3 and min_decay_lr 0.01."""
    if n <= warmup:
        return 0.3 * n / max(warmup, 1)
    if n < start:
        return 0.3
    if n >= start + decay:
        return 0.01
    x = (n - start) / decay
    heights = {"linear": 1 - x, "cosine": (1 + math.cos(math.pi * x)) / 2, "1-sqrt": 1 - math.sqrt(x)}
    return 0.01 + 0.29 * heights[style]


@pytest.mark.parametrize(
    ("warmup", "start", "decay", "style"),
    [(4, None, None, "cosine"), (4, 10, 5, "1-sqrt"), (0, None, None, "linear"), (2, None, 13, "cosine")],
)
def test_nanotron_holds_and_decays(warmup: int, start: int | None, decay: int | None, style: str) -> None:
    """Without a warm-up its first LR is 0 all the same."""
    own = {
        "learning_rate": 0.3,
        "lr_warmup_steps": warmup,
        "lr_warmup_style": "linear",
        "lr_decay_style": style,
        "lr_decay_starting_step": start,
        "lr_decay_steps": decay,
        "min_decay_lr": 0.01,
    }
    source = {
        "optimizer": {"learning_rate_scheduler": own, "zero_stage": 0},
        "tokens": {"train_steps": 20},
        "model": {},
    }
    begin, length = start if start is not None else warmup, decay if decay is not None else 20 - warmup
    assert lrs("nanotron", source) == pytest.approx([nanotron(n, warmup, begin, length, style) for n in range(21)])
    longer = {"optimizer": {"learning_rate_scheduler": own | {"lr_deacy": 3}}, "tokens": {"train_steps": 20}}
    assert "lr_deacy may change the LR" in refusal("nanotron", longer)


def nemo(n: int, name: str, constant: int = 0) -> float:
    """NeMo's schedulers with a peak of 1, a floor of 0.1, a warm-up of 4 and 20 steps."""
    if n <= 4 and name != "NoamAnnealing":
        return n / 4 if constant else (n + 1) / 5
    x = (n - 4) / (16 - constant)
    if name == "NoamAnnealing":
        step = max(1, n)
        lr = min(1 / math.sqrt(step), step / 8) / 8
        return max(lr, 0.1) if step > 4 else lr
    return {
        "WarmupPolicy": 1.0,
        "CosineAnnealing": 0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi * min(x, 1))),
        "WarmupAnnealing": 0.1 + 0.9 * (1 - x),
        "PolynomialDecayAnnealing": 0.1 + 0.9 * (1 - x) ** 2,
        "SquareAnnealing": max((1 - x) ** 2, 0.1),
        "SquareRootAnnealing": max(math.sqrt(1 - n / 20), 0.1),
        "InverseSquareRootAnnealing": 1 / math.sqrt((n + 1) / 5),
    }[name]


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("WarmupPolicy", {}),
        ("CosineAnnealing", {}),
        ("CosineAnnealing", {"constant_steps": 4}),
        ("WarmupAnnealing", {}),
        ("PolynomialDecayAnnealing", {"power": 2.0}),
        ("SquareAnnealing", {}),
        ("SquareRootAnnealing", {}),
        ("InverseSquareRootAnnealing", {}),
        ("NoamAnnealing", {"d_model": 64}),
    ],
)
def test_nemos_schedulers_have_its_lrs(name: str, own: dict[str, Any]) -> None:
    """nemo/core/optim/lr_scheduler.py: (n + 1) / (W + 1), or n / W where a constant part follows the cosine."""
    sched = {"name": name, "warmup_ratio": 0.2, "min_lr": 0.1, **own}
    source = {
        "model": {"optim": {"name": "adamw", "lr": 1.0, "sched": sched}},
        "trainer": {"max_steps": 20, "devices": 8},
    }
    expected = [nemo(n, name, own.get("constant_steps", 0)) for n in range(21)]
    assert lrs("nemo", source) == pytest.approx(expected)


def fairseq(n: int, name: str) -> float:
    """The step_update of fairseq with lr 0.3, a warm-up of 4 and 20 updates."""
    cycle, t = divmod(n - 4, 7)
    wave = 0.5**cycle * (0.01 + 0.5 * 0.29 * (1 + math.cos(math.pi * t / 7)))
    tri = 0.003 + (0.3 - 0.003) / 2 * n if n < 2 else 0.3 if n < 10 else 0.3 * math.exp(math.log(0.01) * (n - 10) / 10)
    up = max(0.0, 1 - abs(n / 4 - 2 * (n // 8 + 1) + 1))
    lr: float = {
        "polynomial_decay": 0.3 * n / 4 if n <= 4 else 0.29 * (1 - (n - 4) / 16) ** 2 + 0.01,
        "inverse_sqrt": 1e-3 + n * (0.3 - 1e-3) / 4 if n < 4 else 0.3 * 2 / math.sqrt(n),
        "cosine": 0.01 + n * 0.29 / 4 if n < 4 else wave,
        "tri_stage": tri,
        "triangular": 0.3 + (0.9 * 0.5 ** (n // 8) - 0.3) * up,
        "step": 0.05 + n * 0.25 / 4 if n < 4 else max(0.3 * 0.5 ** ((n - 4) // 4), 0.05),
    }[name]
    return lr


@pytest.mark.parametrize(
    ("name", "own"),
    [
        ("polynomial_decay", {"warmup_updates": 4, "power": 2.0, "end_learning_rate": 0.01}),
        ("inverse_sqrt", {"warmup_updates": 4, "warmup_init_lr": 1e-3}),
        ("cosine", {"warmup_updates": 4, "min_lr": 0.01, "lr_period_updates": 7, "lr_shrink": 0.5}),
        ("tri_stage", {"phase_ratio": [0.1, 0.4, 0.5]}),
        ("triangular", {"max_lr": 0.9, "lr_period_updates": 8, "lr_shrink": 0.5}),
        ("step", {"warmup_updates": 4, "lr_deacy_period": 4, "lr_decay": 0.5, "min_lr": 0.05}),
    ],
)
def test_fairseqs_schedulers_have_its_lrs(name: str, own: dict[str, Any]) -> None:
    """fairseq/optim/lr_scheduler: from Hydra's YAML, and from the options of a command line."""
    expected = [fairseq(n, name) for n in range(21)]
    hydra = {"lr_scheduler": {"_name": name, **own}, "optimization": {"lr": [0.3], "max_update": 20}}
    assert lrs("fairseq", hydra) == pytest.approx(expected)
    if "phase_ratio" not in own:
        options = " ".join(f"--{key.replace('_', '-')} {value}" for key, value in own.items())
        text = f"fairseq-train data --lr 0.3 --max-update 20 --lr-scheduler {name} {options} --arch transformer"
        assert lrs("fairseq", text) == pytest.approx(expected)


def test_fairseqs_schedules_by_epochs_or_groups_are_refused() -> None:
    """One LR for each epoch, and a schedule for each group, are no schedule of this kind."""
    source: dict[str, Any] = {"lr_scheduler": {"_name": "fixed"}, "optimization": {"lr": [0.3, 0.1], "max_update": 9}}
    assert "lr must be one LR" in refusal("fairseq", source)
    source["lr_scheduler"]["_name"] = "pass_through"
    assert "optimizer._name (None) is not one of composite" in refusal("fairseq", source)
    layers = {**source, "lr_scheduler": {"_name": "fixed"}, "model": {"layer_decay": 0.75}}
    assert "model.layer_decay gives each layer an LR of its own" in refusal("fairseq", layers)
