"""Key ring of a process: the keys of the database in memory, read again at each change that is announced."""

import threading
import time
from collections.abc import Callable
from contextlib import suppress

from preheat.errors import StoreUnavailable
from preheat.keys import Key, Ring
from preheat.service_thread import ServiceThread
from preheat.store import KeyStore

_RETRY_S = 1.0
_STALE_AFTER_S = 10.0
_NOTED_EVERY_S = 60.0
_CLOSING_S = 1.0


class KeyRing:
    """The keys that this process knows, as a `Ring` that a thread of its own replaces.

    It reads them when it is told of a change, and every `poll_s` anyway: so it knows whether the database answers, and
    an app that nobody tells of changes learns of them. `ring` is None until they were read for the first time, unless
    the operator gave a key of its `own`; once it asks for a key, it does so until the process ends. `error` is why the
    keys could not be read last.
    """

    def __init__(
        self,
        store: KeyStore,
        own: Key | None = None,
        clock: Callable[[], float] = time.monotonic,
        poll_s: float = 5.0,
    ) -> None:
        self._store = store
        self._own = () if own is None else (own,)
        self._clock, self._poll_s = clock, poll_s
        self.ring: Ring | None = None if own is None else Ring(self._own)
        self.error: StoreUnavailable | None = None
        self._read_at: float | None = None
        self._used_at: dict[str, float] = {}
        self._noted_at: dict[str, float] = {}
        self._beginning, self._reading = threading.Lock(), threading.Lock()
        self._wake = threading.Event()
        self._thread = ServiceThread("keys", self._poll, _RETRY_S)

    @property
    def is_current(self) -> bool:
        """Whether the database answered in the last ten seconds, so that a key that is not here is nowhere."""
        return self._read_at is not None and self._clock() - self._read_at < _STALE_AFTER_S

    @property
    def is_running(self) -> bool:
        """Whether there are keys to go by, and a thread that looks for changes."""
        return self.ring is not None and self._thread.is_running

    def begin(self) -> None:
        """Reads the keys, if they never were, and starts the thread.

        Where the database is away `ring` stays None, and the next call tries again.
        """
        # Requests that come meanwhile are refused: they must not all wait for a database that is away.
        if not self._beginning.acquire(blocking=False):
            return
        try:
            # Before the thread, which would have this wait for its attempt too, where the database is away.
            if self.ring is None:
                with suppress(Exception):  # the thread meets it as well, and logs it
                    self._try(self.read)
            self._thread.start()
        finally:
            self._beginning.release()

    def reload(self, _name: str | None = None) -> None:
        """Has the thread read at once, since a change was announced; returns without waiting."""
        self._wake.set()

    def read(self) -> None:
        """Reads the keys. Raises StoreUnavailable."""
        with self._reading:  # one at a time: an older answer must not replace a newer one
            found = self._store.all()
            # A backup without keys that is restored must not open a service that asked for one until then.
            self.ring = Ring((*self._own, *found), asked=self.ring is not None and self.ring.asks)
            self._read_at = self._clock()

    def note(self, key: Key, now: float) -> None:
        """Remembers that a key of the database was used, for the thread to write down."""
        if key not in self._own:
            self._used_at[key.prefix] = now

    def close(self) -> None:
        """Ends the thread."""
        self._thread.stopping.set()
        self._wake.set()
        self._thread.stop(_CLOSING_S)  # it may be waiting for the database, which is no reason to stay

    def _poll(self, stopping: threading.Event) -> None:
        while not stopping.is_set():
            is_read = self._try(self.read)
            self._try(self._write_used)
            self._wake.wait(self._poll_s if is_read else _RETRY_S)
            self._wake.clear()

    def _write_used(self) -> None:
        """Writes when keys were used last, of each key once a minute."""
        used = {
            prefix: when
            for prefix, when in list(self._used_at.items())  # at once: requests go on adding to it
            if when - self._noted_at.get(prefix, -_NOTED_EVERY_S) >= _NOTED_EVERY_S
        }
        # Before it is tried: a database that cannot be written is asked again after a minute, not at every look.
        self._noted_at |= used
        if used:
            self._store.note_used(used)

    def _try(self, attempt: Callable[[], None]) -> bool:
        """Whether the database was there for it."""
        try:
            attempt()
        except StoreUnavailable as error:
            self.error = error  # for requests that need the database, which say it loud enough
            return False
        return True
