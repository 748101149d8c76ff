"""A dozen live runs under everything that goes wrong keep every promise; `make soak` has 200."""

from faults.runs import assert_counts, batch


def test_runs_keep_every_promise() -> None:
    """Ranks, services and database are killed and stopped, networks lose answers, and three authors change the runs."""
    assert_counts(batch(seed=11), batches=1)
