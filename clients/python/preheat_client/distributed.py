"""torch.distributed: rank 0 asks the service, and broadcasts the LRs to every other rank."""

import contextlib
import pickle
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self, TypeVar

from torch import distributed

from preheat_client._core.curve import Described, Known, Metadata, Row
from preheat_client.errors import PreheatError, RankZeroFailed, ServiceUnavailable
from preheat_client.schedule import ReadableSchedule, Schedule, check_readable

__all__ = ["SharedSchedule", "from_rank_zero"]

_BLOCK = 1024

Value = TypeVar("Value")


def from_rank_zero(open_schedule: Callable[[], Schedule], group: Any = None) -> ReadableSchedule:
    """The schedule that a function opens on rank 0 of a process group, for all of its ranks.

    Every rank calls this, with the same function, and reads the same iterations in the same order: every 1024 of them
    rank 0 broadcasts a block. So all ranks run at the same LR bit for bit, even while rank 0 runs on a fallback. With
    one process, or without torch.distributed, it is just the schedule.

    Raises what the function raises, on rank 0; on every other rank the same if it is a PreheatError, else
    RankZeroFailed with its message. TypeError for what is no function, on every rank, and for one that opens no
    schedule.
    """
    if not callable(open_schedule):
        raise TypeError(f"open_schedule ({open_schedule!r:.80}) must be a function: from_rank_zero(lambda: …)")
    if not is_shared(group):
        schedule = open_schedule()
        check_readable(schedule)
        return schedule
    return SharedSchedule(open_schedule, group)


class SharedSchedule(Described):
    """A schedule of rank 0, read by all ranks of a process group in step; made by `from_rank_zero`."""

    def __init__(self, open_schedule: Callable[[], Schedule], group: Any) -> None:
        self._group = group
        self._schedule: Schedule
        self._start = 0
        self._rows: list[tuple[Row, list[float]]] = []
        self._known = Known(Metadata())
        self._receive_block(0, open_schedule)

    def lr(self, iteration: int) -> Row:
        """The learning rate at `iteration`, as `Schedule.lr` gives it on rank 0. Raises what that raises."""
        return self._row(iteration)[0]

    def hyperparameters(self, iteration: int) -> list[float]:
        """Values of the other hyperparameters at `iteration`."""
        return self._row(iteration)[1]

    def lrs(self, start: int = 0, stop: int | None = None) -> Sequence[Row]:
        """Learning rates of iterations start … stop − 1, as `Schedule.lrs` gives them on rank 0; every rank calls it.

        Raises what that raises on rank 0, on every rank.
        """
        rows: Sequence[Row] = on_rank_zero(lambda: self._schedule.lrs(start, stop), self._group)
        return rows

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self  # frameworks copy schedulers; a copy would read out of step with the other ranks

    def _row(self, iteration: int) -> tuple[Row, list[float]]:
        offset = iteration - self._start
        if not 0 <= offset < len(self._rows):
            self._receive_block(iteration)
            offset = iteration - self._start
        if not 0 <= offset < len(self._rows):
            raise ServiceUnavailable(
                f"rank 0 is at iteration {self._start}, this rank at {iteration}: all ranks must read the same ones"
            )
        return self._rows[offset]

    def _receive_block(self, iteration: int, open_schedule: Callable[[], Schedule] | None = None) -> None:
        """Brings rows, and the metadata of the schedule that they are of; only what rank 0 asks for counts."""

        def block() -> tuple[int, list[tuple[Row, list[float]]], Metadata]:
            if open_schedule is not None:
                self._schedule = _opened(open_schedule)
            rows = self._schedule._block(iteration, _BLOCK)  # noqa: SLF001 - for this class alone
            return iteration, rows, self._schedule._known.metadata  # noqa: SLF001 - as above

        self._start, self._rows, metadata = on_rank_zero(block, self._group)
        if metadata != self._known.metadata:  # the same one stays the same object: RemoteLR looks for another one
            self._known.metadata = metadata


def on_rank_zero(make: Callable[[], Value], group: Any = None) -> Value:
    """What a function returns on rank 0 of a process group, on every rank; if it raises, every rank raises.

    Every rank calls this. A PreheatError is raised as it is, anything else as RankZeroFailed on the other ranks.
    """
    if distributed.get_rank(group) != 0:
        message = [b""]
        distributed.broadcast_object_list(message, group=group, group_src=0)
        value, error = pickle.loads(message[0])  # noqa: S301 - what rank 0 has pickled
        if error is not None:
            raise error
        received: Value = value
        return received
    failure = None
    try:
        made = make()
        message = [pickle.dumps((made, None))]  # here, where the others can still be told that it failed
    except BaseException as caught:  # noqa: BLE001 - whatever it is, the others wait for an answer; raised below
        failure, message = caught, [_pickled(caught)]
    with _uninterrupted():
        distributed.broadcast_object_list(message, group=group, group_src=0)
    if failure is not None:
        raise failure
    return made


def is_shared(group: Any = None) -> bool:
    """Whether there is a process group of several ranks."""
    return distributed.is_available() and distributed.is_initialized() and distributed.get_world_size(group) > 1


def size_of(group: Any = None) -> int:
    """How many ranks a process group has."""
    return distributed.get_world_size(group)


def rank_of(group: Any = None) -> int:
    """This process's rank in a process group."""
    return distributed.get_rank(group)


def _opened(open_schedule: Callable[[], object]) -> Schedule:
    """The schedule that a function opens. Raises TypeError for anything else: of one's own, no block can be read."""
    schedule = open_schedule()
    if not isinstance(schedule, Schedule):
        rule = "must be a schedule of Preheat().create(spec) or .schedule(id)"
        raise TypeError(f"what open_schedule returns ({type(schedule).__name__}) {rule}")
    return schedule


def _pickled(error: BaseException) -> bytes:
    """The message in which other ranks are told of an error."""
    with contextlib.suppress(Exception):  # one of the user's own may not let itself be pickled, or unpickled
        if isinstance(error, PreheatError):
            pickled = pickle.dumps((None, error))
            pickle.loads(pickled)  # noqa: S301 - ours
            return pickled
    try:
        text = str(error)
    except BaseException as caught:  # noqa: BLE001 - what it says is not worth leaving the others to wait
        text = f"its text raises {type(caught).__name__}"
    return pickle.dumps((None, RankZeroFailed(f"rank 0 raised {type(error).__name__}: {text}")))


@contextlib.contextmanager
def _uninterrupted() -> Iterator[None]:
    """Puts a KeyboardInterrupt off: between the parts of a broadcast it would leave the other ranks waiting."""
    handler = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(handler):
        yield
        return
    caught: list[tuple[int, Any]] = []
    signal.signal(signal.SIGINT, lambda number, frame: caught.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, handler)
    if caught:
        handler(*caught[0])
