"""Epochs that are told by the dataset: as many iterations as a framework's loader and its accumulation make."""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, DistributedSampler

from preheat.schedule import Schedule
from preheat.specs import InvalidSpec, Spec
from support.specs import content, spec


def run(epochs: int = 1, **units: Any) -> Spec:
    """A run of some epochs."""
    return spec(total_iterations=f"{epochs}ep", warmup=None, units=units)


def counted(samples: int, batch: int, accumulation: int, devices: int, *, drop_last: bool) -> int:
    """Updates of one epoch on the first device, counted in torch's own loader: the last, shorter one included."""
    dataset = torch.zeros(samples)
    sampler = DistributedSampler(dataset, num_replicas=devices, rank=0)  # type: ignore[arg-type,var-annotated]
    loader = DataLoader(dataset, batch, sampler=sampler, drop_last=drop_last)  # type: ignore[arg-type,var-annotated]
    updates = 0
    for index, _ in enumerate(loader, start=1):
        updates += index % accumulation == 0 or index == len(loader)
    return updates


@given(
    samples=st.integers(1, 400),
    batch=st.integers(1, 40),
    accumulation=st.integers(1, 5),
    devices=st.integers(1, 4),
    epochs=st.integers(1, 5),
)
def test_an_epoch_is_as_many_updates_as_torchs_loader_makes(
    samples: int, batch: int, accumulation: int, devices: int, epochs: int
) -> None:
    """A last batch and a last accumulation that are not full are an iteration, as in transformers and Lightning."""
    found = run(epochs, dataset_size=samples, batch_size=batch, accumulation=accumulation, devices=devices)
    assert found.total_iterations == epochs * counted(samples, batch, accumulation, devices, drop_last=False)


@pytest.mark.parametrize(("samples", "batch", "accumulation"), [(1000, 16, 2), (1000, 16, 1), (96, 16, 3), (16, 16, 1)])
def test_a_last_batch_may_be_dropped(samples: int, batch: int, accumulation: int) -> None:
    """With drop_last as in torch's DataLoader; 1000 samples are 62 batches of 16."""
    found = run(3, dataset_size=samples, batch_size=batch, accumulation=accumulation, drop_last=True)
    assert found.total_iterations == 3 * counted(samples, batch, accumulation, 1, drop_last=True)


@pytest.mark.parametrize(
    ("units", "iterations"),
    [
        ({}, 96),  # 63 batches, 32 updates an epoch: what transformers 5 counts
        ({"rounding": "down"}, 93),
        ({"rounding": "none"}, 95),  # 31.5 an epoch, 94.5 in all
        ({"drop_last": True}, 93),
        ({"accumulation": None}, 189),
        ({"devices": 2}, 48),
        ({"devices": 2, "rounding": "down", "drop_last": True}, 45),
    ],
)
def test_three_epochs_of_a_thousand_samples(units: dict[str, Any], iterations: int) -> None:
    """Batch 16 and accumulation 2, by each way of rounding; half an iteration over the whole run rounds up."""
    fields = {"dataset_size": 1000, "batch_size": 16, "accumulation": 2} | units
    given_fields = {name: value for name, value in fields.items() if value is not None}
    assert run(3, **given_fields).total_iterations == iterations


def test_transformers_counts_the_same_updates() -> None:
    """Its own arithmetic, of the length that torch's loader has, for numbers that divide and numbers that do not."""
    transformers = pytest.importorskip("transformers")
    for samples, batch, accumulation in ((1000, 16, 2), (96, 16, 3), (97, 16, 3), (5, 8, 4)):
        args = transformers.TrainingArguments(
            output_dir="unused",
            per_device_train_batch_size=batch,
            gradient_accumulation_steps=accumulation,
            num_train_epochs=3,
            use_cpu=True,
            report_to=[],
        )
        dataset = [{"x": torch.zeros(1)}] * samples
        trainer = transformers.Trainer(torch.nn.Linear(1, 1), args, train_dataset=dataset)
        *_, steps = trainer.set_initial_training_values(args, trainer.get_train_dataloader())
        assert steps == run(3, dataset_size=samples, batch_size=batch, accumulation=accumulation).total_iterations


def test_the_answer_has_what_follows_and_no_other_id() -> None:
    """iterations_per_epoch and samples_per_iteration: the schedule is that of who has written them."""
    units = {"dataset_size": 1000, "batch_size": 16, "accumulation": 2, "devices": 4}
    told = Schedule(run(3, **units))
    assert told.spec_dict["units"] == {"iterations_per_epoch": 8.0, "samples_per_iteration": 128.0}
    assert told.id == Schedule(run(3, iterations_per_epoch=8, samples_per_iteration=128)).id
    assert spec(**content(**told.spec_dict)) == told.spec
    assert run(1, **units, samples_per_iteration=128, iterations_per_epoch=8).total_iterations == 8


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ({"dataset_size": 10}, "units.batch_size is required with dataset_size"),
        ({"batch_size": 10}, "units.batch_size (10) must stand beside dataset_size"),
        ({"rounding": "down"}, 'units.rounding ("down") must stand beside dataset_size'),
        (
            {"dataset_size": 10, "batch_size": 16, "drop_last": True},
            "units.dataset_size (10) must be at least one iteration: all of it is dropped",
        ),
        (
            {"dataset_size": 10, "batch_size": 10**9, "devices": 10**9},
            "units.dataset_size (10) makes units.samples_per_iteration 1e+18, which must be in 1e-06 … 1e+15",
        ),
        (
            {"dataset_size": 10, "batch_size": 10, "accumulation": 10**8, "rounding": "none"},
            "units.dataset_size (10) makes units.iterations_per_epoch 1e-08, which must be in 1e-06 … 1e+15",
        ),
        (
            {"dataset_size": 1000, "batch_size": 16, "iterations_per_epoch": 62.5},
            "units.iterations_per_epoch (62.5) must be left out, or 63, which follows from dataset_size",
        ),
        (
            {"dataset_size": 1000, "batch_size": 16, "devices": 2, "samples_per_iteration": 16},
            "units.samples_per_iteration (16.0) must be left out, or 32, which follows from dataset_size",
        ),
        ({"dataset_size": 1000, "batch_size": 0}, "units.batch_size (0) must be ≥ 1"),
        ({"dataset_size": 1000, "batch_size": 16.5}, "units.batch_size (16.5) must be a whole number"),
        ({"dataset_size": 1000, "batch_size": 16, "rounding": "half"}, "must be one of 'up', 'down' or 'none'"),
    ],
)
def test_what_does_not_say_an_epoch_is_refused(units: dict[str, Any], message: str) -> None:
    """By field, value and rule: what is missing, what contradicts, what would be no iteration."""
    with pytest.raises(InvalidSpec) as refused:
        run(3, **units)
    assert message in str(refused.value)


def test_a_batch_that_grows_keeps_its_ramp() -> None:
    """An epoch follows from the dataset, samples from the ramp."""
    ramp = [{"start": 0, "size": 16}, {"start": 1600, "size": 32}]
    found = run(3, dataset_size=1000, batch_size=16, samples_per_iteration=ramp)
    assert found.total_iterations == 3 * math.ceil(1000 / 16)
    assert found.units is not None
    assert isinstance(found.units.samples_per_iteration, tuple)
