"""The real Lightning Trainer, training a tiny module on the CPU, at the LRs of a real service."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from preheat_client import ParamGroupMismatch, Preheat, Schedule, ScheduleMismatch
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, REFERENCE_SPEC

pytest.importorskip("lightning", reason="make adapters installs it")

import lightning

from preheat_client.lightning import PreheatCallback

pytestmark = pytest.mark.filterwarnings("default")  # what lightning and torch warn of is theirs


@pytest.fixture
def schedule(url: str) -> Iterator[Schedule]:
    """The reference schedule."""
    with Preheat(url) as preheat:
        yield preheat.create(REFERENCE_SPEC)


class Module(lightning.LightningModule):  # type: ignore[misc] # it has no types where it is not installed
    """A linear layer; `used` has the LR of each update, as the optimizer had it."""

    def __init__(self, schedule: Schedule | None = None) -> None:
        super().__init__()
        self.model = torch.nn.Linear(4, 1)
        self.used: list[str] = []
        self._scheduled_by = [schedule] if schedule else []

    def training_step(self, batch: Any, _: int) -> Any:
        """One micro-batch."""
        return self.model(batch[0]).square().mean()

    def configure_optimizers(self) -> Any:
        """With a scheduler, if the module is to know of the service."""
        optimizer = torch.optim.AdamW(self.parameters(), lr=1.0)
        optimizer.register_step_post_hook(lambda *_: self.used.append(str(optimizer.param_groups[0]["lr"])))
        schedulers = [
            {"scheduler": RemoteLR(optimizer, schedule), "interval": "step"} for schedule in self._scheduled_by
        ]
        return [optimizer], schedulers


def batches(count: int) -> Any:
    """An epoch."""
    return torch.utils.data.DataLoader(torch.utils.data.TensorDataset(torch.randn(2 * count, 4)), batch_size=2)


def trained(
    folder: Path,
    module: Any,
    callbacks: Any = (),
    accumulated: int = 1,
    from_checkpoint: str | None = None,
    plugins: Any = None,
) -> Any:
    """LRs of 20 updates, of which the eighth is followed by a checkpoint."""
    saving = lightning.pytorch.callbacks.ModelCheckpoint(
        folder, filename="{step}", every_n_train_steps=8, save_top_k=-1, save_last=False
    )
    trainer = lightning.Trainer(
        max_steps=20,
        accumulate_grad_batches=accumulated,
        accelerator="cpu",
        logger=False,
        default_root_dir=folder,
        callbacks=[saving, *callbacks],
        plugins=plugins,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, batches(15 * accumulated), ckpt_path=from_checkpoint)
    return module.used


@pytest.mark.parametrize("accumulated", [1, 4])
@pytest.mark.parametrize("way", ["scheduler", "callback"])
def test_every_update_runs_at_the_tables_lr(tmp_path: Path, schedule: Schedule, way: str, accumulated: int) -> None:
    """By configure_optimizers or by callback each update has its LR, and accumulating batches are no updates."""
    module = Module(schedule if way == "scheduler" else None)
    callbacks = [] if way == "scheduler" else [PreheatCallback(schedule)]
    assert trained(tmp_path, module, callbacks, accumulated) == list(REFERENCE_ROWS)


def test_an_epoch_that_ends_in_the_middle_of_accumulating_is_counted_right(tmp_path: Path, schedule: Schedule) -> None:
    """Lightning makes an update of what is there at the end of an epoch; fitting again goes on counting."""
    checkpoint = str(tmp_path / "after.ckpt")
    for epochs, from_checkpoint in ((2, None), (3, checkpoint)):
        module = Module()
        trainer = lightning.Trainer(
            max_epochs=epochs,
            accumulate_grad_batches=4,
            accelerator="cpu",
            logger=False,
            default_root_dir=tmp_path,
            callbacks=[PreheatCallback(schedule)],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        trainer.fit(module, batches(10), ckpt_path=from_checkpoint)  # 3 updates an epoch
        trainer.save_checkpoint(checkpoint)
    trainer.fit_loop.max_epochs = 5
    trainer.fit(module, batches(10))
    assert module.used == list(REFERENCE_ROWS[6:15])


@pytest.mark.parametrize("way", ["scheduler", "callback"])
def test_a_resume_is_exact(tmp_path: Path, schedule: Schedule, way: str) -> None:
    """A run that is resumed from the checkpoint after update 8 reads the LRs that were to come."""
    for folder, checkpoint, rows in ((tmp_path, None, 0), (tmp_path / "again", str(tmp_path / "step=8.ckpt"), 8)):
        module = Module(schedule if way == "scheduler" else None)
        callbacks = [] if way == "scheduler" else [PreheatCallback(schedule)]
        assert trained(folder, module, callbacks, from_checkpoint=checkpoint) == list(REFERENCE_ROWS[rows:])


@pytest.mark.parametrize("way", ["scheduler", "callback"])
def test_updates_that_are_skipped_are_none(tmp_path: Path, schedule: Schedule, way: str) -> None:
    """What a GradScaler skips while gradients overflow, as with fp16, uses no LR up."""
    module = Module(schedule if way == "scheduler" else None)
    callbacks = [] if way == "scheduler" else [PreheatCallback(schedule)]
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**20)
    precision = lightning.pytorch.plugins.precision.MixedPrecision("16-mixed", "cpu", scaler)
    used = trained(tmp_path, module, callbacks, plugins=[precision])
    assert 10 < len(used) < 20
    assert used == list(REFERENCE_ROWS[: len(used)])


class Pair(lightning.LightningModule):  # type: ignore[misc] # it has no types where it is not installed
    """Two optimizers under manual optimization, the second updated every other time; `used` by optimizer."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.models = torch.nn.ModuleList([torch.nn.Linear(4, 1), torch.nn.Linear(4, 1)])
        self.used: list[list[str]] = [[], []]

    def training_step(self, batch: Any, index: int) -> None:
        """One batch."""
        for which, optimizer in enumerate(self.optimizers()):
            if which == 0 or index % 2 == 1:
                optimizer.zero_grad()
                self.manual_backward(self.models[which](batch[0]).square().mean())
                optimizer.step()

    def configure_optimizers(self) -> Any:
        """Each notes its own updates."""
        optimizers = [torch.optim.SGD(model.parameters(), lr=1.0) for model in self.models]
        for optimizer, used in zip(optimizers, self.used, strict=True):
            optimizer.register_step_post_hook(lambda on, *_, used=used: used.append(str(on.param_groups[0]["lr"])))
        return optimizers


def test_several_optimizers_each_count_their_own_updates(tmp_path: Path, schedule: Schedule) -> None:
    """Two optimizers that take turns, as of a GAN, each run at the table from its beginning."""
    first, second = trained(tmp_path, Pair(), [PreheatCallback(schedule)])
    assert (first, second) == (list(REFERENCE_ROWS[:14]), list(REFERENCE_ROWS[:7]))


def test_a_callback_can_join_a_run(tmp_path: Path, schedule: Schedule) -> None:
    """A checkpoint that was made without the callback goes on at the next update, if that can be told."""
    trained(tmp_path, Module())
    checkpoint = str(tmp_path / "step=8.ckpt")
    used = trained(tmp_path / "again", Module(), [PreheatCallback(schedule)], from_checkpoint=checkpoint)
    assert used == list(REFERENCE_ROWS[8:])

    trained(tmp_path / "pair", Pair())
    checkpoint = str(next((tmp_path / "pair").glob("*.ckpt")))
    with pytest.raises(ValueError, match=r"global_step \(\d+\) must be 0 for 2 optimizers"):
        trained(tmp_path / "last", Pair(), [PreheatCallback(schedule)], from_checkpoint=checkpoint)


def test_the_checkpoint_of_another_schedule_is_refused(tmp_path: Path, schedule: Schedule, url: str) -> None:
    """A run must not go on with a schedule by mistake."""
    trained(tmp_path, Module(), [PreheatCallback(schedule)])
    with Preheat(url) as preheat:
        other = preheat.create({**REFERENCE_SPEC, "target_lr": 0.02})
        checkpoint = str(tmp_path / "step=8.ckpt")
        with pytest.raises(ScheduleMismatch, match=schedule.id):
            trained(tmp_path / "again", Module(), [PreheatCallback(other)], from_checkpoint=checkpoint)


def test_other_param_groups_are_refused_before_the_first_update(tmp_path: Path, url: str) -> None:
    """A schedule of two param groups for an optimizer of one raises ParamGroupMismatch."""
    with Preheat(url) as preheat:
        schedule = preheat.create({**REFERENCE_SPEC, "param_groups": [{"name": "a"}, {"name": "b"}]})
        module = Module()
        with pytest.raises(ParamGroupMismatch, match="the optimizer has 1 param groups, the schedule has 2"):
            trained(tmp_path, module, [PreheatCallback(schedule)])
    assert module.used == []
