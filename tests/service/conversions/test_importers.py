"""Importers: the spec of another library's schedule has its LRs, and what is not in it is named."""

import json
import math
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import SGD, lr_scheduler

from preheat.conversions.importers import Imported, import_schedule
from preheat.conversions.known import Known
from preheat.errors import NotImportable
from preheat.specs import InvalidSpec, parse_spec
from support.specs import curve, first_column


def imported(library: Any, source: Any, **known: Any) -> Imported:
    """What is imported, where the run is known as it says."""
    return import_schedule(library, source, Known(**known))


def lrs(found: Imported) -> list[float]:
    """Every LR of an imported spec."""
    return first_column(curve(found.spec))


def names(found: Imported) -> list[str]:
    """What was not carried over."""
    return [entry.field for entry in found.not_carried]


TEXTS: list[tuple[str, str]] = [
    ("CosineAnnealingLR(optimizer, T_max=50)", "CosineAnnealingLR(optimizer, T_max=50)"),
    ("torch.optim.lr_scheduler.CosineAnnealingLR(opt, 50, 1e-3)", "CosineAnnealingLR(optimizer, 50, 1e-3)"),
    ("scheduler = StepLR(optimizer, 3 * 5, gamma=.5)", "StepLR(optimizer, 15, gamma=0.5)"),
    ("MultiStepLR(o, [10, 20], 0.1, -1)", "MultiStepLR(optimizer, [10, 20], 0.1)"),
    ("lr_scheduler.OneCycleLR(o, max_lr=0.3, total_steps=51, cycle_momentum=False)",) * 2,
    ("LambdaLR(o, lambda epoch: 0.95 ** epoch)",) * 2,
    ("LambdaLR(o, lr_lambda=lambda e: min(1, math.sqrt(5 / max(e, 1))))",) * 2,
    ("MultiplicativeLR(o, lambda _: 0.9)",) * 2,
    (
        """
from torch.optim.lr_scheduler import *
warm = LinearLR(opt, start_factor=0.1, total_iters=5)
self.main = CosineAnnealingLR(opt, T_max=45)
sched = SequentialLR(opt, schedulers=[warm, self.main], milestones=[5])
""",
        "SequentialLR(optimizer, [LinearLR(optimizer, 0.1, total_iters=5), CosineAnnealingLR(optimizer, 45)], [5])",
    ),
    ("ChainedScheduler([ConstantLR(o, .1, 3), ExponentialLR(o, .9)], optimizer=o)",) * 2,
]
"""Text to import, and Python that makes the same in torch itself."""


@pytest.mark.parametrize(("text", "python"), TEXTS, ids=[text.strip()[:40] for text, _ in TEXTS])
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_a_constructor_has_torchs_lrs(text: str, python: str) -> None:
    """The spec of a constructor's text has the LRs of that scheduler, stepped by hand in torch itself."""
    optimizer = SGD([torch.zeros(1)], lr=0.2)
    scope = {**vars(lr_scheduler), "optimizer": optimizer, "o": optimizer, "math": math, "lr_scheduler": lr_scheduler}
    scheduler = eval(python, scope)  # noqa: S307 - texts of this file
    expected = []
    for n in range(51):
        expected.append(optimizer.param_groups[0]["lr"])
        if n < 50:
            scheduler.step()
    found = imported("torch", text, target_lr=0.2, total_iterations=50)
    np.testing.assert_allclose(lrs(found), expected, rtol=1e-9, atol=1e-15)


STATES = [
    lambda o: lr_scheduler.CosineAnnealingLR(o, 50, 0.01),
    lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 7, 2),
    lambda o: lr_scheduler.StepLR(o, 7),
    lambda o: lr_scheduler.MultiStepLR(o, [7, 20]),
    lambda o: lr_scheduler.LinearLR(o, 0.5, 1.0, 20),
    lambda o: lr_scheduler.ConstantLR(o, 0.5, 20),
    lambda o: lr_scheduler.PolynomialLR(o, 40, 2.0),
    lambda o: lr_scheduler.ExponentialLR(o, 0.9),
    lambda o: lr_scheduler.CyclicLR(o, 0.01, 0.3, 5, 7, cycle_momentum=False),
]


@pytest.mark.parametrize("make", STATES, ids=range(len(STATES)))
@pytest.mark.filterwarnings("ignore:Detected call of")
def test_a_state_has_torchs_lrs(make: Any) -> None:
    """A state from the middle of a run, through JSON, gives the whole schedule, and names what is the run's alone."""
    optimizer = SGD([torch.zeros(1)], lr=0.2)
    scheduler = make(optimizer)
    expected = [optimizer.param_groups[0]["lr"]]
    for _ in range(50):
        scheduler.step()
        expected.append(optimizer.param_groups[0]["lr"])
        state = scheduler.state_dict()
    found = imported("torch", json.loads(json.dumps(state, default=str)), total_iterations=50)
    np.testing.assert_allclose(lrs(found), expected, rtol=1e-9, atol=1e-15)
    assert "last_epoch" in names(found)


def test_the_length_is_taken_from_the_source_where_it_says_one() -> None:
    """T_max, total_steps, epochs · steps_per_epoch and the last of a sequence say how long the run is."""
    assert imported("torch", "CosineAnnealingLR(o, 90)", target_lr=1.0).spec["total_iterations"] == 90
    one_cycle = imported("torch", "OneCycleLR(o, 0.3, epochs=3, steps_per_epoch=7)")
    assert (one_cycle.spec["total_iterations"], one_cycle.spec["target_lr"]) == (21, 0.3)
    sequence = "SequentialLR(o, [LinearLR(o, total_iters=5), CosineAnnealingLR(o, 85)], [5])"
    assert imported("torch", sequence, target_lr=1.0).spec["total_iterations"] == 90
    state = {"T_max": 30, "eta_min": 0, "base_lrs": [0.1, 0.2]}
    assert imported("torch", state).spec["param_groups"] == [{"target_lr": 0.1}, {"target_lr": 0.2}]


def test_a_milestone_that_counts_twice_is_not_lost() -> None:
    """A milestone that torch's Counter has twice is twice in the spec, which is refused for it by name."""
    for times in (2, 10**6):
        state = {"milestones": {"7": times, "3": 1}, "gamma": 0.1, "base_lrs": [0.1]}
        spec = imported("torch", state, total_iterations=9).spec
        assert spec["after_scheduler"]["milestones"] == [3, 7, 7]
    with pytest.raises(InvalidSpec, match=r"milestones\[2\] \(7\) must not repeat milestones\[1\]"):
        parse_spec(json.dumps(spec))


def test_what_torch_text_says_beyond_a_schedule_is_named() -> None:
    """Positions, code and other statements are not carried over."""
    text = "print(3)\ns = CyclicLR(o, 0.1, 0.2, scale_fn=lambda x: 1, scale_mode='cycle', last_epoch=7, verbose=True)"
    found = imported("torch", text, total_iterations=10)
    assert names(found) == [
        "print(3)",
        "CyclicLR.scale_fn",
        "CyclicLR.scale_mode",
        "CyclicLR.last_epoch",
        "CyclicLR.verbose",
    ]


@pytest.mark.parametrize(
    ("library", "source", "reason"),
    [
        ("torch", 3, "must be Python text with a torch scheduler, or a state_dict"),
        ("torch", "x = 3", "makes no scheduler"),
        ("torch", "StepLR(", "source is not Python"),
        ("torch", "StepLR(o, n)", "StepLR.step_size (n) must be written out as a value"),
        ("torch", "StepLR(o, __import__('os').getpid())", "must be written out as a value"),
        ("torch", "StepLR(o, 9**9**9)", "must be written out as a value"),
        ("torch", "StepLR(o, step=3)", "StepLR has no parameter step (it has optimizer, step_size"),
        ("torch", "StepLR(*arguments)", "without * or **"),
        ("torch", "StepLR(o, 1, 2, 3, 4, 5)", "takes at most"),
        ("torch", "SequentialLR(o, [StepLR(o, 3), mine], [5])", "mine must be a scheduler of torch"),
        ("torch", "SequentialLR(o, schedulers, [5])", "schedulers must be a list of schedulers"),
        ("torch", "ReduceLROnPlateau(o)", "follows a metric"),
        ("torch", "LambdaLR(o, f)", "must be written as a lambda of one argument"),
        ("torch", "LambdaLR(o, lambda e: open(e))", "LambdaLR.lr_lambda must not call open"),
        ("torch", "MultiplicativeLR(o, lambda e: e)", "must be a lambda of a constant"),
        ("torch", "MultiplicativeLR(o, lambda e: 'x')", "must be a lambda of a constant"),
        ("torch", "StepLR(o, 1e308 * 10)", "StepLR.step_size (1e+308 * 10) must be written out as a value"),
        ("torch", "StepLR(o, " + "-" * 5000 + "1)", "source is not Python (too"),
        ("torch", {"gamma": 0.1, "base_lrs": 0.1}, "base_lrs (0.1) must be a list of numbers"),
        ("torch", {"gamma": 0.1, "base_lrs": [0.1], "milestones": {"x": 1}}, "must be counted by iteration"),
        ("torch", {"last_epoch": 3}, "none of the fields that tell a scheduler (last_epoch)"),
        ("torch", "StepLR(o, 3)", "total_iterations is required"),
        ("transformers", "x", "source must be an object"),
        ("transformers", {"num_train_epochs": 3}, "total_iterations is required"),
        (
            "transformers",
            {"max_steps": 9, "lr_scheduler_type": "greedy"},
            "lr_scheduler_type (greedy) follows a metric",
        ),
        ("transformers", {"max_steps": 9, "lr_scheduler_type": "x"}, "lr_scheduler_type (x) is not one of linear"),
        ("transformers", {"max_steps": 9, "learning_rate": "x"}, "learning_rate ('x') must be a number"),
        ("transformers", {"max_steps": 9, "lr_scheduler_kwargs": "{"}, "lr_scheduler_kwargs must be an object, or"),
        ("transformers", {"max_steps": 9, "lr_scheduler_type": "cosine_with_min_lr"}, "needs min_lr or min_lr_rate"),
        ("timm", {"sched": "plateau", "lr": 1.0}, "sched (plateau) follows a metric"),
        ("timm", {"sched": "tanh", "lr": 1.0}, "set warmup_prefix"),
        ("timm", {"sched_on_updates": True, "lr": 1.0}, "updates_per_epoch is required with sched_on_updates"),
        ("timm", {"lr_cycle_limit": 2, "lr_cycle_mul": 2.0, "lr": 1.0}, "lr_cycle_mul must be 1"),
        ("timm", {}, "target_lr is required"),
        ("deepspeed", {}, "scheduler.type (None) is not one of WarmupLR"),
        ("deepspeed", {"scheduler": {"type": "Cycle"}}, "scheduler.type (Cycle) is not one of"),
        (
            "deepspeed",
            {"scheduler": {"type": "WarmupDecayLR"}},
            "scheduler.params.total_num_steps (None) must be a number",
        ),
        ("deepspeed", {"scheduler": {"type": []}}, "scheduler.type ([]) is not one of"),
        ("keras", {"class_name": "X"}, "class_name (X) is not one of CosineDecay"),
        ("keras", {"class_name": "CosineDecay", "config": []}, "config must be an object"),
        (
            "keras",
            {"class_name": "PiecewiseConstantDecay", "config": {"boundaries": [1], "values": [1]}},
            "must have one entry more than boundaries (1), not 1",
        ),
    ],
)
def test_what_cannot_be_understood_is_refused_with_the_reason(library: str, source: Any, reason: str) -> None:
    """A source that cannot be understood gives no spec, and nothing of a text is run."""
    known: dict[str, Any] = {} if "required" in reason else {"total_iterations": 100}
    known |= {"target_lr": 0.1} if library == "torch" else {}
    with pytest.raises(NotImportable) as caught:
        imported(library, source, **known)
    assert reason in str(caught.value)


def hf(name: str, **arguments: Any) -> dict[str, Any]:
    """TrainingArguments of 100 steps, 10 of them warm-up."""
    return {
        "learning_rate": 0.01,
        "lr_scheduler_type": name,
        "lr_scheduler_kwargs": arguments,
        "warmup_steps": 10,
        "max_steps": 100,
        "output_dir": "x",
    }


HF: list[tuple[str, dict[str, Any]]] = [
    ("linear", {}),
    ("constant", {}),
    ("constant_with_warmup", {}),
    ("cosine", {}),
    ("cosine", {"num_cycles": 1.25}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("cosine_with_min_lr", {"min_lr": 0.001}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.2}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.2}),
    ("polynomial", {"power": 2.0, "lr_end": 1e-5}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 40}),
    ("warmup_stable_decay", {"num_decay_steps": 20}),
    (
        "warmup_stable_decay",
        {"num_decay_steps": 20, "decay_type": "1-sqrt", "min_lr_ratio": 0.1, "warmup_type": "cosine"},
    ),
    ("warmup_stable_decay", {"num_decay_steps": 20, "decay_type": "linear", "warmup_type": "1-sqrt"}),
]


@pytest.mark.parametrize(("name", "arguments"), HF, ids=lambda value: str(value)[:40])
@pytest.mark.filterwarnings("ignore")
def test_training_arguments_have_transformers_lrs(name: str, arguments: dict[str, Any]) -> None:
    """The spec of TrainingArguments has the LRs of the real library, stepped by hand, to rel 1e-9."""
    transformers = pytest.importorskip("transformers", reason="make conformance installs it")
    optimizer = SGD([torch.zeros(1)], lr=0.01)
    scheduler = transformers.get_scheduler(name, optimizer, 10, 100, scheduler_specific_kwargs=dict(arguments))
    expected = []
    for _ in range(101):
        expected.append(optimizer.param_groups[0]["lr"])
        scheduler.step()
    found = imported("transformers", hf(name, **arguments))
    np.testing.assert_allclose(lrs(found), expected, rtol=1e-9, atol=1e-15)
    ignored = ["warmup_steps"] if name == "constant" else []
    assert names(found) == [*ignored, "output_dir"]


def test_a_warmup_share_is_rounded_up() -> None:
    """warmup_ratio, and warmup_steps below 1, are shares of the run."""
    for warmup in ({"warmup_ratio": 0.051}, {"warmup_steps": 0.051}):
        assert imported("transformers", {"max_steps": 100, **warmup}).spec["warmup"] == {"iterations": 6}


def test_deepspeeds_table_comes_out() -> None:
    """Each of DeepSpeed's schedulers has the LRs that DeepSpeed gives its updates: one update late."""
    config = {
        "scheduler": {
            "type": "WarmupDecayLR",
            "params": {"warmup_max_lr": 1.0, "warmup_num_steps": 4, "total_num_steps": 10},
        }
    }
    linear = {**config["scheduler"]["params"], "warmup_type": "linear"}  # type: ignore[dict-item]
    expected = [0, 0, 0.5, math.log(3, 4), 1, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6]
    assert lrs(imported("deepspeed", config)) == pytest.approx(expected)
    found = imported("deepspeed", {"scheduler": {"type": "WarmupDecayLR", "params": linear}, "fp16": {}})
    assert lrs(found) == pytest.approx([0, 0, 0.25, 0.5, 0.75, 1, 5 / 6, 4 / 6, 3 / 6, 2 / 6, 1 / 6])
    assert names(found) == ["fp16"]
    cosine = {"warmup_num_steps": 4, "total_num_steps": 10, "warmup_type": "linear", "cos_min_ratio": 0.0}
    found = imported(
        "deepspeed",
        {"optimizer": {"params": {"lr": 1.0}}, "scheduler": {"type": "WarmupCosineLR", "params": cosine}},
    )
    wave = [(1 + math.cos(math.pi * s / 6)) / 2 for s in range(1, 7)]
    assert lrs(found) == pytest.approx([0, 0, 0.25, 0.5, 0.75, *wave], abs=1e-15)
    test = {"lr_range_test_min_lr": 0.1, "lr_range_test_step_size": 5}
    found = imported("deepspeed", {"scheduler": {"type": "LRRangeTest", "params": test}}, total_iterations=10)
    assert lrs(found) == pytest.approx([0.1 * (1 + n / 5) for n in range(11)])
    warmup = {"warmup_max_lr": 1.0, "warmup_num_steps": 4, "warmup_type": "linear"}
    found = imported("deepspeed", {"scheduler": {"type": "WarmupLR", "params": warmup}}, total_iterations=7)
    assert lrs(found) == pytest.approx([0, 0, 0.25, 0.5, 0.75, 1, 1, 1])
    found = imported(
        "deepspeed", {"scheduler": {"type": "WarmupLR", "params": {"warmup_num_steps": 1}}}, total_iterations=3
    )
    assert found.spec["warmup"]["iterations"] == 2


KERAS: list[tuple[str, dict[str, Any]]] = [
    ("CosineDecay", {"initial_learning_rate": 0.01, "decay_steps": 50, "alpha": 0.1}),
    ("CosineDecay", {"initial_learning_rate": 0.001, "decay_steps": 50, "warmup_target": 0.01, "warmup_steps": 10}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.01, "first_decay_steps": 9, "t_mul": 1.5, "m_mul": 0.5}),
    ("CosineDecayRestarts", {"initial_learning_rate": 0.01, "first_decay_steps": 9, "m_mul": 1.0, "alpha": 0.1}),
    ("ExponentialDecay", {"initial_learning_rate": 0.01, "decay_steps": 9, "decay_rate": 0.5, "staircase": True}),
    ("ExponentialDecay", {"initial_learning_rate": 0.01, "decay_steps": 9, "decay_rate": 0.5}),
    ("InverseTimeDecay", {"initial_learning_rate": 0.01, "decay_steps": 9, "decay_rate": 0.5, "staircase": True}),
    ("PolynomialDecay", {"initial_learning_rate": 0.01, "decay_steps": 40, "power": 2.0}),
    ("PolynomialDecay", {"initial_learning_rate": 0.01, "decay_steps": 20, "cycle": True}),
    ("PiecewiseConstantDecay", {"boundaries": [10, 30], "values": [0.1, 0.5, 0.01]}),
]


@pytest.mark.parametrize(("name", "config"), KERAS, ids=lambda value: str(value)[:40])
def test_keras_configurations_have_keras_lrs(
    name: str, config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The spec of a configuration has the LRs of the real library, to the digits of its float32."""
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    keras = pytest.importorskip("keras", reason="make conformance installs it")
    schedule = getattr(keras.optimizers.schedules, name)(**config)
    serialized = keras.optimizers.schedules.serialize(schedule)
    found = imported("keras", json.loads(json.dumps(serialized)), total_iterations=60)
    assert names(found) == []
    np.testing.assert_allclose(lrs(found), [float(schedule(n)) for n in range(61)], rtol=2e-5, atol=1e-9)


def test_a_keras_value_holds_up_to_its_boundary() -> None:
    """The value of a boundary is still that before it, as Keras documents its PiecewiseConstantDecay."""
    config = {"boundaries": [2, 4], "values": [0.5, 0.1, 0.2]}
    found = imported("keras", {"class_name": "PiecewiseConstantDecay", "config": config}, total_iterations=6)
    assert lrs(found) == pytest.approx([0.5, 0.5, 0.5, 0.1, 0.1, 0.2, 0.2])


def test_timms_arguments_become_its_sequences() -> None:
    """A cosine counts from 0 and cools down, milestones take effect one step early, lr grows with the batch."""
    cosine = {"lr": 1.0, "epochs": 10, "warmup_epochs": 4, "warmup_lr": 0.0, "cooldown_epochs": 2, "min_lr": 0.1}
    wave = [0.1 + 0.9 * (1 + math.cos(math.pi * min(n, 10) / 10)) / 2 for n in range(4, 13)]
    assert lrs(imported("timm", cosine)) == pytest.approx([0, 0.25, 0.5, 0.75, *wave])
    steps = {"lr": 1.0, "sched": "multistep", "epochs": 10, "warmup_epochs": 0, "decay_milestones": [4, 8]}
    assert lrs(imported("timm", steps)) == pytest.approx([1, 1, 1, *([0.1] * 4), *([0.01] * 4)])
    scaled = {"lr_base": 0.1, "global_batch_size": 1024, "lr_base_scale": "sqrt", "opt": "adamw", "lr_noise": [0.4]}
    found = imported("timm", scaled)
    assert found.spec["target_lr"] == pytest.approx(0.2)
    assert names(found) == ["lr_noise", "opt"]
