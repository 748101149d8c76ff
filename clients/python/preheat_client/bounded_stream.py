"""Connections that keep a deadline of the whole request, however slowly the bytes trickle in."""

import contextlib
import socket
import ssl
import time
from collections.abc import Iterable
from typing import Any

import httpcore
import httpx


class Deadline:
    """The moment by which the request under way must be over, and the connections that it may be waiting on."""

    def __init__(self) -> None:
        self.at = 0.0
        self._streams: frozenset[httpcore.NetworkStream] = frozenset()

    def left(self, timeout_s: float | None, error: type[Exception]) -> float:
        """Seconds that one wait may take. Raises `error` if there are none."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise error("the request took too long")
        return left if timeout_s is None else min(timeout_s, left)

    def watch(self, stream: httpcore.NetworkStream) -> httpcore.NetworkStream:
        """The stream, bounded."""
        bounded = _BoundedStream(stream, self)
        self._streams |= {bounded}
        return bounded

    def forget(self, stream: httpcore.NetworkStream) -> None:
        """The stream is closed, or has become the inside of another one."""
        self._streams -= {stream}

    def cut(self) -> None:
        """Wakes whatever waits on a connection, from another thread: it fails at once."""
        self.at = 0.0
        for stream in self._streams:
            connection = stream.get_extra_info("socket")
            if isinstance(connection, socket.socket):
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class BoundedTransport(httpx.HTTPTransport):
    """httpx's own transport on connections that keep a deadline."""

    def __init__(self, deadline: Deadline, **options: Any) -> None:
        super().__init__(**options)
        # NOTE: httpx has no public way to httpcore's network_backend; a test with trickling headers fails if this does
        self._pool._network_backend = _BoundedBackend(self._pool._network_backend, deadline)  # noqa: SLF001


class _BoundedBackend(httpcore.NetworkBackend):
    def __init__(self, backend: httpcore.NetworkBackend, deadline: Deadline) -> None:
        self._backend, self._deadline = backend, deadline

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return self._deadline.watch(self._backend.connect_tcp(host, port, timeout, local_address, socket_options))

    def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[Any] | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.left(timeout, httpcore.ConnectTimeout)
        return self._deadline.watch(self._backend.connect_unix_socket(path, timeout, socket_options))

    def sleep(self, seconds: float) -> None:
        self._backend.sleep(seconds)


class _BoundedStream(httpcore.NetworkStream):
    def __init__(self, stream: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._stream, self._deadline = stream, deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._deadline.left(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._deadline.left(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._deadline.forget(self)
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.left(timeout, httpcore.ConnectTimeout)
        self._deadline.forget(self)
        return self._deadline.watch(self._stream.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)
