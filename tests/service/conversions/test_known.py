"""What the caller knows of a run: it goes before the source, and what has no effect is named."""

import math
from typing import Any

import pytest

from preheat.conversions import Source
from preheat.conversions.importers import import_schedule
from preheat.conversions.known import Known
from preheat.errors import NotImportable

STEPS = {"lr_scheduler_type": "cosine", "learning_rate": 1e-4, "max_steps": 1000, "warmup_steps": 10}
EPOCHS = {"lr_scheduler_type": "cosine", "learning_rate": 1e-4, "num_train_epochs": 3}
TORCH = "CosineAnnealingLR(SGD(p, lr=0.1), T_max=90)"
RUN = {"dataset_size": 5000, "batch_size": 2, "epochs": 12}


@pytest.mark.parametrize(
    ("library", "source", "known", "unused"),
    [
        ("transformers", STEPS, RUN, {"dataset_size", "batch_size", "epochs"}),
        ("transformers", STEPS, {"target_lr": 0.0, "warmup_iterations": 0, "total_iterations": 500}, set()),
        ("transformers", EPOCHS, RUN, set()),
        ("transformers", EPOCHS, {"total_iterations": 500, "dataset_size": 5000}, {"dataset_size"}),
        ("torch", TORCH, {"target_lr": 0.1, "dataset_size": 100, "devices": 3}, {"dataset_size", "devices"}),
    ],
)
def test_what_has_no_effect_is_named(library: Source, source: Any, known: dict[str, Any], unused: set[str]) -> None:
    """A value that the length does not depend on is not dropped without a word, and one that counts is not named."""
    found = import_schedule(library, source, Known(**known))
    named = {left.field for left in found.not_carried if "changes nothing here" in left.reason}
    assert named == unused


@pytest.mark.parametrize(
    "known", [{"epochs": 1e308}, {"epochs": math.nan}, {"epochs": math.inf}, {"dataset_size": 10**400, "epochs": 1.5}]
)
def test_a_run_longer_than_any_is_refused_by_what_makes_it_so(known: dict[str, Any]) -> None:
    """Epochs and samples of which no number of updates can be told are named, and raise nothing else."""
    with pytest.raises(NotImportable, match=r"^(epochs|dataset_size) \(.*\) must be a (whole )?number"):
        import_schedule("transformers", {}, Known(**{"dataset_size": 1000, **known}))
