"""Strikes credentials out of what is told: providers repeat keys, in error texts, ids and bodies, spelled in many ways.

Nothing here runs on the path of a call that is answered well.
"""

import base64
import html
import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, cast
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

from turnout_adapters.errors import TurnoutError
from turnout_adapters.types import Response, StreamEvent
from turnout_adapters.types.base import Open
from turnout_adapters.types.events import ErrorEvent

SHORTEST = 8
"""Characters; striking out anything shorter would strike out ordinary words."""
STRUCK = "***"

_DEEPEST = 150
"""Levels of JSON that are looked at; what lies deeper is left out."""
_LOWER = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ", "abcdefghijklmnopqrstuvwxyz")
_PLAIN_HEADERS = re.compile(
    r"accept(-.*)?|content-(type|length|encoding)|user-agent|host|.*-version|.*-beta|(http-)?referer|origin|x-title"
    r"|.*-organization|.*-project|x-amz-(date|content-sha256)|trace(parent|state)",
    re.IGNORECASE,
)
"""Names of headers that hold no credential."""
_PLAIN_QUERY = re.compile(r"(api-)?version|alt|region|location|deployment|model", re.IGNORECASE)
_SECRET_NAMES = re.compile(r"key|token|secret|passw|pwd|auth|credential|signature|cookie|bearer", re.IGNORECASE)
_SECRET_FIELDS = re.compile(r"(key|token|secret|password|authorization|credentials?)$", re.IGNORECASE)
_SECRET_VALUES = re.compile(
    r"(bearer|basic|token|apikey|api-key|key|digest|negotiate|aws4-hmac-sha256)\s|(sk|pk|rk|gsk|xai|hf|ghp|glpat|xox.)[-_]"
    r"|AKIA|ASIA|AIza|ya29\.|eyJ",
    re.IGNORECASE,
)
"""How values begin that are credentials under whatever name."""
_SCHEME = re.compile(r"([A-Za-z][\w-]*)\s+(\S.*)", re.DOTALL)
_NAMED = re.compile(r"(\w+)=\"?([^\s\",;]+)")
_PLAIN_NAMED = frozenset({"algorithm", "qop", "realm", "signedheaders", "uri"})


def in_headers(headers: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The credentials among a deployment's own headers: all values but those of names that hold none."""
    for name, value in headers:
        if not _PLAIN_HEADERS.fullmatch(name):
            yield from _parts(value)


def in_foreign_headers(headers: Iterable[tuple[str, str]]) -> Iterator[str]:
    """The credentials among a caller's headers: those whose name or value looks like one."""
    for name, value in headers:
        if _SECRET_NAMES.search(name) or _SECRET_VALUES.match(value):
            yield from _parts(value)


def in_url(url: str) -> Iterator[str]:
    """User name, password and the values of the query."""
    try:
        parts = urlsplit(url)
        yield from (unquote(one) for one in (parts.username, parts.password) if one)
    except ValueError:
        return
    yield from in_query(parts.query)


def in_query(query: str) -> Iterator[str]:
    """The values of a query, as they are written and as they are read."""
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if not _PLAIN_QUERY.fullmatch(name):
            yield value
            yield from (read for _, read in parse_qsl(pair))


def in_fields(value: object, depth: int = 0) -> Iterator[str]:
    """The credentials in JSON: texts under names such as `authorization`, at any depth."""
    if depth > _DEEPEST:
        return
    if isinstance(value, Mapping):
        for name, inner in cast("Mapping[Any, object]", value).items():
            if isinstance(inner, str):
                yield from _parts(inner) if _SECRET_FIELDS.search(str(name)) else ()
            else:
                yield from in_fields(inner, depth + 1)
    elif isinstance(value, list | tuple):
        for inner in cast("Sequence[object]", value):
            yield from in_fields(inner, depth + 1)


def _parts(value: str) -> Iterator[str]:
    """What is secret in the value of a header: a token without its scheme, both halves of a Basic one, a signature."""
    value = value.strip()
    if value.lower().startswith(("http://", "https://")):
        yield from in_url(value)
        return
    scheme = _SCHEME.fullmatch(value)
    if scheme is None:
        yield value
        yield from (inner for _, inner in _NAMED.findall(value))
        return
    yield scheme[2]
    if scheme[1].lower() == "basic":
        yield from _plain(scheme[2])
    for name, inner in _NAMED.findall(scheme[2]):
        if name.lower() not in _PLAIN_NAMED:
            yield inner.partition("/")[0] if name == "Credential" else inner


def _plain(encoded: str) -> Iterator[str]:
    try:
        yield from base64.b64decode(encoded).decode().split(":", 1)
    except ValueError:
        return


def _spellings(secret: str) -> Iterator[str]:
    """As it is, and as URLs, JSON, Python, HTML and Basic authentication write it."""
    yield secret
    yield from (quote(secret, safe=""), quote(secret), quote_plus(secret))
    written = json.dumps(secret)[1:-1]
    yield from (written, written.replace("/", "\\/"), json.dumps(written)[1:-1])
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield from (repr(secret)[1:-1], html.escape(secret), html.escape(secret, quote=False))
    data = secret.encode(errors="replace")
    for before in range(3):
        yield from _encoded(data, before)


def _encoded(data: bytes, before: int) -> Iterator[str]:
    """Base64 of the data where so many bytes (modulo 3) come before it: the characters that depend on it alone."""
    first, last = -(-8 * before // 6), 8 * (before + len(data)) // 6
    text = base64.b64encode(b"\0" * before + data).decode()[first:last]
    yield from (text, quote(text, safe=""), text.replace("+", "-").replace("/", "_"))


def _common(text: str, at: int, whole: str) -> int:
    """How many characters of `whole` stand there."""
    if text.startswith(whole, at):
        return len(whole)
    pairs = zip(text[at : at + len(whole)], whole, strict=False)
    return next((index for index, (one, other) in enumerate(pairs) if one != other), len(text) - at)


class Secrets:
    """Credentials, in every spelling in which an answer may repeat them.

    Upper and lower case are the same. A spelling whose end was cut off is found by its first eight characters.
    """

    __slots__ = ("_by_head",)

    def __init__(self, secrets: Iterable[str]) -> None:
        known = {one for one in secrets if len(one) >= SHORTEST}
        spelled = {one.translate(_LOWER) for secret in known for one in _spellings(secret)}
        self._by_head: dict[str, list[str]] = {}
        for one in spelled:
            if len(one) >= SHORTEST:
                self._by_head.setdefault(one[:SHORTEST], []).append(one)

    def strike(self, text: str) -> str:
        """The text with three asterisks for every credential."""
        spans = sorted(self._found(text))
        if not spans:
            return text
        parts, at = list[str](), 0
        for start, end in spans:
            if start >= at:
                parts += (text[at:start], STRUCK)
            at = max(at, end)
        return "".join((*parts, text[at:]))

    def _found(self, text: str) -> Iterator[tuple[int, int]]:
        # some other letters are two in lower case, or depend on what is beside them
        lowered = text.lower() if text.isascii() else text.translate(_LOWER)
        for head, wholes in self._by_head.items():
            at = lowered.find(head)
            while at >= 0:
                longest = max(_common(lowered, at, one) for one in wholes)
                yield at, at + longest
                at = lowered.find(head, at + longest)

    def strike_json(self, value: Any, depth: int = 0) -> Any:
        """JSON with its texts and names struck; objects with attributes are changed in place."""
        if isinstance(value, str):
            return self.strike(value)
        if depth > _DEEPEST:
            return None
        if isinstance(value, Open):
            for name, inner in (*value.__dict__.items(), *(value.model_extra or {}).items()):
                setattr(value, name, self.strike_json(inner, depth + 1))
            return value
        if isinstance(value, Mapping):
            found = cast("Mapping[Any, Any]", value)
            return {self.strike_json(name, depth): self.strike_json(one, depth + 1) for name, one in found.items()}
        if isinstance(value, list | tuple):
            return [self.strike_json(inner, depth + 1) for inner in cast("Sequence[Any]", value)]
        return value

    def strike_error(self, error: BaseException) -> None:
        """Strikes all that an error tells, and all it tells of its causes.

        A cause that is not ours is let go if its text holds a credential: it cannot be changed.
        """
        seen, left = set[int](), [error]
        while left:
            one = left.pop()
            if id(one) in seen:
                continue
            seen.add(id(one))
            if isinstance(one, TurnoutError):
                self._strike_one(one)
            if one.__cause__ is not None and not self._is_clean(one.__cause__):
                one.__cause__ = None
            if one.__context__ is not None and not self._is_clean(one.__context__):
                one.__context__ = None
            left += [other for other in (one.__cause__, one.__context__) if other is not None]

    def _strike_one(self, error: TurnoutError) -> None:
        error.message = self.strike(error.message)
        error.args = tuple(self.strike_json(one) for one in error.args)
        for name in ("code", "param", "request_id"):
            told: object = getattr(error, name)
            setattr(error, name, None if told is None else self.strike(str(told)))
        error.body = self.strike_json(error.body)
        error.headers = {name: self.strike(value) for name, value in error.headers.items()}
        if hasattr(error, "__notes__"):
            error.__notes__ = [self.strike(one) for one in error.__notes__]

    def _is_clean(self, error: BaseException) -> bool:
        if isinstance(error, TurnoutError):
            return True
        try:
            text = "\n".join((repr(error), str(error), *getattr(error, "__notes__", ())))
        except Exception:  # noqa: BLE001 (whatever it is, it cannot be told)
            return False
        return next(self._found(text), None) is None

    def strike_event(self, event: StreamEvent) -> None:
        """Strikes what an `error` or `response.failed` event says of the error, in place."""
        if event.type != "error":
            self.strike_failed(getattr(event, "response", None))
            return
        self.strike_json(event)
        if isinstance(event, ErrorEvent):
            sent = event._sent  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]
            event._sent = self.strike_json(sent)  # noqa: SLF001  # pyright: ignore[reportPrivateUsage]

    def strike_failed(self, response: Any) -> None:
        """Strikes the error inside a response that failed, in place."""
        if isinstance(response, Response):
            response.error = self.strike_json(response.error)
        elif isinstance(response, dict):
            fields = cast("dict[str, Any]", response)
            fields["error"] = self.strike_json(fields.get("error"))
