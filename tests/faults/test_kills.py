"""Ten kills of replicas and databases lose nothing that was acknowledged; `make soak` has 200."""

import pytest

from faults.kills import WITHOUT_WORKERS, Kind, run


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_kills_lose_nothing_acknowledged(kind: Kind) -> None:
    """Five on each kind of database, of services and of PostgreSQL itself, while four clients write.

    Without worker processes, with which a service takes twice as long to start; `make soak` has them.
    """
    assert run(kind, kills=5, seed=11, **WITHOUT_WORKERS).startswith(f"{kind}: 5 kills (")
