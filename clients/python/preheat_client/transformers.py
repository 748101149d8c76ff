"""transformers: a callback for a Trainer that cannot be given a scheduler.

Where it can be, `Trainer(optimizers=(optimizer, RemoteLR(optimizer, schedule)))` is all it takes.
"""

from typing import Any

from transformers import TrainerCallback

from preheat_client._core.logged import report_logged
from preheat_client._core.overriding import OverridingRemoteLR
from preheat_client._core.run_use import is_live
from preheat_client._core.shares import GroupLrs
from preheat_client.schedule import ReadableSchedule, check_readable


class PreheatCallback(TrainerCallback):
    """Sets the LRs of the Trainer's optimizer before each update, whatever scheduler the Trainer has made itself.

    The first update runs at lr[1]. The iteration is that of updates which were performed; it is saved with the
    Trainer's state, and a run that is resumed goes on from it (from global_step + 1 if its checkpoint was made without
    the callback). What the Trainer logs as learning_rate is the LR that was used. `group_lrs` is that of RemoteLR.

    Over a run it also reports what the Trainer logs (loss, grad_norm, evaluation), and ends training without saving
    when a person asks for a restart.

    Raises, when training begins, ParamGroupMismatch if the param groups are not those of the schedule, and
    ScheduleMismatch if the checkpoint is that of a run with another one.
    """

    def __init__(self, schedule: ReadableSchedule, *, group_lrs: GroupLrs | None = None) -> None:
        check_readable(schedule)
        self.schedule: Any = schedule
        self._group_lrs = group_lrs
        self._remote: OverridingRemoteLR
        self._has_begun = False

    def on_train_begin(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Binds to the optimizer."""
        del args, control
        first, self._has_begun = state.global_step + 1, True
        self._remote = OverridingRemoteLR(objects["optimizer"], self.schedule, first, group_lrs=self._group_lrs)
        saved = state.stateful_callbacks.get(_SAVED_AS)
        if saved is not None:
            self._remote.load_state_dict(saved)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Sets the LR of the update that follows."""
        del args, state, control
        self._remote.step()
        self._remote.use()
        # The Trainer logs what its scheduler says was set last; torch keeps that in this attribute.
        scheduler = objects["lr_scheduler"]
        getattr(scheduler, "scheduler", scheduler)._last_lr = self._remote.get_last_lr()  # noqa: SLF001

    def on_step_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Leaves the iteration where the Trainer's next checkpoint takes it from."""
        del args, objects
        state.stateful_callbacks[_SAVED_AS] = self._remote.state_dict()
        self._stop(control)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **objects: Any) -> None:
        """Keeps the Trainer from saving, where a restart is asked for."""
        del args, state, objects
        self._stop(control)

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **objects: Any) -> None:
        """Reports to a run; nothing of an evaluation before training, whose model may be any checkpoint's."""
        del args, control, objects
        if is_live(self.schedule) and self._has_begun:
            report_logged(self.schedule, state.global_step, logs)

    def _stop(self, control: Any) -> None:
        if is_live(self.schedule) and self.schedule.restart_requested is not None:
            control.should_training_stop, control.should_save = True, False


_SAVED_AS = "preheat"
