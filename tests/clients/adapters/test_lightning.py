"""The real Lightning Trainer, training a tiny module on the CPU, at the LRs of a real service."""

from pathlib import Path
from typing import Any

import pytest
import torch

from preheat_client import ParamGroupMismatch, Preheat, Schedule, ScheduleMismatch
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from support.fake_runs import SPEC

pytest.importorskip("lightning", reason="make adapters installs it")

import lightning

from preheat_client.lightning import PreheatCallback

pytestmark = pytest.mark.filterwarnings("default")  # what lightning and torch warn of is theirs


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


class Rivalled(Module):
    """With a scheduler of its own, which the callback is to override, stepped after each batch or epoch."""

    def __init__(self, interval: str) -> None:
        super().__init__()
        self.interval = interval

    def configure_optimizers(self) -> Any:
        """The optimizer of the others, and an LR that falls to a tenth at each step."""
        (optimizer,), _ = super().configure_optimizers()
        return [optimizer], [
            {"scheduler": torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.1), "interval": self.interval}
        ]


def fitted(folder: Path, module: Any, *callbacks: Any, **options: Any) -> Any:
    """The trainer, after 20 updates in 4 epochs that were logged one by one."""
    trainer = lightning.Trainer(
        **{
            "max_steps": 20,
            "log_every_n_steps": 1,
            "accelerator": "cpu",
            "logger": lightning.pytorch.loggers.CSVLogger(folder),
            "callbacks": list(callbacks),
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            **options,
        }
    )
    trainer.fit(module, batches(5 * options.get("accumulate_grad_batches", 1)))
    return trainer


@pytest.mark.parametrize("is_monitor_first", [True, False])
@pytest.mark.parametrize("rival", [None, "step", "epoch"])
@pytest.mark.parametrize(("interval", "rows"), [("step", REFERENCE_ROWS), ("epoch", REFERENCE_ROWS[::5])])
def test_a_learning_rate_monitor_logs_the_lr_of_each_update(
    tmp_path: Path, schedule: Schedule, is_monitor_first: bool, rival: str | None, interval: Any, rows: tuple[str, ...]
) -> None:
    """In whatever order the callbacks are, and whatever a scheduler of the module's own does."""
    monitor = lightning.pytorch.callbacks.LearningRateMonitor(logging_interval=interval)
    callbacks = [monitor, PreheatCallback(schedule)]
    module = Rivalled(rival) if rival else Module()
    fitted(tmp_path, module, *(callbacks if is_monitor_first else reversed(callbacks)))
    assert module.used == list(REFERENCE_ROWS)
    assert [str(lr) for lr in monitor.lrs["lr-AdamW"]] == list(rows)


def test_a_monitor_logs_each_update_of_accumulated_batches(tmp_path: Path, schedule: Schedule) -> None:
    """The batches of an update are all logged at its LR."""
    monitor = lightning.pytorch.callbacks.LearningRateMonitor(logging_interval="step")
    fitted(tmp_path, Module(), monitor, PreheatCallback(schedule), accumulate_grad_batches=4)
    assert [str(lr) for lr in monitor.lrs["lr-AdamW"]] == [row for row in REFERENCE_ROWS for _ in range(4)]


class ByEpoch(Module):
    """A scheduler at Lightning's default interval, an epoch."""

    def __init__(self, schedule: Schedule, **options: Any) -> None:
        super().__init__()
        self._schedule, self._options = [schedule], options

    def configure_optimizers(self) -> Any:
        """The optimizer of the others, and the scheduler without a word on when it is stepped."""
        (optimizer,), _ = super().configure_optimizers()
        return [optimizer], [RemoteLR(optimizer, self._schedule[0], **self._options)]


def test_lightnings_default_interval_is_an_epoch(tmp_path: Path, schedule: Schedule) -> None:
    """A schedule in epochs is followed epoch by epoch, and resumed in one."""
    module = ByEpoch(schedule, unit="epoch")
    trainer = fitted(tmp_path, module)
    trainer.save_checkpoint(tmp_path / "after.ckpt")
    assert module.used == [row for row in REFERENCE_ROWS[:4] for _ in range(5)]
    again = ByEpoch(schedule, unit="epoch")
    trainer = lightning.Trainer(max_epochs=6, accelerator="cpu", logger=False, enable_checkpointing=False)
    trainer.fit(again, batches(5), ckpt_path=tmp_path / "after.ckpt")
    assert again.used == [row for row in REFERENCE_ROWS[4:6] for _ in range(5)]


def test_the_default_interval_under_a_schedule_in_iterations_is_told(
    tmp_path: Path, schedule: Schedule, caplog: pytest.LogCaptureFixture
) -> None:
    """At the end of the second epoch, with what Lightning calls it."""
    fitted(tmp_path, ByEpoch(schedule), max_steps=10)
    assert '(Lightning: "interval": "step")' in caplog.text


class Grouped(Module):
    """Param groups that came with LRs of their own."""

    def configure_optimizers(self) -> Any:
        """The bias at a tenth."""
        groups: list[dict[str, Any]] = [{"params": [self.model.weight]}, {"params": [self.model.bias], "lr": 0.1}]
        optimizer = torch.optim.SGD(groups, lr=1.0)
        optimizer.register_step_post_hook(lambda *_: self.used.append(str([g["lr"] for g in optimizer.param_groups])))
        return optimizer


def test_a_callback_is_told_what_becomes_of_lrs_that_groups_have(tmp_path: Path, schedule: Schedule) -> None:
    """Without a word it does not begin."""
    with pytest.raises(ParamGroupMismatch, match='group_lrs="scale"'):
        fitted(tmp_path, Grouped(), PreheatCallback(schedule))
    module = Grouped()
    fitted(tmp_path, module, PreheatCallback(schedule, group_lrs="scale"))
    assert module.used == [str([float(row), float(row) * 0.1]) for row in REFERENCE_ROWS]


def test_what_is_no_schedule_is_refused() -> None:
    """When the callback is made, and not when training begins: the error names the argument."""
    with pytest.raises(TypeError, match=r"schedule \(dict\) is not a schedule: .*create\(spec\)"):
        PreheatCallback(REFERENCE_SPEC)  # type: ignore[arg-type]


PLANNED = [str(n / 1_000_000) for n in range(1, 21)]
"""What a run's spec says of the updates."""


@pytest.mark.parametrize("way", ["scheduler", "callback"])
def test_a_live_run_is_attached_once_for_each_life(tmp_path: Path, runs: Any, way: str) -> None:
    """The first update attaches; a resume goes on from the checkpoint's attempt, at the LRs that were to come."""

    def once(from_checkpoint: str | None = None) -> Any:
        with Preheat(runs.url) as preheat:
            run: Any = preheat.run("llama", SPEC)
            module = Module(run if way == "scheduler" else None)
            callbacks = [] if way == "scheduler" else [PreheatCallback(run)]
            return trained(tmp_path, module, callbacks, from_checkpoint=from_checkpoint)

    assert once() == PLANNED
    assert once(str(tmp_path / "step=8.ckpt")) == PLANNED[8:]
    assert [attempt.start for attempt in runs.toy.attempts] == [1, 9]
    checkpoint = runs.service.asked("attempts")[1]["checkpoint"]
    assert (checkpoint["attempt"], checkpoint["position"]) == (1, 9)


class Logging(Module):
    """Logs its loss, and a number of each validation."""

    def training_step(self, batch: Any, index: int) -> Any:
        """One micro-batch."""
        loss = super().training_step(batch, index)
        self.log("loss", loss)
        return loss

    def validation_step(self, _batch: Any, _: int) -> None:
        """The number of updates so far."""
        self.log("val_updates", float(len(self.used)))


def fitted_live(folder: Path, runs: Any, **options: Any) -> Any:
    """A trainer that has logged each update, and validated after a sanity check."""
    with Preheat(runs.url) as preheat:
        module = Logging()
        run: Any = preheat.run("llama", SPEC)
        plain = {"accelerator": "cpu", "logger": False, "default_root_dir": folder, "enable_checkpointing": False}
        quiet = {"enable_progress_bar": False, "enable_model_summary": False, "log_every_n_steps": 1}
        trainer = lightning.Trainer(**{**plain, **quiet, "callbacks": [PreheatCallback(run)], **options})
        trainer.fit(module, batches(10), batches(1))
        return module


def test_what_the_module_logs_is_reported(tmp_path: Path, runs: Any) -> None:
    """The loss of each update, a validation once, and nothing of the sanity check."""
    module = fitted_live(tmp_path, runs, max_steps=20, num_sanity_val_steps=1)
    assert module.used == PLANNED
    reported = runs.toy.reports
    assert sorted(n for _, n, name in reported if name == "loss") == list(range(1, 21))
    assert {n: value for (_, n, name), value in reported.items() if name == "val_updates"} == {10: 10.0, 20: 20.0}


def test_a_trainer_that_only_validates_attaches_nobody_and_reports_nothing(tmp_path: Path, runs: Any) -> None:
    """Its model may be that of any checkpoint."""
    with Preheat(runs.url) as preheat:
        run: Any = preheat.run("llama", SPEC)
        quiet = {"accelerator": "cpu", "logger": False, "default_root_dir": tmp_path, "enable_progress_bar": False}
        trainer = lightning.Trainer(callbacks=[PreheatCallback(run)], enable_checkpointing=False, **quiet)
        assert trainer.validate(Logging(), batches(2), verbose=False) == [{"val_updates": 0.0}]
        run.lr(1)
    assert [attempt.start for attempt in runs.toy.attempts] == [1]  # that of run.lr
    assert runs.toy.reports == {}


def test_two_optimizers_share_one_attempt(tmp_path: Path, runs: Any) -> None:
    """As of a GAN, one of them updated every other time; a resume opens one more, and not two."""

    def once(folder: str, from_checkpoint: str | None = None) -> Any:
        with Preheat(runs.url) as preheat:
            run: Any = preheat.run("llama", SPEC)
            return trained(tmp_path / folder, Pair(), [PreheatCallback(run)], from_checkpoint=from_checkpoint)

    first, second = once("first")
    assert (first, second) == (PLANNED[:14], PLANNED[:7])
    checkpoint = next((tmp_path / "first").glob("*.ckpt"))
    saved = torch.load(checkpoint, weights_only=False)["callbacks"]["PreheatCallback"]["remotes"]
    done = [state["iteration"] - 1 for state in saved]
    assert [state["attempt"] for state in saved] == [1, 1]
    again, other = once("again", str(checkpoint))
    assert (again[0], other[0]) == (PLANNED[done[0]], PLANNED[done[1]])
    assert [attempt.number for attempt in runs.toy.attempts] == [1, 2]


def test_a_restart_that_is_asked_for_ends_training(tmp_path: Path, runs: Any) -> None:
    """Within a few updates."""
    runs.toy.restart = {"position": 2, "changes": "drop", "why": "bad GPU", "author": "ann"}
    runs.toy.attach = _keeping_restart(runs.toy)
    module = fitted_live(tmp_path, runs, max_steps=5000, max_epochs=-1)
    assert len(module.used) < 5000


def _keeping_restart(toy: Any) -> Any:
    attach, restart = toy.attach, toy.restart

    def again(body: Any) -> Any:
        answer = attach(body)
        toy.restart = restart
        return answer

    return again


def test_lr_find_is_refused_over_a_run(tmp_path: Path, runs: Any) -> None:
    """It would use up the run's LRs; nobody attaches."""
    with Preheat(runs.url) as preheat:
        run: Any = preheat.run("llama", SPEC)
        module = Module()
        module.lr = 1.0
        trainer = lightning.Trainer(
            accelerator="cpu", logger=False, default_root_dir=tmp_path, callbacks=[PreheatCallback(run)]
        )
        tuner = lightning.pytorch.tuner.Tuner(trainer)
        with pytest.raises(ValueError, match="lr_find must not be run over a run"):
            tuner.lr_find(module, batches(30))
    assert runs.toy.attempts == []
