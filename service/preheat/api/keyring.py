"""Key ring of a process: the keys of the database, held in memory and looked at again every two seconds."""

import logging
import threading
import time
from collections.abc import Callable

from preheat.errors import StoreUnavailable
from preheat.keys import Key, Ring
from preheat.store import KeyStore

_LOG = logging.getLogger("preheat")
_POLL_S = 2.0
_STALE_AFTER_S = 10.0
_NOTED_EVERY_S = 60.0
_CLOSING_S = 1.0


class KeyRing:
    """The keys that this process knows, as a `Ring` that a thread of its own replaces when keys have changed.

    `ring` is None until they were read for the first time, unless the operator gave a key of its `own`; `error` is why
    they could not be read last.
    """

    def __init__(self, store: KeyStore, own: Key | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self._store = store
        self._own = () if own is None else (own,)
        self._clock = clock
        self.ring: Ring | None = None if own is None else Ring(self._own)
        self.error: StoreUnavailable | None = None
        self._revision: int | None = None
        self._read_at: float | None = None
        self._used_at: dict[str, float] = {}
        self._noted_at: dict[str, float] = {}
        self._beginning, self._reading = threading.Lock(), threading.Lock()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None

    @property
    def is_current(self) -> bool:
        """Whether the database was asked in the last ten seconds, so that a key that is not here is nowhere."""
        return self._read_at is not None and self._clock() - self._read_at < _STALE_AFTER_S

    @property
    def is_running(self) -> bool:
        """Whether there are keys to go by, and a thread that looks for changes."""
        return self.ring is not None and self._thread is not None

    def begin(self) -> None:
        """Reads the keys, if they never were, and starts the thread.

        Where the database is away `ring` stays None, and the next call tries again.
        """
        # Requests that come meanwhile are refused: they must not all wait for a database that is away.
        if not self._beginning.acquire(blocking=False):
            return
        try:
            if self.ring is None:
                self._try(self.read)
            if self._thread is None:
                self._closing = threading.Event()
                self._thread = threading.Thread(
                    target=self._poll, args=(self._closing,), name="preheat-keys", daemon=True
                )
                self._thread.start()
        finally:
            self._beginning.release()

    def reload(self) -> None:
        """Has the thread look at once, since a change was announced; returns without waiting."""
        self._wake.set()

    def read(self) -> None:
        """Reads the keys if they have changed. Raises StoreUnavailable."""
        with self._reading:
            if self._revision is None or self._store.revision() != self._revision:
                self._revision, keys = self._store.read()
                self.ring = Ring((*self._own, *keys))
            self._read_at = self._clock()

    def note(self, key: Key, now: float) -> None:
        """Remembers that a key of the database was used, for the thread to write down."""
        if key not in self._own:
            self._used_at[key.prefix] = now

    def close(self) -> None:
        """Ends the thread."""
        self._closing.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(_CLOSING_S)  # it may be waiting for the database, which is no reason to stay
            self._thread = None

    def _poll(self, closing: threading.Event) -> None:
        while not closing.is_set():
            self._try(self.read)
            self._try(self._write_used)
            self._wake.wait(_POLL_S)
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

    def _try(self, attempt: Callable[[], None]) -> None:
        try:
            attempt()
        except StoreUnavailable as error:
            self.error = error  # for requests that need the database, which say it loud enough
        except Exception:  # noqa: BLE001 - a bug of ours must not end the thread, or revoked keys would go on working
            _LOG.exception("the keys could not be read")
