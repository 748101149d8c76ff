"""Keras 3: a callback that sets the LR of each update, and a schedule that is compiled into the training step."""

import json
import logging
import os
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import h5py
import keras

from preheat_client._core.logged import report_logged
from preheat_client._core.run_use import is_live
from preheat_client.errors import ScheduleMismatch
from preheat_client.schedule import ReadableSchedule, check_one_group, lr_table

_LOG = logging.getLogger("preheat_client")
_SAVED_AS = "preheat_run"


class PreheatCallback(keras.callbacks.Callback):
    """Sets the optimizer's learning_rate before each update; the first runs at lr[1].

    The iteration is the optimizer's own: it is saved with the model, and batches that only accumulate gradients do
    not count. Raises ValueError for a schedule of several param groups, and when training begins if steps_per_execution
    hides updates from callbacks.

    Over a run it also reports what Keras logs of each epoch, ends training when a person asks for a restart, and saves
    the run's state with every model and every file of weights, beside the optimizer's. Weights that are loaded while
    the callback is in use, as by BackupAndRestore, bring it back; of a model that was loaded before, `checkpoint` names
    the file, `.keras` or `.weights.h5`, and the state is read when training begins. Raises, then, ScheduleMismatch if
    the file has no state, or that of another run.
    """

    def __init__(self, schedule: ReadableSchedule, *, checkpoint: str | os.PathLike[str] | None = None) -> None:
        super().__init__()
        check_one_group(schedule)
        if checkpoint is not None and not is_live(schedule):
            raise ValueError(f"checkpoint ({checkpoint}) must be given for a run alone: a schedule has no state")
        self.schedule: Any = schedule
        self._checkpoint = checkpoint

    def set_model(self, model: Any) -> None:
        """Puts the run's state where Keras saves it with the optimizer's, and loads it."""
        super().set_model(model)
        optimizer = getattr(model, "optimizer", None)
        if is_live(self.schedule) and optimizer is not None:
            setattr(optimizer, _SAVED_AS, _RunState(self.schedule, optimizer))

    def on_train_begin(self, logs: Any = None) -> None:
        """Checks that there is one batch for each call, and goes on from a checkpoint."""
        del logs
        steps = getattr(self.model, "steps_per_execution", 1)
        if steps != 1:
            raise ValueError(f"steps_per_execution ({steps}) must be 1 for PreheatCallback: use PreheatSchedule")
        if is_live(self.schedule):
            self._resume()

    def _resume(self) -> None:
        path, self._checkpoint = self._checkpoint, None
        if path is not None:
            self.schedule.load_state_dict(_state_in_file(os.fspath(path)))
        elif (done := int(self.model.optimizer.iterations)) and self.schedule.is_new:
            _LOG.warning(
                "%r: the optimizer has made %d updates, and nothing says in which attempt of the run: name the file "
                "that they were loaded from, PreheatCallback(run, checkpoint=...)",
                self.schedule,
                done,
            )

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


class _RunState(keras.layers.Layer):
    """The state of a run, saved and loaded by Keras as an attribute of the optimizer; no layer of a model."""

    def __init__(self, run: Any, optimizer: Any) -> None:
        super().__init__(name=_SAVED_AS, trainable=False)
        # Behind a function: Keras saves what it finds in attributes, and the optimizer has this one.
        self._of: Callable[[], tuple[Any, Any]] = lambda: (run, optimizer)

    def save_own_variables(self, store: Any) -> None:
        """Called where a model or weights are saved."""
        run, optimizer = self._of()
        state = json.dumps(run.state_dict(int(optimizer.iterations) + 1))
        store["state"] = list(state.encode())

    def load_own_variables(self, store: Any) -> None:
        """Called where weights are loaded; files that were saved without the callback have no state."""
        if "state" in store.keys():  # noqa: SIM118 - a store is no dict
            self._of()[0].load_state_dict(_state_of(store["state"]))


def _state_in_file(path: str) -> Any:
    """The state in a file that Keras has saved. Raises ScheduleMismatch if there is none, OSError."""
    with ExitStack() as stack:
        weights: Any = path
        if path.endswith(".keras"):
            weights = stack.enter_context(stack.enter_context(zipfile.ZipFile(path)).open("model.weights.h5"))
        content = stack.enter_context(h5py.File(weights, "r")).get(f"optimizer/{_SAVED_AS}/vars/state")
        if content is None:
            raise ScheduleMismatch(
                f"checkpoint ({path}) has no state of a run: it was saved without PreheatCallback(run). Without "
                "checkpoint= the run goes on from its last attempt"
            )
        return _state_of(content)


def _state_of(content: Any) -> Any:
    return json.loads(bytes(map(int, content)))


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
