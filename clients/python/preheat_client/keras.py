"""Keras 3: a callback that sets the LR of each update, and a schedule that is compiled into the training step."""

from typing import Any

import keras

from preheat_client._core.logged import report_logged
from preheat_client._core.run_use import is_live
from preheat_client.schedule import ReadableSchedule, check_one_group, lr_table


class PreheatCallback(keras.callbacks.Callback):
    """Sets the optimizer's learning_rate before each update; the first runs at lr[1].

    The iteration is the optimizer's own: it is saved with the model, and batches that only accumulate gradients do
    not count. Over a run it also reports what Keras logs of each epoch, and ends training when a person asks for a
    restart. Raises ValueError for a schedule of several param groups, and when training begins if steps_per_execution
    hides updates from callbacks.
    """

    def __init__(self, schedule: ReadableSchedule) -> None:
        super().__init__()
        check_one_group(schedule)
        self.schedule: Any = schedule

    def on_train_begin(self, logs: Any = None) -> None:
        """Checks that there is one batch for each call."""
        del logs
        steps = getattr(self.model, "steps_per_execution", 1)
        if steps != 1:
            raise ValueError(f"steps_per_execution ({steps}) must be 1 for PreheatCallback: use PreheatSchedule")

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Sets the LR of the update that the batch belongs to."""
        del batch, logs
        optimizer = self.model.optimizer  # asking for the model brings back the variables that JAX keeps elsewhere
        optimizer.learning_rate = self.schedule.lr(int(optimizer.iterations) + 1)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Ends training where a restart is asked for."""
        del batch, logs
        if is_live(self.schedule) and self.schedule.restart_requested is not None:
            self.model.stop_training = True

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Reports the means of the epoch, and its validation."""
        del epoch
        if is_live(self.schedule):
            report_logged(self.schedule, int(self.model.optimizer.iterations), logs)


@keras.saving.register_keras_serializable(package="preheat_client")
class PreheatSchedule(keras.optimizers.schedules.LearningRateSchedule):
    """The LRs of a schedule as a table inside the training step; the first update runs at lr[1].

    Past the end the last LR is held. A saved model has the table with it, and can be loaded without a service.
    Raises ValueError for a schedule of several param groups, or too long for a table.
    """

    def __init__(self, schedule: ReadableSchedule | list[float]) -> None:
        super().__init__()
        self._lrs = list(schedule if isinstance(schedule, list) else lr_table(schedule))

    def __call__(self, step: Any) -> Any:
        """The LR of the update after `step` updates."""
        table = keras.ops.convert_to_tensor(self._lrs, dtype="float32")
        iteration = keras.ops.cast(step, "int32") + 1
        return keras.ops.take(table, keras.ops.minimum(iteration, len(self._lrs) - 1))

    def get_config(self) -> dict[str, Any]:
        """The table."""
        return {"schedule": self._lrs}
