"""The cache keeps what was used last, within its bytes, and curves know what they weigh."""

import gc
import json
import tracemalloc
from typing import Any

import pytest

from preheat.cache import BoundedCache
from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.store import Database, ScheduleStore
from preheat.store.curves import Catalogue


def test_the_ones_unused_for_longest_leave() -> None:
    """Reading counts as use; the sum of sizes stays within the bound."""
    cache: BoundedCache[bytes] = BoundedCache(10, len)
    for key in "abc":
        cache.put(key, b"123")
    assert cache.get("a") == b"123"
    cache.put("d", b"1234")
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]
    assert (cache.bytes_held, cache.evictions, cache.hits, cache.misses) == (10, 1, 4, 1)


def test_when_all_were_used_the_oldest_leaves() -> None:
    """A second chance is one, so that room is always found."""
    cache: BoundedCache[bytes] = BoundedCache(10, len)
    for key in "abc":
        cache.put(key, b"123")
        cache.get(key)
    cache.put("d", b"1234")
    assert [key for key in "abcd" if cache.get(key)] == ["b", "c", "d"]


def test_one_larger_than_the_whole_is_not_kept() -> None:
    """It takes no other value's place, but that of what was there under its own key."""
    cache: BoundedCache[bytes] = BoundedCache(10, len)
    cache.put("a", b"12345")
    cache.put("b", b"12345")
    cache.put("a", b"12345678901")
    assert (cache.get("a"), cache.get("b"), cache.bytes_held) == (None, b"12345", 5)


def test_a_value_that_grew_is_weighed_again() -> None:
    """Others leave for it, or it leaves if it is larger than the whole."""
    cache: BoundedCache[bytearray] = BoundedCache(10, len)
    grown, other = bytearray(b"1"), bytearray(b"12345")
    cache.put("a", other)
    cache.put("b", grown)
    grown += b"2345678"
    cache.grew("b")
    assert (cache.get("a"), cache.get("b"), cache.bytes_held) == (None, grown, 8)
    grown += b"901"
    cache.grew("b")
    cache.grew("none of them")
    assert (cache.get("b"), cache.bytes_held) == (None, 0)


def test_putting_weighs_nothing_but_what_is_put() -> None:
    """The time a value takes to be kept does not grow with the number of those that are."""
    weighed = []

    def size_of(value: int) -> int:
        weighed.append(value)
        return 1

    cache: BoundedCache[int] = BoundedCache(50, size_of)
    for value in range(200):
        cache.put(str(value), value)
    assert weighed == list(range(200))
    assert (cache.bytes_held, cache.evictions) == (50, 150)


def test_a_value_is_read_while_the_cache_is_busy() -> None:
    """Reading waits for no lock: a value can be had while another is being weighed."""
    cache: BoundedCache[str] = BoundedCache(10, lambda _: len(seen.append(cache.get("a")) or "1"))  # type: ignore[func-returns-value]
    seen: list[str | None] = []
    cache.put("a", "A")
    cache.grew("a")
    assert seen == [None, "A"]


def catalogue(max_bytes: int) -> Catalogue:
    """Curves of a store in memory."""
    return Catalogue(ScheduleStore(Database("sqlite:///:memory:", 1)), max_bytes)


def test_curves_leave_the_memory_and_are_found_again() -> None:
    """A catalogue of a hundred schedules keeps a few curves, and makes the others anew from the store."""
    kept, ids = catalogue(500_000), []
    for total in range(1, 101):
        curve = Curve(Schedule.of({"target_lr": 0.1, "total_iterations": total, "warmup": {"iterations": total}}))
        kept.keep(curve)
        ids.append(curve.schedule.id)
    at_hand = [schedule_id for schedule_id in ids if kept.curve_at_hand(schedule_id)]
    assert 1 <= len(at_hand) < 80
    assert [kept.curve(schedule_id).total_iterations for schedule_id in ids] == list(range(1, 101))


def test_a_curve_that_grows_in_use_is_weighed_again() -> None:
    """Blocks that are computed after a curve was kept count, and push others out."""
    kept = catalogue(1_000_000)
    spec = {"target_lr": 0.1, "total_iterations": 10**6, "after_scheduler": {"type": "CosineLR"}}
    curves = [Curve(Schedule.of({**spec, "label": str(n)})) for n in range(2)]
    for curve in curves:
        kept.keep(curve)
    assert kept.cache.bytes_held == curves[0].nbytes + curves[1].nbytes < 100_000
    curves[0].window(0, 40_000)
    curves[1].window(0, 40_000)
    assert kept.cache.bytes_held == curves[0].nbytes + curves[1].nbytes > 600_000
    curves[1].window(40_000, 80_000)
    assert kept.curve_at_hand(curves[0].schedule.id) is None
    assert kept.cache.bytes_held == curves[1].nbytes


def test_a_curve_that_is_read_in_steps_is_weighed_again() -> None:
    """No block is kept then, but schedulers are made for it."""
    kept = catalogue(1_000_000)
    curve = Curve(Schedule.of({"target_lr": 0.1, "total_iterations": 10**6, "after_scheduler": {"type": "CosineLR"}}))
    kept.keep(curve)
    before = curve.nbytes
    curve.window(0, 10**6, 1000)
    assert kept.cache.bytes_held == curve.nbytes > before


class CountingStore(ScheduleStore):
    """A store that counts the rows that are read from it."""

    reads = 0

    def get(self, schedule_id: str) -> Schedule:
        """Counts, and reads."""
        self.reads += 1
        return super().get(schedule_id)


def test_a_schedule_and_its_curve_are_one_read() -> None:
    """Whoever describes a schedule that is not in memory reads its row once, and computes from what it read."""
    store = CountingStore(Database("sqlite:///:memory:", 1))
    schedule = Schedule.of({"target_lr": 0.1, "total_iterations": 20})
    store.add(schedule)
    kept = Catalogue(store, 1_000_000)
    curve = kept.curve_of_stored(kept.schedule(schedule.id))
    assert (store.reads, kept.curve(schedule.id)) == (1, curve)
    assert kept.schedule(schedule.id) is curve.schedule
    assert store.reads == 1


def test_a_curve_is_weighed_once_whether_it_was_saved_before_or_after() -> None:
    """What was drawn or linted first and then posted is the same curve, under one key."""
    kept = catalogue(1_000_000)
    schedule = Schedule.of({"target_lr": 0.1, "total_iterations": 20})
    curve = kept.curve_of(schedule)
    kept.keep(curve)
    assert kept.curve_of(schedule) is kept.curve(schedule.id) is curve
    assert kept.cache.bytes_held == curve.nbytes


HEAVY: dict[str, dict[str, Any]] = {
    "a table of 20000 values": {"after_scheduler": {"type": "TableLR", "values": [n / 6e4 for n in range(20_000)]}},
    "20000 factors": {"after_scheduler": {"type": "MultiplicativeLR", "lr_lambda": [n / 6e4 for n in range(20_000)]}},
    "256 groups": {
        "param_groups": [{"target_lr": n / 300} for n in range(256)],
        "after_scheduler": {"type": "CosineAnnealingLR"},
    },
    "100 schedulers": {
        "after_scheduler": {
            "type": "SequentialLR",
            "schedulers": [{"type": "ExponentialLR", "gamma": n / 100} for n in range(100)],
            "milestones": list(range(10, 1000, 10)),
        }
    },
    "many blocks": {"after_scheduler": {"type": "CosineLR"}},
    "many checkpoints": {
        "after_scheduler": {
            "type": "ChainedScheduler",
            "schedulers": [{"type": "MultiStepLR", "milestones": list(range(1, 1000)), "gamma": 0.9999}],
        }
    },
}


@pytest.mark.parametrize("fields", HEAVY.values(), ids=HEAVY)
def test_a_curve_knows_what_it_weighs(fields: dict[str, Any]) -> None:
    """`nbytes` is within a factor of 1.5 of what is allocated for a large one, fresh and after it was read."""
    text = json.dumps({"target_lr": 0.1, "total_iterations": 150_000, **fields})  # whose numbers nothing else holds
    Curve(Schedule.of({"target_lr": 0.1, "total_iterations": 9})).window(0, 2)  # what all curves share
    gc.collect()
    tracemalloc.start()
    try:
        curve = Curve(Schedule.of(text))
        for _ in range(2):
            gc.collect()
            allocated = tracemalloc.get_traced_memory()[0]
            assert allocated / 1.5 < curve.nbytes < allocated * 1.5 or allocated < 100_000, (allocated, curve.nbytes)
            curve.window(0, 80_000, 20_000) if curve.has_closed_form else curve.lr(9_000)
    finally:
        tracemalloc.stop()
