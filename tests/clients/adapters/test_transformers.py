"""The real Trainer, training a tiny GPT-2 on the CPU, at the LRs of a real service."""

from pathlib import Path
from typing import Any

import pytest
import torch

from preheat_client import ParamGroupMismatch, Preheat, Schedule, ScheduleMismatch
from preheat_client.torch import RemoteLR
from reference import REFERENCE_ROWS, REFERENCE_SPEC
from support.fake_runs import SPEC

transformers = pytest.importorskip("transformers", reason="make adapters installs it")
pytest.importorskip("accelerate", reason="make adapters installs it, and the Trainer needs it")

from preheat_client.transformers import PreheatCallback  # noqa: E402 - where transformers is installed

pytestmark = pytest.mark.filterwarnings("default")  # what transformers and accelerate warn of is theirs

UPDATES = 20


class Training:
    """One run of the Trainer.

    `used` has the LR of each update that was performed, as the optimizer had it; `tried` how many the Trainer had
    tried before it.
    """

    def __init__(self, folder: Path, way: str, schedule: Schedule, **arguments: Any) -> None:
        self.used: list[str] = []
        self.tried: list[int] = []
        torch.manual_seed(0)
        model = transformers.GPT2LMHeadModel(
            transformers.GPT2Config(
                vocab_size=11, n_positions=8, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0
            )
        )
        tokens = [{"input_ids": torch.arange(8), "labels": torch.arange(8)} for _ in range(400)]
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
        self.optimizer.register_step_post_hook(self._note)
        passed: dict[str, Any] = {"optimizers": (self.optimizer, None), "callbacks": [PreheatCallback(schedule)]}
        if way == "scheduler":
            passed = {"optimizers": (self.optimizer, RemoteLR(self.optimizer, schedule))}
        defaults = {
            "max_steps": UPDATES,
            "per_device_train_batch_size": 2,
            "logging_steps": 1,
            "report_to": [],
            "save_strategy": "no",
            "disable_tqdm": True,
            "use_cpu": True,
        }
        self.trainer = transformers.Trainer(
            model, transformers.TrainingArguments(str(folder), **defaults | arguments), train_dataset=tokens, **passed
        )

    def _note(self, optimizer: Any, *_: Any) -> None:
        self.used.append(str(optimizer.param_groups[0]["lr"]))
        self.tried.append(self.trainer.state.global_step)

    def logged(self) -> list[str]:
        """What the Trainer logged as learning_rate."""
        return [str(entry["learning_rate"]) for entry in self.trainer.state.log_history if "learning_rate" in entry]

    def overflow(self, init_scale: float) -> None:
        """A real GradScaler that begins so high that updates are skipped, as with fp16 on an accelerator."""
        self.trainer.accelerator.scaler = torch.amp.GradScaler("cpu", init_scale=init_scale)


@pytest.mark.parametrize("way", ["scheduler", "callback"])
@pytest.mark.parametrize("accumulated", [1, 4])
def test_every_update_runs_at_the_tables_lr(tmp_path: Path, schedule: Schedule, way: str, accumulated: int) -> None:
    """As the Trainer's scheduler or by callback each update has its LR, and that is what is logged."""
    training = Training(tmp_path, way, schedule, gradient_accumulation_steps=accumulated)
    training.trainer.train()
    assert training.used == list(REFERENCE_ROWS)
    assert training.logged() == list(REFERENCE_ROWS)


@pytest.mark.parametrize("way", ["scheduler", "callback"])
def test_a_resume_is_exact(tmp_path: Path, schedule: Schedule, way: str) -> None:
    """A Trainer that resumes from the checkpoint after update 7 reads the LRs that were to come."""
    saving = {"save_strategy": "steps", "save_steps": 7}
    Training(tmp_path, way, schedule, **saving).trainer.train()
    again = Training(tmp_path, way, schedule, **saving, restore_callback_states_from_checkpoint=True)
    again.trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    assert again.used == list(REFERENCE_ROWS[7:])
    assert again.logged() == list(REFERENCE_ROWS)


@pytest.mark.parametrize("way", ["scheduler", "callback"])
def test_updates_that_are_skipped_are_none(tmp_path: Path, schedule: Schedule, way: str) -> None:
    """The Trainer counts what it tried, and the LR follows what was performed, also when resumed."""
    saving = {"save_strategy": "steps", "save_steps": 10}
    training = Training(tmp_path, way, schedule, **saving)
    training.overflow(2.0**127)
    training.trainer.train()
    performed = sum(tried < 10 for tried in training.tried)
    assert 5 < performed < 10
    assert training.used == list(REFERENCE_ROWS[: len(training.used)])

    again = Training(tmp_path, way, schedule, **saving)
    again.overflow(1.0)
    again.trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))
    assert len(again.used) > 5
    assert again.used == list(REFERENCE_ROWS[performed : performed + len(again.used)])


def test_a_callback_can_join_a_run(tmp_path: Path, schedule: Schedule) -> None:
    """A checkpoint that was made without the callback goes on at the next update."""
    saving = {"save_strategy": "steps", "save_steps": 7}
    without = Training(tmp_path, "callback", schedule, **saving)
    without.trainer.remove_callback(PreheatCallback)
    without.trainer.train()
    assert without.used != list(REFERENCE_ROWS)
    again = Training(tmp_path, "callback", schedule, **saving)
    again.trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    assert again.used == list(REFERENCE_ROWS[7:])


def test_the_checkpoint_of_another_schedule_is_refused(tmp_path: Path, schedule: Schedule, url: str) -> None:
    """By callback and by scheduler a run does not go on with another schedule by mistake."""
    saving = {"save_strategy": "steps", "save_steps": 10}
    Training(tmp_path, "callback", schedule, **saving).trainer.train()
    with Preheat(url) as preheat:
        other = preheat.create({**REFERENCE_SPEC, "target_lr": 0.02})
        again = Training(tmp_path, "callback", other, **saving)
        with pytest.raises(ScheduleMismatch, match=schedule.id):
            again.trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-10"))


def test_other_param_groups_are_refused_before_the_first_update(tmp_path: Path, url: str) -> None:
    """A schedule of two param groups for an optimizer of one raises ParamGroupMismatch."""
    with Preheat(url) as preheat:
        schedule = preheat.create({**REFERENCE_SPEC, "param_groups": [{"name": "a"}, {"name": "b"}]})
        training = Training(tmp_path, "callback", schedule)
        with pytest.raises(ParamGroupMismatch, match="the optimizer has 1 param groups, the schedule has 2"):
            training.trainer.train()
    assert training.used == []


@pytest.mark.parametrize("way", ["scheduler", "callback"])
def test_the_trainers_groups_keep_what_is_theirs(tmp_path: Path, url: str, way: str) -> None:
    """The Trainer's two groups under a scheduled weight decay: the one without keeps none."""
    spec = {**REFERENCE_SPEC, "hyperparameters": {"weight_decay": {"value": 0.4, "warmup": {"iterations": 20}}}}
    with Preheat(url) as preheat:
        training = Training(tmp_path, way, preheat.create(REFERENCE_SPEC), weight_decay=0.1)
        trainer = training.trainer
        trainer.optimizer = trainer.lr_scheduler = None
        on = trainer.create_optimizer()
        assert [group["weight_decay"] for group in on.param_groups] == [0.1, 0.0]
        schedule = preheat.create(spec)
        if way == "scheduler":
            trainer.lr_scheduler = RemoteLR(on, schedule)
        else:
            trainer.remove_callback(PreheatCallback)
            trainer.add_callback(PreheatCallback(schedule))
        trainer.train()
    assert [group["weight_decay"] for group in on.param_groups] == pytest.approx([0.4, 0.0])


def test_a_callback_is_told_what_becomes_of_lrs_that_groups_have(tmp_path: Path, schedule: Schedule) -> None:
    """Without a word it does not begin."""
    training = Training(tmp_path, "callback", schedule)
    training.optimizer.add_param_group({"params": [torch.zeros(1, requires_grad=True)], "lr": 0.1})
    with pytest.raises(ParamGroupMismatch, match='group_lrs="scale"'):
        training.trainer.train()
    training.trainer.remove_callback(PreheatCallback)
    training.trainer.add_callback(PreheatCallback(schedule, group_lrs="scale"))
    training.trainer.train()
    assert training.used == list(REFERENCE_ROWS)
    assert training.optimizer.param_groups[1]["lr"] == 0.0


def test_a_trainer_may_train_twice(tmp_path: Path, schedule: Schedule, caplog: pytest.LogCaptureFixture) -> None:
    """The callback begins anew each time, on the same optimizer, and says nothing of the Trainer's own scheduler."""
    training = Training(tmp_path, "callback", schedule)
    training.trainer.train()
    training.trainer.train()
    assert training.used == [*REFERENCE_ROWS, *REFERENCE_ROWS]
    assert "at its next step" not in caplog.text


def test_what_is_no_schedule_is_refused() -> None:
    """When the callback is made, and not when training begins: the error names the argument."""
    with pytest.raises(TypeError, match=r"schedule \(dict\) is not a schedule: .*create\(spec\)"):
        PreheatCallback(REFERENCE_SPEC)  # type: ignore[arg-type]


PLANNED = [str(n / 1_000_000) for n in range(1, UPDATES + 1)]
"""What a run's spec says of the updates."""


@pytest.mark.parametrize("way", ["scheduler", "callback"])
def test_a_live_run_is_attached_once_for_each_life(tmp_path: Path, runs: Any, way: str) -> None:
    """The first update attaches; a resume goes on from the checkpoint's attempt, at the LRs that were to come."""
    saving = {"save_strategy": "steps", "save_steps": 7}
    with Preheat(runs.url) as preheat:
        first = Training(tmp_path, way, preheat.run("llama", SPEC), **saving)  # type: ignore[arg-type]
        assert runs.toy.attempts == []
        first.trainer.train()
    assert (first.used, first.logged()) == (PLANNED, PLANNED)
    with Preheat(runs.url) as preheat:
        again = Training(tmp_path, way, preheat.run("llama", SPEC), **saving)  # type: ignore[arg-type]
        again.trainer.train(resume_from_checkpoint=str(tmp_path / "checkpoint-7"))
    assert (again.used, again.logged()) == (PLANNED[7:], PLANNED)
    assert [attempt.start for attempt in runs.toy.attempts] == [1, 8]
    checkpoint = runs.service.asked("attempts")[1]["checkpoint"]
    assert (checkpoint["attempt"], checkpoint["position"]) == (1, 8)


def test_what_the_trainer_logs_is_reported(tmp_path: Path, runs: Any) -> None:
    """Loss and evaluation of each update; not the LR, which the service knows."""
    with Preheat(runs.url) as preheat:
        training = Training(tmp_path, "callback", preheat.run("llama", SPEC))  # type: ignore[arg-type]
        training.trainer.evaluate(training.trainer.train_dataset)  # of a model that may be any checkpoint's
        assert runs.toy.attempts == []
        training.trainer.train()
        training.trainer.evaluate(training.trainer.train_dataset)
    losses = {entry["step"]: entry["loss"] for entry in training.trainer.state.log_history if "loss" in entry}
    assert {n: value for (_, n, name), value in runs.toy.reports.items() if name == "loss"} == losses
    assert [n for _, n, name in runs.toy.reports if name == "eval_loss"] == [20]
    assert all(name != "learning_rate" for _, _, name in runs.toy.reports)


def test_a_restart_that_is_asked_for_ends_training_without_saving(tmp_path: Path, runs: Any) -> None:
    """However often the Trainer would have saved."""
    with Preheat(runs.url) as preheat:
        run = preheat.run("llama", SPEC)
        arguments = {"save_strategy": "steps", "save_steps": 1, "max_steps": 5000, "logging_steps": 10_000}
        training = Training(tmp_path, "callback", run, **arguments, save_total_limit=2)  # type: ignore[arg-type]
        stopped: list[int] = []

        def ask(*_: Any) -> None:
            if len(training.used) == 5:
                runs.toy.restart = {"position": 2, "changes": "drop", "why": "bad GPU", "author": "ann"}

        training.optimizer.register_step_post_hook(ask)
        training.trainer.train()
        stopped.append(training.trainer.state.global_step)
    assert 5 <= stopped[0] < 5000
    assert not (tmp_path / f"checkpoint-{stopped[0]}").exists()
    assert (tmp_path / f"checkpoint-{stopped[0] - 1}").exists()
