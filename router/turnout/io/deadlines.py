"""Sockets for threads that keep a deadline whatever the peer does.

httpcore2 gives every read of a socket the same timeout, so a peer that sends a byte now and then is waited for without
end. Here the timeout that a request carries is a `Patience`, which knows how much of it is left.
"""

import socket
import time
from collections.abc import Iterable
from contextlib import suppress
from math import inf
from typing import Any

import httpcore2

from turnout.io.transport import bounded

_AT_ONCE = 2**16
"""Bytes written before the time is looked at again."""


class Patience:
    """How long one request may wait: until then altogether, and for `pause` seconds between two signs of life.

    It also knows its connection: whether that had served a request before, and whether a byte has come back since.
    """

    __slots__ = ("heard", "pause", "reused", "socket", "until")

    def __init__(self, until: float, pause: float = inf) -> None:
        self.until = until
        self.pause = pause
        self.socket: _Socket | None = None
        self.reused = False
        self.heard = False

    def left(self) -> float:
        """Seconds that the next step may take. Raises httpcore2.ReadTimeout if there are none."""
        left = min(self.pause, self.until - time.monotonic())
        if left <= 0:
            raise httpcore2.ReadTimeout
        return bounded(left)


class Sockets(httpcore2.NetworkBackend):
    """Makes connections, in this process only: what a forked child inherits of them it neither reads nor writes."""

    def __init__(self) -> None:
        self._sockets = httpcore2.SyncBackend()
        self.inherited = False

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: Any = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """Tries the host's addresses one by one, each with its share of the time that is left."""
        try:
            found = [info[4][0] for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except OSError as error:
            raise httpcore2.ConnectError(str(error)) from error
        problem: Exception = httpcore2.ConnectError("the host has no address")
        for number, address in enumerate(found):
            left = _seconds(timeout)
            share = None if left is None else left / (len(found) - number)
            try:
                made = self._sockets.connect_tcp(str(address), port, share, local_address, socket_options or ())
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                problem = error
            else:
                return _Socket(made, self)
        raise problem

    def sleep(self, seconds: float) -> None:
        """For a connection that is tried again."""
        time.sleep(seconds)


class _Socket(httpcore2.NetworkStream):
    """One connection."""

    def __init__(self, made: httpcore2.NetworkStream, owner: Sockets) -> None:
        self._made = made
        self._owner = owner
        self._requests: Patience | None = None

    def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        if self._owner.inherited:
            raise httpcore2.ReadError("this connection is that of the parent process")
        data = self._made.read(max_bytes, _seconds(timeout))
        if data and isinstance(timeout, Patience):
            timeout.heard = True
        return data

    def write(self, buffer: bytes, timeout: Any = None) -> None:
        if self._owner.inherited:
            raise httpcore2.WriteError("this connection is that of the parent process")
        if isinstance(timeout, Patience) and timeout.socket is not self:
            timeout.socket, timeout.heard, timeout.reused = self, False, self._requests is not None
            self._requests = timeout
        for start in range(0, len(buffer), _AT_ONCE):
            self._made.write(buffer[start : start + _AT_ONCE], _seconds(timeout))

    def close(self) -> None:
        self._made.close()

    def hang_up(self) -> None:
        """Ends the conversation, so that the peer stops its work; takes no lock. `close` is still to come."""
        made: Any = self._made.get_extra_info("socket")
        if made is not None and not self._owner.inherited:
            with suppress(OSError, ValueError):
                made.shutdown(socket.SHUT_RDWR)

    def start_tls(self, ssl_context: Any, server_hostname: str | None = None, timeout: Any = None) -> "_Socket":
        made = self._made.start_tls(ssl_context, server_hostname, _seconds(timeout))
        return _Socket(made, self._owner)

    def get_extra_info(self, info: str) -> Any:
        return self._made.get_extra_info(info)


def _seconds(timeout: Any) -> float | None:
    return timeout.left() if isinstance(timeout, Patience) else timeout
