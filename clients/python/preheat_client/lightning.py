"""Lightning: a callback for modules whose configure_optimizers should not know of the service.

Where it may, it returns `{"scheduler": RemoteLR(optimizer, schedule), "interval": "step"}`.
"""

from typing import Any

from lightning.pytorch.callbacks import Callback, LearningRateFinder

from preheat_client._core.logged import report_logged
from preheat_client._core.overriding import OverridingRemoteLR
from preheat_client._core.run_use import is_live
from preheat_client._core.shares import GroupLrs
from preheat_client.schedule import ReadableSchedule, check_readable


class PreheatCallback(Callback):
    """Sets the LRs of every optimizer before each of its updates; batches that only accumulate gradients make none.

    The first update runs at lr[1]; LearningRateMonitor logs the LR that each update runs at. The iteration is saved in
    checkpoints, and a run that is resumed goes on from it; from global_step + 1 if its checkpoint was made without the
    callback, and where the trainer fits again. `group_lrs` is that of RemoteLR.

    Over a run it also reports what the module logs, every `log_every_n_steps` updates and after each validation, and
    ends training when a person asks for a restart. It refuses lr_find, which would use up the run, by ValueError.

    Raises, when training begins, ParamGroupMismatch if the param groups are not those of the schedule, ScheduleMismatch
    if the checkpoint is that of a run with another one, and ValueError if the run has begun without the callback and
    has several optimizers, whose updates Lightning counts as one.
    """

    def __init__(self, schedule: ReadableSchedule, *, group_lrs: GroupLrs | None = None) -> None:
        check_readable(schedule)
        self.schedule: Any = schedule
        self._group_lrs, self._is_live = group_lrs, is_live(schedule)
        self._before: dict[str, Any] = {}
        self._evaluated: set[str] = set()
        self._remotes: dict[int, OverridingRemoteLR] = {}
        self._restored: list[dict[str, Any]] = []

    def setup(self, trainer: Any, pl_module: Any, stage: str) -> None:
        """Refuses what would use up a run."""
        del pl_module, stage
        if self._is_live and any(isinstance(each, LearningRateFinder) for each in trainer.callbacks):
            raise ValueError("lr_find must not be run over a run, whose LRs it would use up: give it a trainer without")

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:
        """Binds to the optimizers."""
        del pl_module
        states, self._restored = self._restored, []
        if not states and trainer.global_step > 0 and len(trainer.optimizers) > 1:
            raise ValueError(
                f"global_step ({trainer.global_step}) must be 0 for {len(trainer.optimizers)} optimizers, or the "
                "checkpoint must have the callback's state: it counts the updates of all of them as one"
            )
        first = trainer.global_step + 1
        self._remotes = {
            id(each): OverridingRemoteLR(each, self.schedule, first, group_lrs=self._group_lrs)
            for each in trainer.optimizers
        }
        for remote, state in zip(self._remotes.values(), states, strict=bool(states)):
            remote.load_state_dict(state)

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        """Sets the LR of the update that follows."""
        del trainer, pl_module
        self._remotes[id(optimizer)].step()
        self._remotes[id(optimizer)].use()

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Sets the LR of the next update already here: LearningRateMonitor reads it when the next batch begins."""
        self._step_all()
        if not self._is_live:
            return
        if trainer.global_step % trainer.log_every_n_steps == 0:
            metrics = trainer.callback_metrics
            self._report({name: value for name, value in metrics.items() if name not in self._evaluated})
        if self.schedule.restart_requested is not None:
            trainer.should_stop = True

    def on_validation_start(self, trainer: Any, pl_module: Any) -> None:
        """Notes what was logged before."""
        del pl_module
        self._before = dict(trainer.callback_metrics)

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Reports what a validation has logged, but for that of a sanity check."""
        del pl_module
        if not self._is_live or trainer.sanity_checking:
            return
        new = {name: value for name, value in trainer.callback_metrics.items() if value is not self._before.get(name)}
        self._evaluated |= new.keys() - self._before.keys()
        self._report({name: new[name] for name in self._evaluated & new.keys()})

    def _report(self, metrics: dict[str, Any]) -> None:
        if self._remotes:  # else the model may be any checkpoint's, as where a trainer only validates
            done = max(remote.iteration for remote in self._remotes.values()) - 1
            report_logged(self.schedule, done, metrics)

    def on_train_epoch_start(self, *_: Any) -> None:
        """Sets it again, after schedulers of the module's own that have stepped at the end of an epoch."""
        self._step_all()

    def _step_all(self) -> None:
        for remote in self._remotes.values():
            remote.step()

    def state_dict(self) -> dict[str, Any]:
        """Where each optimizer's next update is."""
        return {"remotes": [remote.state_dict() for remote in self._remotes.values()]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Goes on from there when training begins."""
        self._restored = state_dict["remotes"]
