"""Connection pools of aiohttp (extra `fast`): less than half the CPU of the default. Imported at their first use."""

import ssl
from contextlib import suppress
from contextvars import ContextVar
from functools import partial
from io import BytesIO
from typing import Any, cast

import aiohttp
from aiohttp.client_proto import ResponseHandler
from yarl import URL

from turnout.io.loop_pools import Answering, Exchange
from turnout.io.transport import CONNECT_TIMEOUT, Trust, lower, user_agent
from turnout_adapters.adapter import HTTPRequest

_KEPT_FOR = 30.0
"""Seconds for which an idle connection is kept."""
_LONGEST_LINE = 2**17
_MOST_HEADERS = 1024
_LARGE = 2**20
"""Bytes from which aiohttp wants a body as a file, and complains of bytes."""
_NOTHING_OF_ITS_OWN = ("Accept", "Accept-Encoding", "Content-Type")

_CONNECTING: ContextVar[Exchange | None] = ContextVar("turnout_connecting", default=None)


class _Line(ResponseHandler):
    """A connection, which notes what becomes of it, and whose body ends with it."""

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
            body.set_exception(aiohttp.ClientPayloadError("the answer is no HTTP"))


class _Connector(aiohttp.TCPConnector):
    """Makes such connections, and leaves event loops alone that are gone."""

    def __init__(self, context: ssl.SSLContext | None) -> None:
        super().__init__(limit=0, ssl=context or True, keepalive_timeout=_KEPT_FOR)  # pyright: ignore[reportUnknownMemberType]
        self._factory = partial(_Line, loop=self._loop)

    @property
    def closed(self) -> bool:
        """Also when its event loop is: nothing can be closed there any more, and nobody is to complain of it."""
        return super().closed or self._loop.is_closed()

    async def connect(self, *args: Any, **options: Any) -> Any:
        connection = await super().connect(*args, **options)
        line, exchange = cast("_Line", connection.protocol), _CONNECTING.get()
        if exchange is not None:
            exchange.reused, line.used, line.exchange = line.used, True, exchange
        return connection

    def __del__(self, *_: Any) -> None:
        """Sockets close with their objects. aiohttp's own would touch an event loop that is gone, or is another
        process's, and take its sockets out of that process's sight."""


class _Response(aiohttp.ClientResponse):
    def __del__(self, *_: Any) -> None:
        """aiohttp's own would call into an event loop that may be gone; whoever drops a body has left word."""


class _Answer:
    __slots__ = ("_response", "headers", "status")

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers = lower(response.raw_headers)
        self._response = response

    async def read(self) -> bytes:
        return await self._response.content.readany()

    async def close(self) -> None:
        if self._response.content.at_eof():
            self._response.release()
        else:
            self._response.close()


class AiohttpPool:
    """Less than half the CPU of the default."""

    def __init__(self, origin: str, trust: Trust) -> None:
        self._session = aiohttp.ClientSession(
            connector=_Connector(trust.for_origin(origin)),
            response_class=_Response,
            headers={"User-Agent": user_agent()},
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=_NOTHING_OF_ITS_OWN,
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT),
            max_line_size=_LONGEST_LINE,
            max_field_size=_LONGEST_LINE,
            max_headers=_MOST_HEADERS,
        )
        self.broken: tuple[type[Exception], ...] = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)

    async def send(self, request: HTTPRequest, exchange: Exchange) -> Answering:
        """Sends, and waits for the head."""
        body = request.body
        _CONNECTING.set(exchange)
        try:
            return _Answer(
                await self._session.request(
                    request.method,
                    URL(request.url, encoded=request.url.isascii()),
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
