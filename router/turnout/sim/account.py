"""What belongs to one account at a provider: the ids it gave out, and the seal under which its reasoning travels."""

import hashlib
import hmac
import random
import re
from base64 import b64decode, b64encode
from binascii import Error
from collections.abc import Iterator
from typing import Any, cast

from turnout.sim.replies import new_id
from turnout.sim.upstream import Refused

_ID = re.compile(r"\b(?:resp|conv|msg|rs|fc|ctc|cmp|ws|ci|ig|mcp|ft|file|vs|cntr)_[\w-]{6,}")
"""What an id of something that is kept at an account looks like. Ids of tool calls are nobody's: they are not here."""
_NONCE = 24


class Account:
    """One account. Nothing of another is valid here."""

    def __init__(self, name: str, rng: random.Random) -> None:
        self._key = f"the sealing key of {name}".encode()
        self._rng = rng
        self._known: set[str] = set()

    def know(self, value: object) -> None:
        """Takes every id in a value for its own."""
        self._known.update(_ids(value))

    def knows(self, one: str) -> bool:
        """True if the account gave out this id."""
        return one in self._known

    def new_id(self, prefix: str) -> str:
        """An id that is not kept: as providers without state give out."""
        return new_id(prefix, self._rng)

    def seal(self) -> str:
        """A signature, or encrypted reasoning, that only this account accepts."""
        nonce = self._rng.randbytes(_NONCE)
        return b64encode(nonce + self._tag(nonce)).decode()

    def opens(self, sealed: object) -> bool:
        """True if the account sealed it."""
        try:
            raw = b64decode(str(sealed), validate=True)
        except (Error, ValueError):
            return False
        return hmac.compare_digest(raw[_NONCE:], self._tag(raw[:_NONCE]))

    def check_ids(self, body: object) -> None:
        """Refuses a body that names, anywhere, something the account has not given out."""
        for one in _ids(body):
            if one not in self._known:
                raise Refused("foreign id", f"Item with id '{one}' not found.", foreign=True)

    def _tag(self, nonce: bytes) -> bytes:
        return hmac.new(self._key, nonce, hashlib.sha256).digest()


def _ids(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield from _ID.findall(value)
    elif isinstance(value, dict):
        for inner in cast("dict[str, Any]", value).values():
            yield from _ids(inner)
    elif isinstance(value, list):
        for inner in cast("list[Any]", value):
            yield from _ids(inner)
