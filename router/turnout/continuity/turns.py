"""What a turn of a conversation is, and how it is written down.

A turn is one response and the input that led to it; it names the turn before, so that follow-ups form a tree and two
of them never mix. Its key is a hash of tenant, account and the provider's id: a store learns neither, and no tenant
can name another's turn.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from pydantic_core import from_json, to_json

_VERSION = 1
PATH = 32
"""Ancestors that a turn names, nearest first: a chain is read in one round trip for each so many turns."""
GONE = b""
"""Stands in a store for a turn that was deleted, so that a copy elsewhere cannot bring it back."""


@dataclass(frozen=True, slots=True, repr=False)
class Turn:
    """One response with its input, both as the caller saw them (ids of ours)."""

    path: tuple[str, ...] = ()
    """Keys of the turns before, nearest first; as many as were known, at least the parent."""
    given: Sequence[Any] = ()
    """Input items."""
    response: Mapping[str, Any] | None = None
    """None for items that were put into a conversation without a call."""
    domain: str = ""
    """The state domain that made it."""
    deployment: str = ""
    model_group: str = ""
    native: bool = False
    """The account holds it too."""

    @property
    def parent(self) -> str | None:
        """Key of the turn before."""
        return self.path[0] if self.path else None

    @property
    def output(self) -> Sequence[Mapping[str, Any]]:
        """Output items."""
        return () if self.response is None else self.response.get("output") or ()

    @property
    def finished(self) -> bool:
        """True if its output is whole enough to go on from."""
        return self.response is None or self.response.get("status") in ("completed", "incomplete")


def turn_key(tenant: str, domain: bytes, upstream: str) -> str:
    """The key of a turn, 40 hexadecimal characters."""
    return _hashed(b"turnout turn", _text(f"{len(tenant)}:{tenant}:") + domain + _text(upstream))


def conversation_key(tenant: str, conversation_id: str) -> str:
    """The key of a conversation's record."""
    return _hashed(b"turnout talk", _text(f"{len(tenant)}:{tenant}:{conversation_id}"))


def _text(text: str) -> bytes:
    """Any text as bytes, also a tenant that is no valid Unicode."""
    return text.encode("utf-8", "surrogatepass")


def _hashed(person: bytes, content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=20, person=person).hexdigest()


def pack(turn: Turn) -> bytes:
    """The turn as a store keeps it."""
    return to_json(
        {
            "v": _VERSION,
            "path": turn.path,
            "given": turn.given,
            "response": turn.response,
            "domain": turn.domain,
            "deployment": turn.deployment,
            "model_group": turn.model_group,
            "native": turn.native,
        },
        by_alias=True,
    )


def unpack(value: bytes) -> Turn | None:
    """The turn, None if it was written by a version that this one cannot read."""
    fields = _fields(value)
    if fields is None or "path" not in fields:
        return None
    fields["path"] = tuple(fields["path"])
    try:
        return Turn(**fields)
    except TypeError:
        return None


@dataclass(frozen=True, slots=True, repr=False)
class Talk:
    """A conversation that is kept here: its last turn, and what the caller wrote on it."""

    id: str
    created_at: int
    head: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict[str, Any])


def pack_talk(talk: Talk) -> bytes:
    """The conversation as a store keeps it."""
    fields = {"id": talk.id, "created_at": talk.created_at, "head": talk.head, "metadata": dict(talk.metadata)}
    return to_json({"v": _VERSION, **fields})


def unpack_talk(value: bytes) -> Talk | None:
    """The conversation, None if it cannot be read."""
    fields = _fields(value)
    if fields is None:
        return None
    try:
        return Talk(**fields)
    except TypeError:
        return None


def _fields(value: bytes) -> dict[str, Any] | None:
    """What was written, None if it was written by a version that this one cannot read."""
    try:
        found: object = from_json(value)
    except ValueError:
        return None
    fields = cast("dict[str, Any]", found) if isinstance(found, dict) else {}
    return fields if fields.pop("v", None) == _VERSION else None


def items_of(given: object) -> list[Any]:
    """An input as a list of items; text is a message of the user."""
    if given is None:
        return []
    if isinstance(given, str):
        return [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": given}]}]
    return list(cast("Sequence[Any]", given))
