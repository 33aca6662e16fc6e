"""What all transports share: addresses, proxies, certificates, headers, and how a connection's errors read.

No client's cookies, redirects, retries or auth flows are wanted here, so calls go through connection pools, not through
clients; each address has a pool of its own, because one shared pool gets dearer with every idle connection in it.
"""

import os
import socket
import ssl
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import version
from threading import TIMEOUT_MAX
from typing import NoReturn
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpcore2

from turnout.errors import APIConnectionError, APITimeoutError, TurnoutError
from turnout_adapters.adapter import HTTPRequest
from turnout_adapters.forks import importing

CONNECT_TIMEOUT = 10.0
"""Seconds for a connection to be made, within the attempt's own timeout."""
MAX_BODY = 64 * 2**20
"""Bytes of a complete answer, packed or not, unless the Router's `max_response_bytes` says otherwise."""
KEPT_IDLE = 20
"""Idle connections that httpcore2 keeps: it looks at each of them, with a system call, on every call of the pool."""
KEPT_FOR = 15.0
"""Seconds that it keeps them."""

_OF_NETWORKS = frozenset("builtins socket ssl zlib asyncio concurrent anyio aiohttp httpcore2 h11".split())
"""Whose errors a peer can cause, one way or another; those of anybody else come from a signal handler, say."""
_THIS_MACHINE = ("localhost", "127.0.0.1", "::1")
_DEEPEST = 20
"""Errors behind an error that are looked at."""
_LONGEST_WAIT = min(TIMEOUT_MAX, 10.0**8)


class Trust:
    """Whose certificates one Router believes: the system's store, or SSL_CERT_FILE or SSL_CERT_DIR.

    Reading it takes milliseconds, so it is read once, when first needed.
    """

    def __init__(self, trust_env: bool) -> None:
        self._trust_env = trust_env
        self._context: ssl.SSLContext | None = None

    def for_origin(self, origin: str) -> ssl.SSLContext | None:
        """None for an address without TLS."""
        if not origin.startswith("https"):
            return None
        if self._context is None:
            with importing():
                import httpx2  # noqa: PLC0415 (only it knows where each system keeps its certificates)

            self._context = httpx2.create_ssl_context(trust_env=self._trust_env)
        return self._context


def proxy_for(origin: str, trust_env: bool) -> str | None:
    """The proxy that the environment names for an address (HTTPS_PROXY, NO_PROXY ...); never one for this machine."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    if not trust_env or host in _THIS_MACHINE or proxy_bypass(host):
        return None
    proxies = getproxies()
    return proxies.get(parts.scheme) or proxies.get("all")


def proxy_of(url: str, trust: Trust) -> httpcore2.Proxy:
    """The proxy at a URL, which may hold a name and a password."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    auth = None
    if parts.username is not None:
        auth = unquote(parts.username), unquote(parts.password or "")
    host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
    place = f"{parts.scheme}://{host}" + (f":{parts.port}" if parts.port else "")
    return httpcore2.Proxy(place, auth=auth, ssl_context=trust.for_origin(place))


def origin_of(url: str) -> str:
    """Scheme, host and port."""
    end = url.find("/", url.index("//") + 2)
    return url if end < 0 else url[:end]


def bounded(seconds: float) -> float:
    """Seconds that every clock and every system call can take."""
    return min(max(seconds, 0.0), _LONGEST_WAIT)


class Urls:
    """URLs as httpcore2 wants them: parsing one costs more than choosing a deployment, and a deployment's is the same
    with every call. Forgets all when it is full: URLs may hold ids of callers."""

    def __init__(self, most: int = 64) -> None:
        self._most = most
        self._known: dict[str, httpcore2.URL] = {}

    def __getitem__(self, url: str) -> httpcore2.URL:
        found = self._known.get(url)
        if found is None:
            if len(self._known) >= self._most:
                self._known.clear()
            found = self._known[url] = httpcore2.URL(url if url.isascii() else _in_ascii(url))
        return found


def _in_ascii(url: str) -> str:
    with importing():
        import httpx2  # noqa: PLC0415 (few hosts are not ASCII)

    return str(httpx2.URL(url))


@cache
def user_agent() -> str:
    """Who asks: some gateways refuse those who do not say."""
    return f"turnout/{version('turnout')}"


def head_of(request: HTTPRequest, url: httpcore2.URL) -> list[tuple[bytes, bytes]]:
    """The header block: the request's, its host and length, and who asks."""
    host = url.host if b":" not in url.host else b"[" + url.host + b"]"
    if url.port is not None:
        host += b":%d" % url.port
    found = [(b"host", host)]
    found += [(name.encode("ascii"), value.encode("latin-1")) for name, value in request.headers]
    if not any(name == "user-agent" for name, _ in request.headers):
        found.append((b"user-agent", user_agent().encode()))
    if request.body or request.method == "POST":
        found.append((b"content-length", b"%d" % len(request.body)))
    return found


def lower(headers: Iterable[tuple[bytes, bytes]]) -> Mapping[str, str]:
    """Header names in lower case; a plain dict. Of repeated headers the last counts."""
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in headers}


def raise_typed(error: Exception, url: str) -> NoReturn:
    """Raises our error for whatever went wrong between two machines. Its text names the address, no path or query."""
    theirs = type(error).__module__.partition(".")[0] in _OF_NETWORKS
    if isinstance(error, TurnoutError) or not theirs or _is_thrown_away(error):
        raise error
    where = origin_of(url)
    if isinstance(error, httpcore2.TimeoutException | TimeoutError):
        raise APITimeoutError(f"no answer from {where} in time ({type(error).__name__})") from None
    raise APIConnectionError(f"connection to {where} failed ({_reason(error)})") from error


def _is_thrown_away(error: BaseException) -> bool:
    """True if a coroutine that nobody will finish is being collected: nothing is to be tried again."""
    found: BaseException | None = error
    for _ in range(_DEEPEST):
        if found is None or isinstance(found, GeneratorExit):
            return found is not None
        found = found.__context__
    return False


def _reason(error: BaseException) -> str:
    """The kind of error, and what the system or the certificate check says of it; nothing that a peer wrote."""
    named = type(error).__name__
    found: BaseException | None = error
    for _ in range(_DEEPEST):
        if found is None:
            break
        if isinstance(found, ssl.SSLCertVerificationError) and hasattr(found, "verify_message"):  # aiohttp's has none
            return f"{named}: the certificate is not to be trusted: {found.verify_message}"
        if isinstance(found, socket.gaierror) and found.strerror:
            return f"{named}: {found.strerror}"
        if isinstance(found, ConnectionError) and found.errno:
            return f"{named}: {os.strerror(found.errno)}"
        behind = (getattr(found, name, None) for name in ("certificate_error", "os_error"))  # aiohttp's
        found = found.__cause__ or next((one for one in behind if one is not found), None) or found.__context__
    return named
