"""What both worlds share: how httpx2 transports are made for an address, and how their errors read.

Calls go through httpx2's transports rather than its Client: no redirects, cookies or auth flows are wanted here, and
each address has a pool of its own, because one shared pool gets dearer with every idle connection in it.
"""

import ssl
from collections.abc import Mapping
from functools import lru_cache
from typing import NoReturn
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx2

from turnout.errors import APIConnectionError, APITimeoutError
from turnout_adapters.adapter import HTTPReply, HTTPRequest

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection to be made, within the attempt's own timeout."""
LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=20, keepalive_expiry=15.0)
"""Few idle connections: httpcore2 looks at each of them, with a system call, on every call of the pool."""

_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")

Timeouts = dict[str, float]


@lru_cache(maxsize=1)
def ssl_context() -> ssl.SSLContext:
    """The system's trust store; reading it takes milliseconds, so it is read once, when first needed."""
    return httpx2.create_ssl_context()


def proxy_for(origin: str, trust_env: bool) -> str | None:
    """The proxy that the environment names for an address (HTTPS_PROXY, NO_PROXY ...); never one for this machine."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if not trust_env or host in _THIS_MACHINE or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def origin_of(url: str) -> str:
    """Scheme, host and port."""
    end = url.find("/", url.index("//") + 2)
    return url if end < 0 else url[:end]


@lru_cache(maxsize=1024)
def _parsed(url: str) -> httpx2.URL:
    """Parsing a URL costs more than choosing a deployment, and a deployment's URL is always the same."""
    return httpx2.URL(url)


def timeouts(timeout: float, idle: float | None = None) -> Timeouts:
    """httpx2's four timeouts; `idle` replaces the pause allowed within the answer."""
    timeout = max(timeout, 0.001)
    return {
        "connect": min(timeout, CONNECT_TIMEOUT),
        "pool": timeout,
        "write": timeout,
        "read": timeout if idle is None else idle,
    }


def outgoing(request: HTTPRequest, limits: Timeouts) -> httpx2.Request:
    """The request as httpx2 wants it. The dict of timeouts is kept, not copied: it can be changed while in use."""
    return httpx2.Request(
        request.method,
        _parsed(request.url),
        headers=list(request.headers),
        content=request.body,
        extensions={"timeout": limits},
    )


def lower(headers: httpx2.Headers) -> Mapping[str, str]:
    """Header names in lower case; a plain dict. Of repeated headers the last counts."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers.raw}


def fetch(request: HTTPRequest, *, trust_env: bool) -> HTTPReply:
    """One request over a connection of its own, blocking: for credentials, which are renewed once an hour."""
    origin = origin_of(request.url)
    verify = ssl_context() if origin.startswith("https") else False
    with httpx2.HTTPTransport(verify=verify, proxy=proxy_for(origin, trust_env)) as transport:
        try:
            response = transport.handle_request(outgoing(request, timeouts(CONNECT_TIMEOUT)))
            body = response.read()
        except httpx2.HTTPError as error:
            raise_typed(error, request.url)
    return HTTPReply(response.status_code, lower(response.headers), body)


def raise_typed(error: Exception, url: str) -> NoReturn:
    """Raises our error for one of httpx2's. Its text names the address without path or query.

    The aiohttp transport calls every broken connection a timeout of connecting; what aiohttp itself raised tells them
    apart.
    """
    where, cause = origin_of(url), error.__cause__
    broken = type(cause).__module__.startswith("aiohttp") and not isinstance(cause, TimeoutError)
    if isinstance(error, httpx2.TimeoutException) and not broken:
        raise APITimeoutError(f"no answer from {where} in time ({type(error).__name__})") from None
    named = type(cause if broken else error).__name__
    raise APIConnectionError(f"connection to {where} failed ({named})") from None
