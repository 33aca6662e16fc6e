"""Connection pools of one event loop for one address: what they have in common, and the default, httpcore2's."""

from collections.abc import AsyncGenerator, Mapping
from typing import Any, Protocol

import anyio
import httpcore2

from turnout.io.transport import (
    CONNECT_TIMEOUT,
    KEPT_FOR,
    KEPT_IDLE,
    Trust,
    Urls,
    head_of,
    lower,
    proxy_of,
)
from turnout_adapters.adapter import HTTPRequest
from turnout_adapters.forks import importing


class Exchange:
    """What came of one request's connection: whether it had served another before, and whether anything came back."""

    __slots__ = ("heard", "reused")

    def __init__(self) -> None:
        self.reused = self.heard = False


class Answering(Protocol):
    """An answer whose head is here."""

    status: int
    headers: Mapping[str, str]

    async def read(self) -> bytes:
        """The next bytes as they came, b"" at the end."""
        ...

    async def close(self) -> None:
        """Releases the connection; closes it if the body was not read to its end."""
        ...


class LoopPool(Protocol):
    """The connections to one address."""

    broken: tuple[type[Exception], ...]
    """What is raised where a connection turns out to be dead."""

    async def send(self, request: HTTPRequest, exchange: Exchange) -> Answering:
        """Sends, and waits for the head of the answer; a connection is made in ten seconds, or not at all."""
        ...

    async def close(self) -> None:
        """Closes all connections."""
        ...

    def let_go(self) -> None:
        """Forgets all connections without a word: their event loop is gone, or is another process's."""
        ...


class _Connections(httpcore2.AsyncNetworkBackend):
    """anyio's, which notes what becomes of a request's connection: the timeouts it is given are an Exchange."""

    def __init__(self) -> None:
        self._made: Any = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self, host: str, port: int, timeout: Any = None, local_address: str | None = None, socket_options: Any = None
    ) -> httpcore2.AsyncNetworkStream:
        made = await self._made.connect_tcp(host, port, timeout, local_address, socket_options)
        return _Connection(made)


class _Connection(httpcore2.AsyncNetworkStream):
    def __init__(self, made: httpcore2.AsyncNetworkStream) -> None:
        self._made = made
        self._last: Exchange | None = None

    async def read(self, max_bytes: int, timeout: Any = None) -> bytes:
        data = await self._made.read(max_bytes)
        if data and isinstance(timeout, Exchange):
            timeout.heard = True
        return data

    async def write(self, buffer: bytes, timeout: Any = None) -> None:
        if isinstance(timeout, Exchange) and timeout is not self._last:
            timeout.heard, timeout.reused = False, self._last is not None
            self._last = timeout
        await self._made.write(buffer)

    async def aclose(self) -> None:
        await self._made.aclose()

    async def start_tls(
        self, ssl_context: Any, server_hostname: str | None = None, timeout: Any = None
    ) -> "_Connection":
        return _Connection(await self._made.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:
        return self._made.get_extra_info(info)


class _HttpcoreAnswer:
    __slots__ = ("_parts", "_response", "headers", "status")

    def __init__(self, response: httpcore2.Response) -> None:
        self.status = response.status
        self.headers = lower(response.headers)
        self._response = response
        self._parts: AsyncGenerator[bytes] = response.aiter_stream()

    async def read(self) -> bytes:
        return await anext(self._parts, b"")

    async def close(self) -> None:
        try:
            await self._parts.aclose()  # else the event loop would, when it ends, in the middle of this
        finally:
            await self._response.aclose()


class HttpcorePool:
    """The default, and what goes through proxies."""

    broken: tuple[type[Exception], ...] = (httpcore2.NetworkError, httpcore2.RemoteProtocolError)

    def __init__(self, origin: str, trust: Trust, proxy: str | None) -> None:
        with importing():
            anyio.get_cancelled_exc_class()  # loads what anyio needs for this kind of event loop
        self._urls = Urls()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=trust.for_origin(origin),
            proxy=None if proxy is None else proxy_of(proxy, trust),
            max_connections=None,
            max_keepalive_connections=KEPT_IDLE,
            keepalive_expiry=KEPT_FOR,
            network_backend=_Connections(),
        )

    async def send(self, request: HTTPRequest, exchange: Exchange) -> Answering:
        """Sends, and waits for the head."""
        url = self._urls[request.url]
        timeouts: dict[str, Any] = {"connect": CONNECT_TIMEOUT, "read": exchange, "write": exchange}
        outgoing = httpcore2.Request(
            request.method, url, headers=head_of(request, url), content=request.body, extensions={"timeout": timeouts}
        )
        return _HttpcoreAnswer(await self._pool.handle_async_request(outgoing))

    async def close(self) -> None:
        """Closes all connections."""
        await self._pool.aclose()

    def let_go(self) -> None:
        """Nothing is to be said: sockets close with their objects."""
