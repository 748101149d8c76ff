"""Lightning: a callback for modules whose configure_optimizers should not know of the service.

Where it may, it returns `{"scheduler": RemoteLR(optimizer, schedule), "interval": "step"}`.
"""

from typing import Any

from lightning.pytorch.callbacks import Callback

from preheat_client._core.overriding import OverridingRemoteLR
from preheat_client._core.shares import GroupLrs
from preheat_client.schedule import ReadableSchedule, check_readable


class PreheatCallback(Callback):
    """Sets the LRs of every optimizer before each of its updates; batches that only accumulate gradients make none.

    The first update runs at lr[1]; LearningRateMonitor logs the LR that each update runs at. The iteration is saved in
    checkpoints, and a run that is resumed goes on from it; from global_step + 1 if its checkpoint was made without the
    callback, and where the trainer fits again. `group_lrs` is that of RemoteLR.

    Raises, when training begins, ParamGroupMismatch if the param groups are not those of the schedule, ScheduleMismatch
    if the checkpoint is that of a run with another one, and ValueError if the run has begun without the callback and
    has several optimizers, whose updates Lightning counts as one.
    """

    def __init__(self, schedule: ReadableSchedule, *, group_lrs: GroupLrs | None = None) -> None:
        check_readable(schedule)
        self.schedule, self._group_lrs = schedule, group_lrs
        self._remotes: dict[int, OverridingRemoteLR] = {}
        self._restored: list[dict[str, Any]] = []

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

    def on_train_batch_end(self, *_: Any) -> None:
        """Sets the LR of the next update already here: LearningRateMonitor reads it when the next batch begins."""
        self._step_all()

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
