"""The key that a call prefers its deployment by: its session, its caller, or the beginning of its prompt.

Keys are hashed with the tenant, so that no tenant's keys say anything of another's; what a client gave is never kept.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from typing import Any, cast

from turnout.context import AffinityKey
from turnout.errors import ConfigError
from turnout.policies import AffinityKind, AffinityPolicy
from turnout_adapters.adapter import Operation

LONGEST_ID = 1024
"""Characters that a client's id may have."""
BEGINNING = 4096
"""Characters of a prompt that make its key: 1,024 tokens of four characters, the least that OpenAI and Anthropic
cache. A shorter prompt has no key."""
_GENERATES: tuple[Operation, ...] = ("create", "compact")
_END = object()

Fields = Mapping[str, Any]


def affinity_key(
    policy: AffinityPolicy, group: str, operation: Operation, tenant: str, body: Fields, options: Fields
) -> AffinityKey | None:
    """The first key, in the policy's order, that the call has; None if it has none.

    Raises ConfigError for an id that is no text, or longer than `LONGEST_ID`.
    """
    for kind in policy.of(group):
        parts = _parts(kind, operation, tenant, body, options)
        if parts is not None:
            return AffinityKey(kind, _digest((kind, tenant, *parts)))
    return None


def _parts(
    kind: AffinityKind, operation: Operation, tenant: str, body: Fields, options: Fields
) -> tuple[str, ...] | None:
    if kind == "session":
        return _session(body, options)
    if kind == "deployment":
        return _caller(body, options) or (("tenant",) if tenant else None)
    return _prompt(body) if operation in _GENERATES else None


def _session(body: Fields, options: Fields) -> tuple[str, ...] | None:
    """The session id: the call's own option, LiteLLM's, or where LiteLLM's affinity looks for it."""
    found = _text(options, "session_id") or _text(options, "litellm_session_id") or _noted(body, options, "session_id")
    return (found,) if found else None


def _caller(body: Fields, options: Fields) -> tuple[str, ...] | None:
    """Who calls, as LiteLLM's proxy notes it; a user id can never pass for the hash of a key."""
    for name in ("user_api_key_hash", "user_api_key_user_id"):
        found = _noted(body, options, name)
        if found:
            return name, found
    return None


def _prompt(body: Fields) -> tuple[str, ...] | None:
    key = _text(body, "prompt_cache_key")
    if key:
        return "key", key
    given = body.get("input")
    turns = [{"role": "user", "content": given}] if isinstance(given, str) else given
    text = _beginning([one for one in (body.get("tools"), body.get("instructions"), turns) if one], BEGINNING)
    return None if text is None else ("text", text)


def _noted(body: Fields, options: Fields, name: str) -> str | None:
    """A field of `litellm_metadata`, else of `metadata`."""
    for where, holder in (("litellm_metadata", options), ("metadata", body)):
        notes: object = holder.get(where)
        if isinstance(notes, Mapping):
            found = _text(cast("Fields", notes), name, f"{where}.{name}")
            if found:
                return found
    return None


def _text(fields: Fields, name: str, where: str | None = None) -> str | None:
    value = fields.get(name)
    if value is None:
        return None
    where = where or name
    if not isinstance(value, str):
        raise ConfigError(f"{where} must be a string, got a {type(value).__name__}", param=where)
    if len(value) > LONGEST_ID:
        raise ConfigError(f"{where} may have {LONGEST_ID} characters, got {len(value)}", param=where)
    return value


def _beginning(values: Sequence[object], length: int) -> str | None:
    """The first `length` characters of everything in the values, in their order; None if there are not so many.

    Reads no more than it returns, so that a long conversation costs what a short one does.
    """
    pieces: list[str] = []
    left = length
    open_: list[Iterator[object]] = [iter(values)]
    while open_ and left > 0:
        value = next(open_[-1], _END)
        if value is _END:
            open_.pop()
            continue
        if isinstance(value, str):
            piece = f"{value[:left]}\n"
        elif isinstance(value, Mapping):
            open_.append(_flat(cast("Mapping[object, object]", value)))
            piece = "{"
        elif isinstance(value, list | tuple):
            open_.append(iter(cast("Sequence[object]", value)))
            piece = "["
        else:
            piece = f"{_plain(value)}\n"
        pieces.append(piece)
        left -= len(piece)
    return None if left > 0 else "".join(pieces)[:length]


def _plain(value: object) -> object:
    """What of a value is the same in every process."""
    return value if value is None or isinstance(value, int | float) else type(value).__name__


def _flat(fields: Mapping[object, object]) -> Iterator[object]:
    for name, value in fields.items():
        yield name
        yield value


def _digest(parts: Sequence[str]) -> bytes:
    """One hash of all parts; their lengths are in it, so that no two lists of parts read the same."""
    text = "".join(f"{len(part)}:{part}" for part in parts)
    return blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
