"""Connection pools of one event loop for one address: httpcore2's, and, with the extra `fast`, aiohttp's."""

import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import suppress
from contextvars import ContextVar
from functools import cache, partial
from io import BytesIO
from typing import Any, Protocol, cast

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
    user_agent,
)
from turnout_adapters.adapter import HTTPRequest

_AIOHTTP_KEEPS = 30.0
_LONGEST_LINE = 2**17
_MOST_HEADERS = 1024
_LARGE = 2**20
"""Bytes from which aiohttp wants a body as a file, and complains of bytes."""
_NOTHING_OF_ITS_OWN = ("Accept", "Accept-Encoding", "Content-Type")


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


# --- httpcore2


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
        self._parts: AsyncIterator[bytes] = response.aiter_stream()

    async def read(self) -> bytes:
        return await anext(self._parts, b"")

    async def close(self) -> None:
        await self._response.aclose()


class HttpcorePool:
    """The default, and what goes through proxies."""

    broken: tuple[type[Exception], ...] = (httpcore2.NetworkError, httpcore2.RemoteProtocolError)

    def __init__(self, origin: str, trust: Trust, proxy: str | None) -> None:
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


# --- aiohttp


_CONNECTING: ContextVar[Exchange | None] = ContextVar("turnout_connecting", default=None)


class _AiohttpAnswer:
    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: Any) -> None:
        self.status: int = response.status
        self.headers = lower(response.raw_headers)
        self._response = response

    async def read(self) -> bytes:
        return await self._response.content.readany()

    async def close(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


@cache
def _connector() -> Any:
    """aiohttp's connector, which notes what becomes of a connection, and whose bodies end with it."""
    from aiohttp import ClientPayloadError, TCPConnector  # noqa: PLC0415 (an extra, and it takes long to import)
    from aiohttp.client_proto import ResponseHandler  # noqa: PLC0415

    class Line(ResponseHandler):
        used = False
        exchange: Exchange | None = None

        def data_received(self, data: bytes) -> None:
            if self.exchange is not None:
                self.exchange.heard, self.exchange = True, None
            super().data_received(data)

        def connection_lost(self, exc: BaseException | None) -> None:
            """aiohttp (3.14) hangs up on a body that is no HTTP, and leaves its reader waiting."""
            body = self._payload
            super().connection_lost(exc)
            if body is not None and not body.is_eof() and body.exception() is None:
                body.set_exception(ClientPayloadError("the answer is no HTTP"))

    class Connector(TCPConnector):
        def __init__(self, context: ssl.SSLContext | None) -> None:
            super().__init__(limit=0, ssl=context or True, keepalive_timeout=_AIOHTTP_KEEPS)  # pyright: ignore[reportUnknownMemberType]
            self._factory = partial(Line, loop=self._loop)

        async def connect(self, *args: Any, **options: Any) -> Any:
            connection = await super().connect(*args, **options)
            protocol, exchange = cast("Line", connection.protocol), _CONNECTING.get()
            if exchange is not None:
                exchange.reused, protocol.used, protocol.exchange = protocol.used, True, exchange
            return connection

        def __del__(self, *_: Any) -> None:
            """Sockets close with their objects. aiohttp's own would touch an event loop that is gone, or is another
            process's, and take its sockets out of that process's sight."""

    return Connector


class AiohttpPool:
    """Less than half the CPU of the default."""

    def __init__(self, origin: str, trust: Trust) -> None:
        import aiohttp  # noqa: PLC0415 (an extra, and it takes long to import)
        from yarl import URL  # noqa: PLC0415

        self._session = aiohttp.ClientSession(
            connector=_connector()(trust.for_origin(origin)),
            headers={"User-Agent": user_agent()},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NOTHING_OF_ITS_OWN,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
        )
        self._url = URL
        self.broken: tuple[type[Exception], ...] = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

    async def send(self, request: HTTPRequest, exchange: Exchange) -> Answering:
        """Sends, and waits for the head."""
        body = request.body
        _CONNECTING.set(exchange)
        try:
            return _AiohttpAnswer(
                await self._session.request(
                    request.method,
                    self._url(request.url, encoded=request.url.isascii()),
                    headers=request.headers,
                    data=(body if len(body) < _LARGE else BytesIO(body)) if body else None,
                    allow_redirects=False,
                )
            )
        finally:
            _CONNECTING.set(None)

    async def close(self) -> None:
        """Closes all connections."""
        await self._session.close()

    def let_go(self) -> None:
        """aiohttp would complain of a session that was not closed; this one cannot be any more."""
        with suppress(Exception):
            self._session.detach()
