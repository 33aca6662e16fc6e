"""Response ids that say, unforgeably, which account they belong to.

    prefix + base64url( version | key id | domain | tag | upstream id )

Deterministic: the same upstream id is always the same id here, on every surface and in every process that has the same
secret. The tag is HMAC-SHA256 over everything else, the tenant and the kind of thing that is named, cut to 16 bytes:
the id of an item is no response's. The domain is a hash, so an id tells nobody the name of an account. `prefix` is the
upstream's own ("resp_", "rs_", ...); a NUL in front of the upstream id says that it has none.
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from turnout.errors import unknown_response

_VERSION = 1
_KEY_ID = 4
_DOMAIN = 8
_TAG = 16
_HEAD = 1 + _KEY_ID + _DOMAIN + _TAG
_PREFIX = re.compile(r"[a-z]{1,8}")
LONGEST_ID = 1024
"""Characters; anything longer is refused unread."""
Kind = Literal["response", "item", "conversation"]
"""What an id names."""


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

    def wrap(self, upstream: str, domain: bytes, tenant: str = "", kind: Kind = "response") -> str:
        """The id to hand out for a provider's id."""
        prefix, separator, rest = upstream.partition("_")
        if not separator or not _PREFIX.fullmatch(prefix) or rest.startswith("\0"):
            prefix, rest = "resp", "\0" + upstream
        signed = bytes([_VERSION]) + self._signing + domain + rest.encode()
        tag = self._tag(self._signing, (tenant, kind, prefix), signed)
        head = signed[: 1 + _KEY_ID + _DOMAIN]
        packed = base64.urlsafe_b64encode(head + tag + rest.encode())
        return f"{prefix}_{packed.decode().rstrip('=')}"

    def unwrap(self, token: str, tenant: str = "", kind: Kind = "response") -> Owned:
        """What the id says.

        Raises NotFoundError, always with the same text, if we did not make it for this tenant and this kind of thing.
        """
        owned = self._verified(token, tenant, kind)
        if owned is None:
            raise unknown_response()
        return owned

    def _verified(self, token: str, tenant: str, kind: Kind) -> Owned | None:
        prefix, raw = _unpacked(token)
        key_id, tag = raw[1 : 1 + _KEY_ID], raw[_HEAD - _TAG : _HEAD]
        if key_id not in self._keys:
            return None
        signed = raw[: _HEAD - _TAG] + raw[_HEAD:]
        if not hmac.compare_digest(tag, self._tag(key_id, (tenant, kind, prefix), signed)):
            return None
        rest = raw[_HEAD:].decode()
        upstream = rest[1:] if rest.startswith("\0") else f"{prefix}_{rest}"
        return Owned(raw[1 + _KEY_ID : _HEAD - _TAG], upstream)

    def _tag(self, key_id: bytes, bound: tuple[str, Kind, str], signed: bytes) -> bytes:
        """The signature. A tenant may be any text: also one that is no valid Unicode."""
        tenant, kind, prefix = bound
        text = f"{len(tenant)}:{tenant}:{kind}:{prefix}:"
        return hmac.digest(self._keys[key_id], text.encode("utf-8", "surrogatepass") + signed, "sha256")[:_TAG]

    def has_our_shape(self, token: str) -> bool:
        """True if the id looks like one of ours, whoever signed it."""
        return bool(_unpacked(token)[1])

    def looks_owned(self, token: str) -> bool:
        """True if the id names one of our keys. It says nothing of the signature."""
        return _unpacked(token)[1][1 : 1 + _KEY_ID] in self._keys


def _unpacked(token: str) -> tuple[str, bytes]:
    """Prefix and content of an id of our shape, no content for any other text. Reads `LONGEST_ID` characters at most.

    There is one way to write an id: what decodes to the same bytes by another spelling has not our shape.
    """
    if len(token) > LONGEST_ID or not token.isascii():
        return "", b""
    prefix, _, packed = token.partition("_")
    try:
        raw = base64.b64decode(packed + "=" * (-len(packed) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return "", b""
    ours = len(raw) > _HEAD and raw[0] == _VERSION and _PREFIX.fullmatch(prefix)
    if not ours or base64.urlsafe_b64encode(raw).decode().rstrip("=") != packed:
        return "", b""
    return prefix, raw


def _key_id(secret: str) -> bytes:
    return hashlib.blake2b(secret.encode(), digest_size=_KEY_ID, person=b"turnout key id").digest()
