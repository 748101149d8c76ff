"""Patience: a question that is asked again while the service is away, or the run is occupied, for so many seconds."""

import logging
import time
from collections.abc import Callable

from preheat_client._core.prefetch import Backoff
from preheat_client._core.worker import Result, Worker
from preheat_client.errors import RunOccupied, ServiceUnavailable

_LOG = logging.getLogger("preheat_client")
_LEAST_S, _LAST_TRY_S, _OCCUPIED_S = 0.1, 1.0, 1.0


def patiently(
    worker: Worker, question: Callable[[], Result], patience_s: float, name: str, is_closed: Callable[[], bool]
) -> Result:
    """The answer to a question that is asked on the client's thread, again and again as long as that may help.

    Who is occupied for longer is asked once more at the end. Raises what the last try raised.
    """
    give_up = time.monotonic() + patience_s
    backoff, has_said, least_s = Backoff(), False, _LEAST_S
    while True:
        try:
            return worker.ask(question, max(give_up - time.monotonic(), least_s))
        except (ServiceUnavailable, RunOccupied) as error:
            is_occupied = isinstance(error, RunOccupied)
            pause_s = error.retry_after_s or _OCCUPIED_S if is_occupied else backoff.failed(error)
            left_s = give_up - time.monotonic()
            if is_occupied and left_s > 0:  # it may be told to ask again later than its patience lasts
                pause_s, least_s = min(pause_s, left_s), _LAST_TRY_S
            elif pause_s >= left_s:
                raise
            if is_closed():
                raise
            if not has_said:
                _LOG.warning("%s: waiting up to %.0f s: %s", name, left_s, error)
                has_said = True
        time.sleep(pause_s)
