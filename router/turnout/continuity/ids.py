"""Response ids that say, unforgeably, which account they belong to.

    prefix + base64url( version | key id | domain | tag | flags | upstream id )

Deterministic: the same upstream id is always the same id here, on every surface and in every process that has the same
secret. The tag is HMAC-SHA256 over everything else and the tenant, cut to 16 bytes; the domain is a hash, so an id
tells nobody the name of an account. `prefix` is the upstream's own ("resp_", "rs_", ...).
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass

from turnout.errors import NotFoundError

_VERSION = 1
_KEY_ID = 4
_DOMAIN = 8
_TAG = 16
_HEAD = 1 + _KEY_ID + _DOMAIN + _TAG
_PREFIX = re.compile(r"^[a-z]{1,8}$")
_LONGEST = 1024
"""Characters; anything longer is refused unread."""


@dataclass(frozen=True, slots=True)
class Owned:
    """What a verified id says."""

    domain: bytes
    upstream: str


def domain_hash(domain: str) -> bytes:
    """The eight bytes that stand for a state domain in an id."""
    return hashlib.blake2b(domain.encode(), digest_size=_DOMAIN, person=b"turnout domain").digest()


class IdCodec:
    """Signs and verifies ids with a key ring: the first secret signs, all verify."""

    def __init__(self, secrets: Sequence[str]) -> None:
        self._keys = {_key_id(secret): hashlib.sha256(secret.encode()).digest() for secret in secrets}
        self._signing = _key_id(secrets[0])

    def __repr__(self) -> str:
        return f"IdCodec({len(self._keys)} keys)"

    def wrap(self, upstream: str, domain: bytes, tenant: str = "") -> str:
        """The id to hand out for a provider's id."""
        prefix, separator, rest = upstream.partition("_")
        if not separator or not _PREFIX.match(prefix) or rest.startswith("\0"):
            prefix, rest = "resp", "\0" + upstream
        signed = bytes([_VERSION]) + self._signing + domain + rest.encode()
        tag = self._tag(self._signing, prefix, signed, tenant)
        head = signed[: 1 + _KEY_ID + _DOMAIN]
        packed = base64.urlsafe_b64encode(head + tag + rest.encode())
        return f"{prefix}_{packed.decode().rstrip('=')}"

    def unwrap(self, token: str, tenant: str = "") -> Owned:
        """What the id says. Raises NotFoundError, always with the same text, if we did not make it for this tenant."""
        owned = self._verified(token, tenant) if len(token) <= _LONGEST else None
        if owned is None:
            raise NotFoundError("no response with this id", code="response_not_found")
        return owned

    def _verified(self, token: str, tenant: str) -> Owned | None:
        prefix, _, packed = token.partition("_")
        try:
            raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
            rest = raw[_HEAD:].decode()
        except (binascii.Error, ValueError):
            return None
        head, tag = raw[: 1 + _KEY_ID + _DOMAIN], raw[1 + _KEY_ID + _DOMAIN : _HEAD]
        key_id = head[1 : 1 + _KEY_ID]
        if len(raw) <= _HEAD or head[0] != _VERSION or key_id not in self._keys:
            return None
        if base64.urlsafe_b64encode(raw).decode().rstrip("=") != packed:
            return None
        if not hmac.compare_digest(tag, self._tag(key_id, prefix, head + raw[_HEAD:], tenant)):
            return None
        upstream = rest[1:] if rest.startswith("\0") else f"{prefix}_{rest}"
        return Owned(head[1 + _KEY_ID :], upstream)

    def _tag(self, key_id: bytes, prefix: str, signed: bytes, tenant: str) -> bytes:
        bound = f"{len(tenant)}:{tenant}:{prefix}:".encode()
        return hmac.digest(self._keys[key_id], bound + signed, "sha256")[:_TAG]

    def has_our_shape(self, token: str) -> bool:
        """True if the id looks like one of ours, whoever signed it."""
        return _key_of(token) is not None

    def looks_owned(self, token: str) -> bool:
        """True if the id names one of our keys. It says nothing of the signature."""
        return _key_of(token) in self._keys


def _key_of(token: str) -> bytes | None:
    """The key id of an id of our shape, None for any other text."""
    _, _, packed = token[:_LONGEST].partition("_")
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError):
        return None
    return raw[1 : 1 + _KEY_ID] if len(raw) > _HEAD and raw[0] == _VERSION else None


def _key_id(secret: str) -> bytes:
    return hashlib.blake2b(secret.encode(), digest_size=_KEY_ID, person=b"turnout key id").digest()
