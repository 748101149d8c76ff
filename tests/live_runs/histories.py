"""Histories: what happens in a world, by chance of a seed."""

import random
from collections.abc import Callable
from typing import Any

from live_runs.world import Habits, Room, World

FATES = ("ok", "ok", "ok", "lost", "late", "twice")

OPERATIONS: list[dict[str, Any]] = [
    {"op": "scale", "factor": 0.5},
    {"op": "scale", "factor": 0.9},
    {"op": "scale", "factor": 1.5},
    {"op": "hold", "value": 0.0},
    {"op": "hold", "value": "current"},
    {"op": "rewarm", "iterations": 8},
    {"op": "cooldown", "iterations": 15, "to": 0.001},
    {"op": "extend", "total_iterations": 320},
    {"op": "extend", "total_iterations": 60},
    {"op": "extend", "total_iterations": 340, "policy": "move-cooldown"},
    {"op": "replace", "schedule": {"target_lr": 0.05, "total_iterations": 280}, "clock": "here"},
]


def step(world: World, chance: random.Random) -> None:
    """One thing happens in the world, by chance."""
    world.now += chance.random() * 3
    alive = [job for job in world.jobs if not job.is_dead]
    if not alive:
        _restart(world, chance, None)
        return
    job = alive[-1] if chance.random() < 0.8 else chance.choice(alive)
    happening = chance.choices(list(_HAPPENINGS), [weight for _, weight in _HAPPENINGS.values()])[0]
    _HAPPENINGS[happening][0](world, chance, job)


def _ask(world: World, chance: random.Random, job: Any) -> None:
    world.ask(job, chance.choice(FATES))


def _run(world: World, chance: random.Random, job: Any) -> None:
    world.run_on(job, chance.randint(1, 6))


def _overrun(world: World, chance: random.Random, job: Any) -> None:
    world.overrun(job, chance.randint(1, 9))


def _change(world: World, chance: random.Random, job: Any) -> None:
    when: dict[str, Any] = {}
    if chance.random() < 0.5:
        when["at"] = job.position + chance.randint(0, 30)
    if chance.random() < 0.3:
        when["for_iterations"] = chance.randint(1, 20)
    elif chance.random() < 0.3:
        when[chance.choice(["until", "not_after"])] = job.position + chance.randint(0, 40)
    world.change(chance.choice(["ann", "bob", "cy"]), chance.choice(OPERATIONS), chance.choice(FATES), **when)


def _cancel(world: World, chance: random.Random, _job: Any) -> None:
    world.cancel(chance.randint(0, 99))


def _save(world: World, _chance: random.Random, job: Any) -> None:
    world.save_checkpoint(job)


def _kill(_world: World, _chance: random.Random, job: Any) -> None:
    job.is_dead = True


def _restart(world: World, chance: random.Random, _job: Any) -> None:
    checkpoint = chance.choice([None, *world.checkpoints[-4:]])
    world.start_job(checkpoint, lag=chance.choice([0, 0, 0, 1]))


def _deliver(world: World, chance: random.Random, _job: Any) -> None:
    if world.flights:
        world.deliver(world.flights.pop(chance.randrange(len(world.flights))))


def _deliver_too_late(world: World, chance: random.Random, job: Any) -> None:
    """The answer that brings a change comes when the ranks have been told to go on without it."""
    world.change("ann", {"op": "scale", "factor": 0.5}, "ok")
    world.ask(job, "late")
    world.overrun(job, 6)
    world.run_on(job, 3)
    if world.flights and world.flights[-1].job is job:
        world.deliver(world.flights.pop())
    world.run_on(job, chance.randint(1, 6))


def _report(world: World, chance: random.Random, job: Any) -> None:
    world.report(job, chance.choice([1.0, 0.9, 0.5, float("nan"), 2.0]), chance.choice(FATES))


def _roll_back(world: World, chance: random.Random, _job: Any) -> None:
    places = [saved.position - 1 for saved in world.checkpoints] or [0]
    world.roll_back(chance.choice(places), chance.choice(["drop", "from-here"]))


_HAPPENINGS: dict[str, tuple[Callable[[World, random.Random, Any], None], int]] = {
    "ask": (_ask, 30),
    "run": (_run, 30),
    "overrun": (_overrun, 4),
    "change": (_change, 8),
    "cancel": (_cancel, 3),
    "save": (_save, 5),
    "kill": (_kill, 2),
    "restart": (_restart, 2),
    "deliver": (_deliver, 8),
    "deliver-too-late": (_deliver_too_late, 1),
    "report": (_report, 6),
    "rollback": (_roll_back, 1),
}
"""What may happen, and how often."""


def history(
    seed: int, room: Room, habits: Habits, look: Callable[[World], object] = World.check, steps: int = 120
) -> World:
    """A world after so many things have happened, by chance of a seed; somebody looks at it now and then."""
    chance = random.Random(seed)
    speakers = "all" if seed % 4 == 3 else "one"
    world = World(room, habits, speakers=speakers, with_plateau=seed % 2 == 0)
    for number in range(steps):
        step(world, chance)
        if number % 8 == 0:
            look(world)
    look(world)
    return world
