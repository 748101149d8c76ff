"""What an optimizer can be driven by."""

from typing import Any, Protocol

from preheat_client.windows import Row


class Readable(Protocol):
    """What an optimizer can be driven by: a schedule, or one that is shared between processes."""

    @property
    def id(self) -> str:
        """The schedule's id."""

    @property
    def spec(self) -> dict[str, Any]:
        """The normalised spec."""

    @property
    def total_iterations(self) -> int:
        """Iterations of the run, warm-up included."""

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the param groups, in order."""

    @property
    def hyperparameter_columns(self) -> tuple[tuple[str, str], ...]:
        """Group and name of every other hyperparameter."""

    @property
    def known(self) -> object:
        """What is read at present; another object once something else was adopted."""

    def lr(self, iteration: int) -> Row:
        """The learning rate at an iteration."""

    def hyperparameters(self, iteration: int) -> list[float]:
        """Values of the other hyperparameters there."""
