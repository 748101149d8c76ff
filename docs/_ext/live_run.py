"""Figures of a live run: the run is made by the service's own rules, and drawn as its numbers say."""

import math
from typing import Any

from preheat.curve import Curve
from preheat.plot.options import PlotOptions
from preheat.plot.run_picture import Reports, render_run
from preheat.runs import attempts, changes, making, windows
from preheat.runs.draft import Outcome
from preheat.runs.limits import Limits
from preheat.runs.run import Run
from preheat.schedule import Schedule

_SPEC = {"target_lr": 0.01, "total_iterations": 400, "warmup": 40, "after_scheduler": {"type": "CosineLR"}}
_LIMITS = Limits(window_cap=80, first_window=80)
_WIDTH, _HEIGHT, _LEFT, _TOP, _BAR = 640, 112, 8, 40, 22


class _Curves:
    """The curves of schedules, each computed once."""

    def __init__(self) -> None:
        self._made: dict[str, Curve] = {}

    def curve(self, schedule_id: str) -> Curve:
        return self._made[schedule_id]

    def curve_of(self, schedule: Schedule) -> Curve:
        return self._made.setdefault(schedule.id, Curve(schedule))

    def check(self) -> None:
        """There is time enough."""


class Story:
    """A run whose job does what it is told, one request after the other."""

    def __init__(self) -> None:
        self.curves, self._count = _Curves(), 0
        self.run: Run
        self._then(making.make("run", "llama", Schedule.of(_SPEC), 0.0))

    def attach(self, position: int) -> None:
        """A life of the job begins."""
        run = self.run
        known = attempts.Checkpoint(run.id, run.attempt_number, run.revision, position, position)
        checkpoint = known if run.attempts else None
        request = attempts.AttachRequest(
            self._new(), run.attempt_number, position, take_over=True, checkpoint=checkpoint
        )
        self._then(attempts.attach(run, request, 0.0, self.curves, lambda *_: [], _LIMITS))
        self._token = request.token

    def ask(self, position: int, acknowledged: int | None = None) -> None:
        """The job asks for its next window, and says what it has; by default all that was handed out."""
        run = self.run
        have = run.horizon if acknowledged is None else acknowledged
        request = windows.WindowRequest(run.attempt_number, self._token, position, have, run.revision)
        self._then(windows.hand_out(run, request, 0.0, self.curves, _LIMITS))

    def train(self, position: int) -> None:
        """The job comes to an iteration."""
        while (attempt := self.run.attempts[-1]).position < position:
            self.ask(min(self.run.horizon, position), max(self.run.horizon, attempt.acknowledged))

    def change(self, author: str, why: str, operation: dict[str, Any], **when: Any) -> int:
        """Somebody changes the run; the iteration from which it holds."""
        request = changes.ChangeRequest(operation, why, author, **when)
        made = changes.change(self.run, request, self._seen(), self._new(), 0.0, self.curves, _LIMITS)
        self._then(made)
        assert made.answer.effect is not None  # noqa: S101 - it is in force
        return made.answer.effect

    def roll_back(self, author: str, why: str, after: int) -> None:
        """Somebody asks the job to restart."""
        request = making.RollbackRequest(after, "from-here", why, author)
        self._then(making.roll_back(self.run, request, self._seen(), 0.0, _LIMITS))

    def _seen(self) -> changes.Precondition:
        return changes.Precondition(self.run.etag, self._new())

    def _new(self) -> str:
        self._count += 1
        return f"new-for-each-time-{self._count}"

    def _then(self, outcome: Outcome[Any]) -> None:
        for _, schedule in outcome.revisions:
            self.curves.curve_of(schedule)
        self.run = outcome.run


def picture(kind: str, **options: Any) -> bytes:
    """A run that diverged at 120, went back to 100 at half the LR, and is to pause at 280; with its loss."""
    story = Story()
    story.attach(1)
    story.train(121)
    story.change("ann", "it diverged at 120", {"op": "scale", "factor": 0.5})
    story.roll_back("ann", "it diverged at 120", 99)
    story.attach(100)
    story.train(181)
    story.change("bob", "let it settle", {"op": "hold", "value": 0.0}, at=280, for_iterations=40)
    losses = {n: 2 + 6 * math.exp(-n / 60) for n in range(1, 181)}
    diverged = {n: losses[n] + ((n - 100) / 10) ** 2 for n in range(100, 121)}
    present, earlier = ([(n, n, loss, loss) for n, loss in each.items()] for each in (losses, diverged))
    reports = Reports("loss", present, earlier={1: earlier})
    return render_run(story.run, story.curves.curve, reports, PlotOptions(**options), kind)


def horizon_svg() -> str:
    """Position, C, H and E on a line of iterations, as inline SVG in the colours of the page's theme."""
    story = Story()
    story.attach(1)
    for each in (1, 60, 100):
        story.ask(each)
    attempt, wanted = story.run.attempts[-1], 125
    position, have, horizon = attempt.position, attempt.acknowledged, story.run.horizon
    effect = story.change("ann", "loss spike", {"op": "scale", "factor": 0.5}, at=wanted)
    first, last = position - 50, horizon + 60
    middle, bottom = _TOP + _BAR / 2 + 4, _TOP + _BAR

    def x(n: float) -> float:
        return _LEFT + (_WIDTH - 2 * _LEFT) * (n - first) / (last - first)

    parts = [
        f'<svg class="lr-curve horizon" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="Where changes begin">',
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
        '<path d="M0 0 8 4 0 8z"/></marker></defs>',
    ]
    names = (("used", first, position), ("committed", position, have), ("handed out", have, horizon))
    for name, start, stop in (*names, ("planned", horizon, last)):
        box = f'x="{x(start):.1f}" y="{_TOP}" width="{x(stop) - x(start):.1f}" height="{_BAR}"'
        parts.append(f'<rect class="{name.split(maxsplit=1)[0]}" {box}/>')
        parts.append(f'<text x="{(x(start) + x(stop)) / 2:.1f}" y="{middle}" text-anchor="middle">{name}</text>')
    for name, n, drop in (("position", position, 16), ("C", have, 16), ("H", horizon, 16)):
        parts.append(f'<line class="axis" x1="{x(n):.1f}" x2="{x(n):.1f}" y1="{_TOP - 4}" y2="{bottom + 4}"/>')
        text = f"{name} = {n}"
        parts.append(f'<text x="{x(n):.1f}" y="{bottom + drop}" text-anchor="middle">{text}</text>')
    parts.append(f'<text x="{x(wanted):.1f}" y="12" text-anchor="middle">a change is wanted at {wanted}</text>')
    parts.append(
        f'<path class="moved" marker-end="url(#tip)" d="M{x(wanted):.1f} 18 V28 H{x(effect):.1f} V{_TOP - 2}"/>'
    )
    parts.append(f'<text x="{x(effect) + 6:.1f}" y="{_TOP - 8}">it begins at E = {effect}</text>')
    note = "used, committed and handed out stay what they are: each was on disk before it was answered"
    parts.append(f'<text x="{_LEFT}" y="{_HEIGHT - 10}">{note}</text></svg>')
    return "\n".join(parts)
