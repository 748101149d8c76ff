"""Fields by the names that other libraries have for them: refused with what they are called here."""

from typing import Any

import pytest

from preheat.specs import InvalidSpec
from support.specs import spec


@pytest.mark.parametrize(
    ("fields", "meant"),
    [
        ({"max_steps": 1}, "total_iterations"),
        ({"warmup_steps": 1}, "warmup.iterations"),
        ({"lr": 1}, "target_lr"),
        ({"LR": 1}, "target_lr"),
        ({"learning_rate": 1}, "target_lr"),
        ({"epochs": 1}, 'total_iterations (as "90ep", with units.iterations_per_epoch)'),
        ({"T_max": 1}, "after_scheduler.T_max"),
        ({"scheduler": {}}, "after_scheduler"),
        ({"min_lr": 1}, "after_scheduler.min_lr"),
        ({"warmup_ratio": 0.1}, 'warmup.iterations (as "10%")'),
        ({"weight_decay": 0.1}, "hyperparameters.weight_decay"),
        ({"warmup": {"steps": 5}}, "iterations"),
        ({"warmup": {"type": "linear"}}, "shape"),
        ({"after_scheduler": {"type": "CosineLR", "T_max": 5}}, "length"),
        ({"after_scheduler": {"type": "CosineAnnealingLR", "length": 5}}, "T_max"),
        ({"after_scheduler": {"type": "CosineAnnealingLR", "min_lr": 0}}, "eta_min"),
        ({"after_scheduler": {"type": "LinearLR", "length": 5}}, "total_iters"),
        ({"param_groups": [{"lr": 1}]}, "target_lr"),
        ({"param_groups": [{"lr_scale": 1}]}, "factor"),
        ({"param_groups": [{"weight_decay": 0}]}, "hyperparameters.weight_decay"),
        ({"targt_lr": 1}, "target_lr"),
    ],
    ids=str,
)
def test_another_librarys_name_is_answered_with_ours(fields: dict[str, Any], meant: str) -> None:
    """A field that transformers, torch, timm and others have is named as it is called here, where it is meant."""
    with pytest.raises(InvalidSpec) as refused:
        spec(**fields)
    [violation] = refused.value.violations
    assert violation.rule.startswith(f"is not a known field; did you mean {meant}? (known: ")


@pytest.mark.parametrize("name", ["foo", "steps", "T_max"])
def test_a_name_that_means_nothing_in_a_model_has_no_suggestion(name: str) -> None:
    """A table of values has no length, and units no steps."""
    with pytest.raises(InvalidSpec) as refused:
        spec({"type": "TableLR", "values": [1.0], name: 1})
    assert "did you mean" not in refused.value.violations[0].rule
