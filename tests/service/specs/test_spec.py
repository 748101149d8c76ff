"""Specs: what is asked for, normalised or refused by field, value and rule."""

import json
from typing import Any

import pytest
from hypothesis import given

from after_schedulers import ANY, EXAMPLES, example_id
from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, parse_spec, spec_of
from preheat.specs.after_schedulers import SCHEDULER_TYPES
from preheat.specs.parse import content_of_file
from support.specs import spec


def refusals(**fields: Any) -> dict[str, str]:
    """Pointer and message of everything that is refused."""
    with pytest.raises(InvalidSpec) as refused:
        parse_spec(json.dumps({"target_lr": 0.1, "total_iterations": 100} | fields))
    return {violation.pointer: violation.detail for violation in refused.value.violations}


@given(after_scheduler=ANY)
def test_normalising_twice_changes_nothing(after_scheduler: dict[str, Any]) -> None:
    """A normalised spec is its own normal form, and has the same id."""
    once = spec(after_scheduler)
    twice = parse_spec(once.model_dump_json(exclude_none=True))
    assert (twice, Schedule(twice).id) == (once, Schedule(once).id)


@pytest.mark.parametrize("after_scheduler", EXAMPLES, ids=example_id)
def test_defaults_are_torchs(after_scheduler: dict[str, Any]) -> None:
    """Every parameter that torch has a default for has the same one here."""
    import inspect  # noqa: PLC0415

    from torch.optim import lr_scheduler  # noqa: PLC0415
    from torch.optim.swa_utils import SWALR  # noqa: PLC0415

    kind = after_scheduler["type"]
    torch_class = SWALR if kind == "SWALR" else getattr(lr_scheduler, kind)
    model = SCHEDULER_TYPES[kind]
    parameters = inspect.signature(torch_class).parameters
    ours = {name: field for name, field in model.model_fields.items() if name != "type"}
    code = {"self", "optimizer", "last_epoch", "scale_fn", "scale_mode"}
    assert set(parameters) - code == set(ours)
    for name, field in ours.items():
        default = parameters[name].default
        if default is not inspect.Parameter.empty:
            assert field.default == default, name


def test_ids_are_the_same_everywhere() -> None:
    """The id of the reference spec, once computed, never changes for this torch."""
    reference = spec({"type": "CosineAnnealingLR"}, total_iterations=20, target_lr=0.01)
    assert Schedule(reference).id == "630e8304e0352e14c20ae59b8f487901"
    assert Schedule(reference, torch_version="2.14.0").id != Schedule(reference).id


def test_numbers_that_are_equal_are_the_same_schedule() -> None:
    """Whether a number is written 1 or 1.0, 0.0 or -0.0, makes no difference to the id."""
    assert Schedule(spec(target_lr=1)).id == Schedule(spec(target_lr=1.0)).id
    assert Schedule(spec(target_lr=0.0)).id == Schedule(spec(target_lr=-0.0)).id


def test_durations_default_to_what_is_left() -> None:
    """T_max defaults to the iterations that are left, total_steps to the values, in a sequence to the child's own."""
    assert spec({"type": "CosineAnnealingLR"}).after_scheduler.T_max == 50  # type: ignore[union-attr]
    assert spec({"type": "OneCycleLR", "max_lr": 1}).after_scheduler.total_steps == 51  # type: ignore[union-attr]
    turns = [{"type": "CosineAnnealingLR"}, {"type": "OneCycleLR", "max_lr": 1}, {"type": "OneCycleLR", "max_lr": 1}]
    sequence = spec({"type": "SequentialLR", "schedulers": turns, "milestones": [20, 35]}).after_scheduler
    assert [getattr(turn, "T_max", None) or turn.total_steps for turn in sequence.schedulers] == [20, 15, 16]  # type: ignore[union-attr]


def test_a_factor_for_every_iteration_that_is_left_is_taken() -> None:
    """A MultiplicativeLR may have as many factors as iterations are left of the run."""
    found = spec({"type": "MultiplicativeLR", "lr_lambda": [0.5] * 50}).after_scheduler
    assert len(found.lr_lambda) == 50  # type: ignore[union-attr]


def test_epochs_times_steps_is_total_steps() -> None:
    """The two ways of saying a OneCycleLR's length are one schedule."""
    cycle = {"type": "OneCycleLR", "max_lr": 1}
    assert spec({**cycle, "epochs": 5, "steps_per_epoch": 10}) == spec({**cycle, "total_steps": 50})


@pytest.mark.parametrize(
    ("after_scheduler", "pointer", "rule"),
    [
        ({"type": "OneCycleLR", "max_lr": 1, "total_steps": 99}, "/total_steps", "(99) must match what is left"),
        ({"type": "OneCycleLR", "max_lr": 1, "total_steps": 102}, "/total_steps", "100 or 101"),
        ({"type": "OneCycleLR", "max_lr": 1, "epochs": 10}, "/steps_per_epoch", "is required beside epochs"),
        (
            {"type": "OneCycleLR", "max_lr": 1, "epochs": 10, "steps_per_epoch": 10, "total_steps": 101},
            "/total_steps",
            "must equal epochs · steps_per_epoch (100)",
        ),
        ({"type": "OneCycleLR", "max_lr": [1, 2]}, "/max_lr", "one entry per param group: 1, not 2"),
        ({"type": "OneCycleLR", "max_lr": 1, "div_factor": 1e-9}, "/div_factor", "makes the first LR exceed"),
        ({"type": "OneCycleLR", "max_lr": 1, "final_div_factor": 1e-9}, "/final_div_factor", "the last LR exceed"),
        ({"type": "OneCycleLR", "max_lr": 1, "pct_start": 1.5}, "/pct_start", "(1.5) must be ≤ 1"),
        (
            {"type": "MultiStepLR", "milestones": [30, 20]},
            "/milestones/1",
            "(20) must be greater than milestones[0] (30)",
        ),
        ({"type": "MultiStepLR", "milestones": [30, 30]}, "/milestones/1", "(30) must not repeat"),
        ({"type": "MultiStepLR", "milestones": [101]}, "/milestones/0", "(101) must not exceed the 100 iterations"),
        ({"type": "MultiStepLR", "milestones": [0]}, "/milestones/0", "(0) must be ≥ 1"),
        ({"type": "MultiStepLR", "milestones": []}, "/milestones", "at least 1"),
        ({"type": "MultiStepLR", "milestones": 5}, "/milestones", "(5) must be a list"),
        ({"type": "CosineAnnealingLR", "eta_min": -1}, "/eta_min", "(-1) must be ≥ 0"),
        ({"type": "CyclicLR", "base_lr": -0.1, "max_lr": 1}, "/base_lr", "(-0.1) must be ≥ 0"),
        ({"type": "CyclicLR", "base_lr": 0.1, "max_lr": "1"}, "/max_lr", '("1") must be a number'),
        ({"type": "CyclicLR", "base_lr": 0.1, "max_lr": 1, "mode": "saw"}, "/mode", '("saw") must be one of'),
        ({"type": "CyclicLR", "base_lr": 0.1, "max_lr": 1, "scale_fn": "x"}, "/scale_fn", "is not a known field"),
        ({"type": "SWALR", "swa_lr": -1}, "/swa_lr", "(-1) must be ≥ 0"),
        ({"type": "ExponentialLR"}, "/gamma", "is required"),
        ({"type": "ExponentialLR", "gamma": -0.5}, "/gamma", "(-0.5) must be ≥ 0"),
        ({"type": "MultiplicativeLR", "lr_lambda": [0.5, -1]}, "/lr_lambda/1", "(-1) must be ≥ 0"),
        ({"type": "MultiplicativeLR", "lr_lambda": [0.5] * 101}, "/lr_lambda", "more factors than iterations"),
        ({"type": "ConstantLR", "factor": 1.5}, "/factor", "(1.5) must be ≤ 1"),
        ({"type": "CosineAnnealing"}, "/type", "did you mean CosineAnnealingLR?"),
        ({"type": "Nonsense"}, "/type", "known: ChainedScheduler, ClampLR, ConstantLR"),
        ({}, "/type", "is required"),
        ({"type": "CosineAnnealingLR", "tmax": 5}, "/tmax", "did you mean T_max?"),
        ({"type": "SequentialLR", "schedulers": [], "milestones": []}, "/schedulers", "at least 1"),
        (
            {"type": "SequentialLR", "schedulers": [{"type": "ConstantLR"}], "milestones": [5]},
            "/milestones",
            "one entry fewer than schedulers (1), not 1",
        ),
        (
            {
                "type": "SequentialLR",
                "schedulers": [{"type": "ConstantLR"}, {"type": "MultiStepLR", "milestones": [51]}],
                "milestones": [50],
            },
            "/schedulers/1/milestones/0",
            "(51) must not exceed the 50 iterations",
        ),
        (
            {"type": "ChainedScheduler", "schedulers": [{"type": "StepLR", "step_size": 0}]},
            "/schedulers/0/step_size",
            "(0) must be ≥ 1",
        ),
    ],
)
def test_schedulers_are_refused_by_field_value_and_rule(
    after_scheduler: dict[str, Any], pointer: str, rule: str
) -> None:
    """A wrong scheduler gets one violation, which points to the value and says what it must be."""
    found = refusals(after_scheduler=after_scheduler)
    assert list(found) == [f"/after_scheduler{pointer}"]
    assert rule in found[f"/after_scheduler{pointer}"]


@pytest.mark.parametrize(
    ("fields", "pointer", "message"),
    [
        ({"warmup": {"iterations": 500}}, "/warmup/iterations", "(500) must not exceed total_iterations (100)"),
        ({"warmup": {"iterations": -1}}, "/warmup/iterations", "(-1) must be ≥ 0"),
        ({"warmup": True}, "/warmup", "(true) must be an object"),
        ({"warmup": "soon"}, "/warmup/iterations", '("soon") must be a whole number of iterations or a duration'),
        ({"warmup": 500}, "/warmup/iterations", "(500) must not exceed total_iterations (100)"),
        ({"warmup": {"iteration": 10}}, "/warmup/iteration", "did you mean iterations?"),
        ({"target_lr": -0.1}, "/target_lr", "(-0.1) must be ≥ 0"),
        ({"target_lr": 1e7}, "/target_lr", "must be ≤ 1000000"),
        ({"total_iterations": 0}, "/total_iterations", "(0) must be ≥ 1"),
        ({"total_iterations": "100"}, "/total_iterations", '("100") must be a whole number'),
        ({"param_groups": []}, "/param_groups", "at least 1"),
        ({"param_groups": [{"name": "a"}, {}]}, "/param_groups/1/name", "is required: other groups have one"),
        ({"param_groups": [{"name": "a"}, {"name": "a"}]}, "/param_groups/1/name", "must not repeat"),
        ({"param_groups": [{"lr": 1}]}, "/param_groups/0/lr", "did you mean target_lr?"),
        ({"label": ""}, "/label", "at least 1 character"),
        ({"label": "x" * 201}, "/label", "at most 200 characters"),
        (
            {"warmup": {"iterations": 100}, "after_scheduler": {"type": "CosineAnnealingLR"}},
            "/after_scheduler/T_max",
            "nothing is left of the run",
        ),
    ],
)
def test_fields_are_refused_by_value_and_rule(fields: dict[str, Any], pointer: str, message: str) -> None:
    """A wrong field gets one violation, which points to the value and says what it must be."""
    found = refusals(**fields)
    assert list(found) == [pointer]
    assert message in found[pointer]


def test_many_wrong_entries_get_one_message() -> None:
    """A list is given up at its first wrong entry: the answer to a large mistake is small."""
    spec = {"target_lr": 1, "total_iterations": 5, "param_groups": [1] * 200_000}
    with pytest.raises(InvalidSpec) as refused:
        parse_spec(json.dumps(spec))
    assert [violation.pointer for violation in refused.value.violations] == ["/param_groups/0"]


class TestPhases:
    """The names that a picture writes."""

    def test_warmup_then_schedulers_by_turn(self) -> None:
        """Phases begin where the LRs' formulas do: iteration W belongs to the warm-up."""
        turns = [{"type": "ConstantLR"}, {"type": "StepLR", "step_size": 3}]
        found = spec({"type": "SequentialLR", "schedulers": turns, "milestones": [20]}).phases
        assert [(p.name, p.start, p.stop) for p in found] == [
            ("warm-up", 0, 11),
            ("ConstantLR", 11, 30),
            ("StepLR", 30, 61),
        ]

    def test_without_after_scheduler_the_rest_is_constant(self) -> None:
        """Without a scheduler what follows the warm-up is constant, and a run that is all warm-up has one phase."""
        assert [(p.name, p.start, p.stop) for p in spec(warmup=None, total_iterations=1).phases] == [("constant", 0, 2)]
        assert [(p.name, p.start, p.stop) for p in spec(warmup={"iterations": 60}).phases] == [("warm-up", 0, 61)]


class TestFiles:
    """Specs in YAML."""

    def test_yaml_and_json_are_the_same_spec(self) -> None:
        """In YAML 1e-2 is a number, a date is a text, and a comment counts for nothing."""
        text = "# mine\ntarget_lr: 1e-2\ntotal_iterations: 20\nwarmup: {iterations: 10}\nlabel: 2026-01-31\n"
        content = {"target_lr": 0.01, "total_iterations": 20, "warmup": {"iterations": 10}, "label": "2026-01-31"}
        assert (
            spec_of(content_of_file(text))
            == spec_of(content_of_file(json.dumps(content)))
            == parse_spec(json.dumps(content))
        )

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("target_lr: 1\ntarget_lr: 2", "'target_lr' twice"),
            ("a: [", "is not valid YAML"),
            ("", "must be an object"),
            ("target_lr: .nan\ntotal_iterations: 5", r"target_lr \(NaN\) must be a finite number"),
            ("!!python/object/apply:os.system [ls]", "is not valid YAML"),
            ("[" * 5000, "is not valid YAML"),
        ],
    )
    def test_bad_yaml_is_refused(self, text: str, message: str) -> None:
        """A file that is not YAML, or is no spec, is refused as a wrong spec is."""
        with pytest.raises(InvalidSpec, match=message):
            spec_of(content_of_file(text))
