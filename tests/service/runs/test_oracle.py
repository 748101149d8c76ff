"""The room beside an oracle that knows the rules by heart: LRs of each attempt in a dict, by amendments in a loop."""

import math
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from live_runs.script import Script
from preheat.runs.facts import Overrun
from preheat.runs.limits import Limits

TOTAL, WARMUP, TARGET, WINDOW = 60, 10, 0.1, 10
SPEC = {"target_lr": TARGET, "total_iterations": TOTAL, "warmup": WARMUP}


@dataclass
class Wish:
    """A change as the oracle has it: in force at iterations effect … stop − 1; out without an effect.

    `ends_at` is what an overrun has cut it to; `held` what a hold of the current LR holds.
    """

    id: str
    op: str
    number: float = 0.0
    at: int | None = None
    for_iterations: int | None = None
    until: int | None = None
    not_after: int | None = None
    target: str = ""
    effect: int | None = None
    ends_at: int | None = None
    held: float = 0.0


def value(wishes: list[Wish], n: int) -> float:
    """The LR of an iteration: the base, and then each change in order of acceptance."""
    lr = TARGET * n / WARMUP if n <= WARMUP else TARGET
    for wish in wishes:
        if wish.effect is None or not wish.effect <= n < stop_of(wishes, wish):
            continue
        if wish.op == "scale":
            lr *= wish.number
        elif wish.op == "hold":
            lr = wish.number
        elif wish.op == "current":
            lr = wish.held
        elif wish.op == "rewarm" and n < wish.effect + wish.number:
            lr *= (n - wish.effect + 1) / wish.number
    return lr


def stop_of(wishes: list[Wish], wish: Wish) -> float:
    """The first iteration at which a change is no longer in force."""
    effect = wish.effect or 0
    ends = [math.inf if wish.for_iterations is None else effect + wish.for_iterations]
    ends += [end for end in (wish.ends_at, wish.until) if end is not None]
    ends += [other.effect for other in wishes if other.target == wish.id and other.effect is not None]
    return min(ends)


def is_too_late(wish: Wish, effect: int) -> bool:
    """Whether it would come later than it says itself."""
    is_over = wish.until is not None and effect >= wish.until
    return is_over or (wish.not_after is not None and effect > wish.not_after)


def put_behind(wish: Wish, effect: int) -> None:
    """Moves a wish to where the job has come to, or out, past its own bound or the end of the run."""
    wish.effect = None if is_too_late(wish, effect) or effect > TOTAL else effect


def hold(wishes: list[Wish], moved: set[str]) -> None:
    """Computes what holds of the current LR hold, where they have moved; in order, since one may follow another."""
    for index, wish in enumerate(wishes):
        if wish.op == "current" and wish.id in moved and wish.effect is not None:
            wish.held = value(wishes[:index], wish.effect)


class Oracle(RuleBasedStateMachine):
    """One job and one person, whose requests all arrive, in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.script = Script(SPEC, Limits(window_cap=64, first_window=WINDOW))
        self.wishes: list[Wish] = []
        self.lanes: dict[int, dict[int, float]] = {}
        self.starts: dict[int, int] = {}
        self.ids = 0
        self.begin(1)

    @property
    def attempt(self) -> int:
        """The present attempt."""
        return len(self.lanes)

    def begin(self, k: int) -> None:
        """The job attaches."""
        self.script.attach(k, checkpoint=self.attempt > 0)
        number = self.attempt + 1
        self.lanes[number], self.starts[number] = {}, k
        self.position = self.have = self.handed = k
        self.know()

    def know(self) -> None:
        """The job has heard of the present revision."""
        self.known = (self.script.run.revision, [replace(each) for each in self.wishes])

    @rule(advance=st.integers(0, WINDOW), arrives=st.booleans())
    def ask(self, advance: int, arrives: bool) -> None:
        """The job runs on, and asks; the answer may get lost."""
        self.position = min(self.position + advance, self.have)
        window = self.script.ask(self.position, self.have, revision=self.known[0])
        stop = max(min(self.position + WINDOW, TOTAL + 1), self.have)
        assert (window.start, window.stop) == (self.have, stop)
        self.handed = max(self.handed, stop)
        if arrives:
            self.lanes[self.attempt] |= {n: value(self.wishes, n) for n in range(self.have, stop)}
            self.have = stop
            self.know()

    @rule(length=st.integers(1, WINDOW))
    def overrun(self, length: int) -> None:
        """The job goes on along what it knows, and tells when it is back."""
        start, end = self.have, min(self.have + length, TOTAL + 1)
        if end <= start:
            return
        revision, known = self.known
        self.lanes[self.attempt] |= {n: value(known, n) for n in range(start, end)}
        for wish in self.wishes:
            before = next((each for each in known if each.id == wish.id), None)
            if before is not None and before.effect is not None and before.effect < end:
                if wish.effect is None:  # cancelled meanwhile, and used
                    wish.effect, wish.ends_at = max(before.effect, start), end
            elif wish.effect is not None and wish.effect < end:
                put_behind(wish, end)
        moved = {each.id for each in self.wishes if each.effect == end}
        hold(self.wishes, moved)
        self.position = start
        window = self.script.ask(start, start, revision=revision, overrun=Overrun(start, end, revision))
        stop = max(min(start + WINDOW, TOTAL + 1), end)
        assert (window.start, window.stop) == (end, stop)
        self.lanes[self.attempt] |= {n: value(self.wishes, n) for n in range(end, stop)}
        self.have, self.handed = stop, max(self.handed, stop)
        self.know()

    @precondition(lambda self: self.handed <= TOTAL)
    @rule(
        what=st.sampled_from([("scale", 0.5), ("scale", 1.5), ("hold", 0.03), ("current", 0.0), ("rewarm", 6)]),
        at=st.none() | st.integers(0, TOTAL),
        bound=st.none() | st.tuples(st.sampled_from(["for_iterations", "until", "not_after"]), st.integers(1, 40)),
    )
    def change(self, what: tuple[str, float], at: int | None, bound: tuple[str, int] | None) -> None:
        """Somebody changes what is still to come: E = max(wanted, H)."""
        op, number = what
        fields: dict[str, dict[str, Any]] = {
            "scale": {"factor": number},
            "hold": {"value": number},
            "rewarm": {"iterations": int(number)},
        }
        asked: dict[str, Any] = fields.get(op, {"value": "current"})
        effect, limit = max(at or 0, self.handed), {} if bound is None else {bound[0]: bound[1]}
        when: dict[str, Any] = {"at": at, **limit}
        wish = Wish("", op, number, effect=effect, **when)
        if is_too_late(wish, effect):
            return
        accepted = self.script.change("hold" if op == "current" else op, confirm=True, **asked, **when)
        wish.id = accepted.change.id
        assert accepted.effect == wish.effect
        self.wishes.append(wish)
        hold(self.wishes, {wish.id})

    @precondition(lambda self: self.wishes and self.handed <= TOTAL)
    @rule(index=st.integers(0, 9), at=st.none() | st.integers(0, TOTAL))
    def revert(self, index: int, at: int | None) -> None:
        """Somebody reverts one that is in force, or is to be."""
        wish, effect = self.wishes[index % len(self.wishes)], max(at or 0, self.handed)
        is_reverted = any(each.target == wish.id and each.effect is not None for each in self.wishes)
        if wish.op == "revert" or wish.effect is None or is_reverted or stop_of(self.wishes, wish) <= effect:
            return
        accepted = self.script.change("revert", change=wish.id, at=at, confirm=True)
        self.wishes.append(Wish(accepted.change.id, "revert", at=at, target=wish.id, effect=effect))

    @precondition(lambda self: self.wishes)
    @rule(index=st.integers(0, 9))
    def cancel(self, index: int) -> None:
        """Somebody cancels one that was not handed out."""
        wish = self.wishes[index % len(self.wishes)]
        if wish.effect is not None and wish.effect >= self.handed:
            self.script.cancel(wish.id)
            wish.effect = None

    @rule(back=st.integers(0, 15))
    def restart(self, back: int) -> None:
        """The job dies, and goes on from a checkpoint: everything stays where it is."""
        self.begin(max(self.position - back, self.starts[self.attempt]))

    @precondition(lambda self: self.handed < TOTAL)
    @rule(ahead=st.integers(1, 20))
    def skip(self, ahead: int) -> None:
        """The job goes on further than anything was handed out: what was planned for the gap comes behind it."""
        k = min(self.handed + ahead, TOTAL)
        skipped = [each for each in self.wishes if each.effect is not None and self.handed <= each.effect < k]
        for wish in skipped:
            put_behind(wish, k)
        hold(self.wishes, {each.id for each in skipped})
        self.begin(k)

    @rule(back=st.integers(0, 15), policy=st.sampled_from(["drop", "from-here"]))
    def roll_back(self, back: int, policy: str) -> None:
        """A person chooses what becomes of the changes from k on."""
        k = max(self.position - back, self.starts[self.attempt])
        self.script.roll_back(k - 1, policy)
        moved = set()
        for wish in self.wishes:
            if wish.effect is None or wish.effect < k:
                continue
            is_over = wish.ends_at is not None and wish.ends_at <= max(
                self.handed, k
            )  # cancelled, and used in an overrun
            if policy == "drop" or is_over:
                wish.effect = None
            elif wish.effect > k and not (wish.at is not None and wish.at >= max(self.handed, k)):
                wish.effect, wish.ends_at = k, None
                moved.add(wish.id)
        hold(self.wishes, moved)
        self.begin(k)

    @invariant()
    def the_record_is_the_oracles(self) -> None:
        """Of every attempt what it had been handed or has told, and of the present one what is planned."""
        for attempt, lane in self.lanes.items():
            for n, lr in lane.items():
                assert math.isclose(self.script.lr(n, attempt), lr, rel_tol=1e-12), (attempt, n)
        for n in range(self.handed, TOTAL + 1):
            assert math.isclose(self.script.lr(n), value(self.wishes, n), rel_tol=1e-12), n


Oracle.TestCase.settings = settings(max_examples=40, stateful_step_count=25)
TestOracle = Oracle.TestCase
