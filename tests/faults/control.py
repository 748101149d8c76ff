"""Controls: how long something that is known takes on this machine, now, to hold a measured time against."""

import threading
import time

BUSY_S = 5.0
"""What a busy machine may add to a time beyond its control; what is wrong takes far longer."""


def waited_s(seconds: float) -> float:
    """How long a bare wait of so many seconds takes."""
    started = time.monotonic()
    threading.Event().wait(seconds)
    return time.monotonic() - started
