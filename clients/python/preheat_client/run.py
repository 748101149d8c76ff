"""Run: the live schedule of a training job, whose LRs the service hands out, and which people can change."""

import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Self

from preheat_client._core.curve import Described, Row, Window
from preheat_client._core.prefetch import NO_VIEW
from preheat_client._runs.answers import Change, Restart
from preheat_client._runs.attachment import Attachment
from preheat_client._runs.news import News
from preheat_client._runs.opened import Feed, Opened
from preheat_client._runs.parts import Parts
from preheat_client._runs.plan import Plan
from preheat_client._runs.ranks import Ranks, check_alone, ranks_now
from preheat_client._runs.speaker import Part
from preheat_client._runs.states import check_run, checkpoint_of, differing_from, handed_at, is_same, state_of
from preheat_client.errors import IterationOutOfRange, ServiceUnavailable
from preheat_client.run_status import RunState, RunStatus
from preheat_client.schedule import whole_number

__all__ = ["Run"]

_RECORD = 1024

OnChange = Callable[["Run", Change], object]
OnRestart = Callable[["Run", Restart], object]


class Run(Described):
    """A live run of the service; made by `Preheat.run`, and given to every adapter in the place of a schedule.

    The first update attaches: from then on the service knows this job as the run's present attempt, and hands out its
    LRs in windows, a few seconds ahead. Making a run or a RemoteLR, loading a checkpoint, evaluating and `plan` only
    look. `lr` uses: for a loop without a scheduler its first call attaches.

    While the service is away the loop goes on along the last revision that is known, and tells the service when it is
    back. Another process that takes the run over ends this one: its next LR raises RunSuperseded.

    Under torch.distributed rank 0 asks and tells the others: every rank makes the same calls in the same order. A copy
    is the run itself; where it is unpickled it is opened again.
    """

    is_live = True

    def __init__(self, opened: Opened, on_change: OnChange | None, on_restart: OnRestart | None) -> None:
        self._opened, self._description = opened, opened.description
        self._attachment, self._place, self._health = opened.attachment, opened.place, opened.health
        self._news = News(opened.health, on_change, on_restart)
        self._known: Feed = Feed(opened.metadata)
        self.renew()
        if self._attachment is not None:
            heartbeat, called = self._attachment.heartbeat, weakref.ref(self)
            heartbeat.on_window = lambda before, now: _call(called, lambda run: run._heard(before, now))  # noqa: SLF001
            self._health.on_state = lambda: _call(called, Run._tell_state)
            heartbeat.on_end = lambda: _call(called, Run._cut)
            heartbeat.told = lambda position: _call(called, lambda run: run._handed(position - 1))  # noqa: SLF001

    def renew(self) -> None:
        """Begins anew, also in the child of a fork; not for users."""
        if self._attachment is not None:
            self._attachment.heartbeat.renew()
        self._ranks: Ranks | None = None
        self.is_begun = False
        """Whether this process has attached since a state was loaded, for adapters."""
        self._begun_from: Mapping[str, Any] | None = None
        self._users: weakref.WeakSet[Any] = weakref.WeakSet()
        self._pending: Mapping[str, Any] | None = None
        self._parts = Parts()
        self._news.begin()
        self._known.view = NO_VIEW

    @property
    def id(self) -> str:
        """The run's id; that of its schedule is one for each revision."""
        return self._description.id

    @property
    def label(self) -> str:
        """The label, which names one living run."""
        return self._description.label

    @property
    def spec(self) -> dict[str, Any]:
        """The normalised spec that the run was made of, without the changes since."""
        return self._known.metadata.spec

    @property
    def is_new(self) -> bool:
        """Whether this process has neither used an LR of it nor loaded a state, for adapters."""
        return self._parts.last is None and self._pending is None

    @property
    def planned(self) -> Plan:
        """What `plan` looks at, for adapters."""
        return self._opened.plan

    @property
    def restart_requested(self) -> Restart | None:
        """A restart that a person has asked this attempt for; a loop stops then, without saving. None if none has."""
        return self._news.restart

    @property
    def status(self) -> RunStatus:
        """What the LRs are worth, which revision and attempt they are of, and what happened last."""
        heartbeat = self._attachment.heartbeat if self._attachment is not None else None
        speaker, dropped = (heartbeat.speaker, heartbeat.reports.dropped) if heartbeat is not None else (None, 0)
        state, part, position = self._health.state, self._parts.last, self._place.position
        if heartbeat is None and part is not None:
            state = RunState.OVERRUN if part.is_overrun else RunState.READY
        revision, attempt = (part.revision, part.attempt) if part else (self._description.revision, 0)
        has = speaker.acknowledged if speaker else part.acknowledged if part else 0
        heard, error = self._health.last_change, self._health.last_error
        change = None if heard is None else heard.at(position)
        return RunStatus(state, revision, attempt, position, has, change, self._news.restart, error, dropped)

    def plan(self, iteration: int) -> Row:
        """The learning rate that is planned for an iteration as things stand; only looks, at any iteration.

        Read as `Schedule.lr` reads it, of the newest revision. Where rank 0 asks for all ranks, the others have what
        was planned when the run was opened, and the nearest of it.
        """
        return self._opened.plan.lr(whole_number(iteration))

    def lr(self, iteration: int) -> Row:
        """The learning rate to run update `iteration` at: a number for one param group, a list for several.

        Attaches if it is the first one that is used. A read from memory, else waited for: at most `timeout_s`, after
        which the loop goes on along the last revision that is known. Past the end the last LR is held. Iterations are
        used in order: those that are passed over count as used.

        Raises RunSuperseded, RunFinished; IterationOutOfRange below 0, more than 65,536 ahead of what was handed out,
        or past the end if `strict`; what `begin` raises; ServiceUnavailable with many speakers after `patience_s`, or
        where no revision is known exactly.
        """
        start, lrs, _ = self._known.view
        try:
            offset = iteration - start
            if 0 <= offset < len(lrs):
                self._place.at = iteration
                return lrs[offset]
        except TypeError:  # 2.5, "3": said below, by its name
            pass
        iteration = whole_number(iteration)
        return self._window(iteration).row(iteration)[0]

    def hyperparameters(self, iteration: int) -> list[float]:
        """Values of the other hyperparameters to run update `iteration` at, as `hyperparameter_columns` names them."""
        iteration = whole_number(iteration)
        return self._window(iteration).row(iteration)[1]

    def lrs(self, start: int = 0, stop: int | None = None) -> Sequence[Row]:
        """Learning rates that are planned for iterations start … stop − 1; only looks, as `plan` does."""
        return self._opened.plan.lrs(start, stop)

    def report(self, iteration: int, /, **values: Any) -> None:
        """Notes numbers of an update (loss, grad_norm, …), which are sent with the next request.

        Never waits, and never fails for what the service says: reports are kept in memory, the last 10,000. Under
        torch.distributed only rank 0's count. NaN and infinities are values too. After `close` the log says, once, that
        they are dropped.

        Raises TypeError for what is no number and without any, ValueError for a negative iteration or a name that is
        blank, not printable or longer than 100 characters.
        """
        iteration = whole_number(iteration)
        if not values:
            raise TypeError(f"report({iteration}) has no value: give each by its name, such as loss=0.5")
        if (
            self._attachment is not None
            and self._opened.options.reports
            and (not self._ranks or self._ranks.is_speaker)
        ):
            self._attachment.heartbeat.reports.add(iteration, values)
            if self._attachment.heartbeat.is_closed:
                self._news.dropped(iteration)

    def begin(self, iteration: int, state: Mapping[str, Any] | None = None, user: Any = None) -> None:
        """Attaches with update `iteration` as the next one; for adapters, which call it before their first update.

        `state` is what the loop was resumed from, if it was. Another `user`, such as a second optimizer's scheduler,
        joins the attempt that this process has opened from the same checkpoint, or without one.

        Waits while another process that trains the run is alive, or the service away. Raises RunOccupied or
        ServiceUnavailable after `patience_s`, RunSuperseded if another process has attached since this one opened the
        run, CheckpointMismatch, RunFinished; RequestRefused for an update past the run's end; ValueError for one of
        several processes that could not agree; RuntimeError if this process trains the run through another Run.
        """
        checkpoint = None if state is None else checkpoint_of(state)
        if self.is_begun and (state is None or (is_same(checkpoint, self._begun_from) and user not in self._users)):
            if user is not None:
                self._users.add(user)
            return
        ranks = ranks_now(self._opened.group, self._opened.options.speakers, self._opened.processes)
        check_alone(ranks, self._opened.options.speakers, self._opened.processes)

        def attach() -> Part:
            self._speaking.attach(iteration, checkpoint, ranks.size)
            self._place.at = iteration
            return self._speaking.next_part(iteration)

        part = ranks.share(attach)
        self._ranks, self._place.at = ranks, iteration
        self._parts = Parts()
        self._news.begin()
        self._known.view = NO_VIEW  # what another attempt of this process was handed is not this one's
        self._take(part)
        self.is_begun, self._begun_from = True, checkpoint
        self._users = weakref.WeakSet({user} - {None})

    def state_dict(self, iteration: int) -> dict[str, Any]:
        """What a checkpoint needs to know of the run, whose next iteration to run is `iteration`; never an LR.

        RemoteLR and the other adapters have it in theirs.
        """
        return state_of(self._parts.last, self.id, iteration)

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Goes on from a checkpoint with the next LR that is used: for loops without a scheduler.

        Raises ScheduleMismatch for the state of another run.
        """
        self.check_state(state)
        self._pending, self.is_begun = state, False
        self._known.view = NO_VIEW

    def check_state(self, state: Mapping[str, Any]) -> None:
        """Raises ScheduleMismatch for the state of another run; that of a run that this one is a fork of is none."""
        check_run(state, self.id, self._description.origins)

    def follow(self, scheduler: Any) -> None:
        """Takes where the loop is from a scheduler with `last_epoch` and `is_in_use`, for adapters."""
        self._place.follow(scheduler)

    def ran_at(self, iteration: int, lrs: Mapping[str, float]) -> None:
        """Notes other LRs, by param group, than an update was handed out, for adapters: the service is told of them."""
        told = differing_from(self._handed(iteration), iteration, lrs, self._part.revision, self._opened.processes.rank)
        self._news.differs(iteration, told["lrs"])
        if self._attachment is not None:  # else rank 0 asks for this process, and knows nothing of it
            self._attachment.heartbeat.differences.add(told)

    def reach(self, iteration: int) -> None:
        """Notes that `iteration` is the next one to run, for adapters that leave off there."""
        self._place.at = max(self._place.at, iteration)

    def close(self) -> None:
        """Says goodbye: sends the reports that are left, and lets another process attach at once."""
        if self._attachment is not None:
            self._attachment.close()
        self._known.view = NO_VIEW

    def _window(self, iteration: int) -> Window:
        """The values that an iteration is to run at, now in view."""
        self._check(iteration)
        if not self.is_begun:
            self.begin(iteration, self._pending)
        before = self._place.at
        self._place.at = max(before, iteration)
        try:
            while iteration >= self._part.stop:
                self._advance(iteration)
        except IterationOutOfRange:  # the loop is not there
            self._place.at = before
            raise
        window = self._parts.window(iteration) or self._record(iteration)
        self._known.view = (window.start, window.lrs, window.others)
        return window

    @property
    def _part(self) -> Part:
        """The part that was told last."""
        part = self._parts.last
        assert part is not None  # noqa: S101 - it has begun
        return part

    @property
    def _speaking(self) -> Attachment:
        """The attachment of a process that speaks for its job."""
        assert self._attachment is not None  # noqa: S101 - as it does
        return self._attachment

    def _check(self, iteration: int) -> None:
        last = self.total_iterations
        if iteration < 0 or (iteration > last and self._opened.is_strict):
            raise IterationOutOfRange(iteration, last)
        if self._attachment is not None:
            # Among several ranks all raise with the next part.
            self._attachment.check_open(ends=self._ranks is None or not self._ranks.is_shared)

    def _advance(self, iteration: int) -> None:
        assert self._ranks is not None  # noqa: S101 - it has begun
        part = self._ranks.share(lambda: self._speaking.next_part(iteration))
        if part.start != self._part.stop:
            raise ServiceUnavailable(
                f"rank 0 tells iterations from {part.start} on, this rank is at {self._part.stop}: all ranks must make "
                "the same calls"
            )
        self._take(part)

    def _take(self, part: Part) -> None:
        self._parts.take(part)
        if part.total_iterations != self._known.metadata.total_iterations:
            self._known.metadata = self._known.metadata.of_length(part.total_iterations)
        self._news.ask_for(part.restart, self)

    def _record(self, iteration: int) -> Window:
        """What an iteration before those in memory ran at: for one of two optimizers that lags behind."""
        first = self._parts.told[0]
        stop = min(iteration + _RECORD, first.start)
        columns = self._known.metadata.all_columns
        assert self._ranks is not None  # noqa: S101 - it has begun
        window = self._ranks.share(
            lambda: self._speaking.patiently(lambda api: api.record(self.id, first.attempt, iteration, stop, columns))
        )
        self._parts.take_record(window)
        return window

    # What the client's thread calls.

    def _heard(self, before: int, now: int) -> None:
        """After each window."""
        speaker = self._speaking.heartbeat.speaker
        if speaker is not None and self._ranks is not None and not self._ranks.is_shared:  # else with the next part
            self._news.ask_for(speaker.restart, self)
        if now > before:
            self._speaking.look_for_changes(before, lambda change: self._news.changed(change, self))

    def _tell_state(self) -> None:
        """After each change of state."""
        status, tell = self.status, self._opened.on_state_change
        if tell is not None:
            self._health.call(lambda: tell(self, status))

    def _cut(self) -> None:
        """Makes the next read see that there will be no more; among several ranks all see it with the next part."""
        if self._ranks is None or not self._ranks.is_shared:
            self._known.view = NO_VIEW

    def _handed(self, iteration: int) -> dict[str, Any] | None:
        """What an iteration was handed out at, as the service takes it; None if that is not in memory."""
        return handed_at(iteration, self._parts.at(iteration), self.group_names, self._opened.processes.rank)

    def __repr__(self) -> str:
        return f"<{self._health.name}: {self._health.state}>"

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self  # frameworks copy schedulers, and a copy must not attach a second time

    def __reduce__(self) -> tuple[Any, ...]:
        return self._opened.reopen, ()


def _call(reference: "weakref.ref[Run]", method: Callable[[Run], Any]) -> Any:
    """Calls a method of a run that was not dropped."""
    run = reference()
    return None if run is None else method(run)
