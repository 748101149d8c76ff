"""The cache keeps what was used last, within its bytes."""

import json

from preheat.cache import BoundedCache
from preheat.curve import Curve
from preheat.schedule import Schedule
from preheat.settings import Settings
from preheat.specs import parse_spec
from preheat.store.curves import Catalogue


def test_the_ones_unused_for_longest_leave() -> None:
    """Reading counts as use; the sum of sizes stays within the bound."""
    cache: BoundedCache[bytes] = BoundedCache(10, len)
    for key in "abc":
        cache.put(key, b"123")
    assert cache.get("a") == b"123"
    cache.put("d", b"1234")
    assert [key for key in "abcd" if cache.get(key)] == ["a", "c", "d"]


def test_one_larger_than_the_whole_is_not_kept() -> None:
    """And takes nothing with it that it need not."""
    cache: BoundedCache[bytes] = BoundedCache(10, len)
    cache.put("a", b"12345678901")
    assert cache.get("a") is None


def test_values_that_grew_are_measured_again() -> None:
    """At the next addition."""
    cache: BoundedCache[bytearray] = BoundedCache(10, len)
    grown = bytearray(b"1")
    cache.put("a", grown)
    grown += b"12345678"
    cache.put("b", bytearray(b"12"))
    assert (cache.get("a"), cache.get("b")) == (None, bytearray(b"12"))


def test_curves_leave_the_memory_and_are_found_again() -> None:
    """A catalogue of a hundred schedules keeps a few curves, and makes the others anew from the store."""
    catalogue = Catalogue(Settings(database_url="sqlite:///:memory:", curve_cache_bytes=500_000))
    ids = []
    for total in range(1, 101):
        spec = parse_spec(json.dumps({"target_lr": 0.1, "total_iterations": total, "warmup": {"iterations": total}}))
        curve = Curve(Schedule(spec))
        catalogue.keep(curve)
        ids.append(curve.schedule.id)
    at_hand = [schedule_id for schedule_id in ids if catalogue.curve_at_hand(schedule_id)]
    assert 1 <= len(at_hand) < 20
    assert [catalogue.curve(schedule_id).total_iterations for schedule_id in ids] == list(range(1, 101))
