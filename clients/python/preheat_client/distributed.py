"""torch.distributed: rank 0 asks the service, and tells the LRs to every other rank."""

from collections.abc import Callable
from typing import Any

from torch import distributed

from preheat_client.document import UNKNOWN, Document
from preheat_client.errors import PreheatError, ServiceUnavailable
from preheat_client.readable import Readable
from preheat_client.schedule import Schedule
from preheat_client.windows import Row

_BLOCK = 1024


def from_rank_zero(open_schedule: Callable[[], Schedule], group: Any = None) -> Readable:
    """The schedule that a function opens on rank 0 of a process group, for all of its ranks.

    Every rank calls this, with the same function, and reads the same iterations in the same order: every 1024 of them
    rank 0 broadcasts a block. So all ranks run at the same LR bit for bit, even while rank 0 runs on a fallback. With
    one process, or without torch.distributed, it is just the schedule.

    Raises what the function raises, on rank 0; ServiceUnavailable with its message on every other rank.
    """
    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size(group) == 1:
        return open_schedule()
    return SharedSchedule(open_schedule, group)


class SharedSchedule:
    """A schedule of rank 0, read by all ranks of a process group in step; made by `from_rank_zero`."""

    def __init__(self, open_schedule: Callable[[], Schedule], group: Any) -> None:
        self._group = group
        self._is_rank_zero = distributed.get_rank(group) == 0
        self._schedule: Schedule | None = None
        self._start = 0
        self._rows: list[tuple[Row, list[float]]] = []
        self._document = Document(None, {}, UNKNOWN, ())
        self._exchange(lambda: self._opened(open_schedule))

    @property
    def id(self) -> str:
        """The schedule's id, empty while rank 0 knows only a fallback."""
        return self._document.id or ""

    @property
    def spec(self) -> dict[str, Any]:
        """The normalised spec."""
        return self._document.spec

    @property
    def total_iterations(self) -> int:
        """Iterations of the run, warm-up included."""
        return self._document.total_iterations

    @property
    def group_names(self) -> tuple[str, ...]:
        """Names of the param groups, in order."""
        return self._document.group_names

    @property
    def hyperparameter_columns(self) -> tuple[tuple[str, str], ...]:
        """Group and name of every hyperparameter besides the LR."""
        return self._document.hyperparameter_columns

    @property
    def known(self) -> object:
        """What is read at present."""
        return self._document

    def lr(self, iteration: int) -> Row:
        """The learning rate at `iteration`, as `Schedule.lr` gives it on rank 0. Raises what that raises."""
        return self._row(iteration)[0]

    def hyperparameters(self, iteration: int) -> list[float]:
        """Values of the other hyperparameters at `iteration`."""
        return self._row(iteration)[1]

    def _row(self, iteration: int) -> tuple[Row, list[float]]:
        offset = iteration - self._start
        if not 0 <= offset < len(self._rows):
            self._exchange(lambda: self._block(iteration))
            offset = iteration - self._start
        if not 0 <= offset < len(self._rows):
            raise ServiceUnavailable(
                f"rank 0 is at iteration {self._start}, this rank at {iteration}: all ranks must read the same ones"
            )
        return self._rows[offset]

    def _opened(self, open_schedule: Callable[[], Schedule]) -> dict[str, Any]:
        self._schedule = open_schedule()
        return self._block(0)

    def _block(self, iteration: int) -> dict[str, Any]:
        """What rank 0 tells: a block of rows, and what is said about the schedule that they are of."""
        assert self._schedule is not None  # noqa: S101 - rank 0 has opened it
        rows = self._schedule.block(iteration, _BLOCK)
        return {"start": iteration, "rows": rows, "document": self._schedule.document}

    def _exchange(self, tell: Callable[[], dict[str, Any]]) -> None:
        error: PreheatError | None = None
        told: list[Any] = [None]
        if self._is_rank_zero:
            try:
                told = [tell()]
            except PreheatError as caught:  # the others wait for an answer
                error = caught
                told = [{"error": str(caught)}]
        distributed.broadcast_object_list(told, group=self._group, group_src=0)
        if error is not None:
            raise error
        message = told[0]
        if "error" in message:
            raise ServiceUnavailable(f"rank 0: {message['error']}")
        self._start, self._rows = message["start"], message["rows"]
        if self._document != message["document"]:
            self._document = message["document"]
