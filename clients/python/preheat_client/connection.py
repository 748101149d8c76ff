"""What all schedules of a client share: one thread, one service, one folder of snapshots."""

import time
import weakref
from collections.abc import Callable
from pathlib import Path

from preheat_client.backoff import Backoff
from preheat_client.configuration import Configuration
from preheat_client.document import Request
from preheat_client.errors import ServiceUnavailable
from preheat_client.feed import Feed, FetchedCurve
from preheat_client.service import Service
from preheat_client.snapshot import Snapshots
from preheat_client.status import Health
from preheat_client.worker import Result, Worker

_CLOSING_S = 1.0


class Connection:
    """A client's way to the service; everything that waits for anything does so on its thread."""

    def __init__(self, configuration: Configuration) -> None:
        self.configuration = configuration
        self.service = Service(configuration)
        folder = configuration.snapshot_dir
        self.snapshots = Snapshots(Path(folder), configuration.address) if folder else None
        self._feeds: weakref.WeakSet[Feed] = weakref.WeakSet()
        self.worker = Worker(on_idle=self.service.disconnect, on_fork=self._after_fork)

    def asked(self, question: Callable[[], Result]) -> Result:
        """The answer to a question that is asked now, again and again within `timeout_s` as long as that may help.

        Raises ServiceUnavailable, RequestRefused.
        """
        if self.configuration.mode != "online":
            raise ServiceUnavailable(f"the service is not asked: mode is {self.configuration.mode}")
        give_up = time.monotonic() + self.configuration.timeout_s
        backoff = Backoff()
        while True:
            try:
                return self.worker.ask(question, max(give_up - time.monotonic(), 0.0))
            except ServiceUnavailable as error:
                pause_s = backoff.failed(error)
                if time.monotonic() + pause_s >= give_up:
                    raise
                time.sleep(pause_s)

    def feed(self, request: Request, health: Health, adopt: Callable[[FetchedCurve], None]) -> Feed:
        """What fetches the schedule of a request."""
        feed = Feed(self.service, self.worker, request, self.configuration.window, self.snapshots, health, adopt)
        self._feeds.add(feed)
        return feed

    def close(self) -> None:
        """Ends the thread and all connections, requests under way included."""
        for feed in list(self._feeds):
            feed.close()
        self.worker.close()
        self.service.close()
        self.worker.join(_CLOSING_S)

    def _after_fork(self) -> None:
        self.service.forget()
        for feed in list(self._feeds):
            feed.renew()
