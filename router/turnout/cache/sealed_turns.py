"""Encryption at rest: a turn store around another one, which then keeps nothing that can be read without a secret.

    version (1 byte) | key id (4) | AES-SIV tag (16) | ciphertext

The cipher is AES-256-SIV (RFC 5297), which needs no nonce. The same value under the same key in the store is therefore
the same envelope again, and who reads the store learns that much and the value's length. In return there is no nonce
that processes could use twice, and a comparison of envelopes is one of values, which `swap` rests on. The key in the
store is bound in as associated data: an envelope that was copied to another key does not open.

The encryption key is derived from the secret by HKDF-Extract (RFC 5869) under a label of its own, so it has nothing to
do with the key that signs ids with the same secret. The key id is a hash of it.
"""

import hashlib
import hmac
import logging
from collections.abc import Mapping, Sequence

from turnout.errors import ConfigError
from turnout.protocols import TurnStore

_VERSION = b"\x01"
_KEY_ID = 4
_HEAD = len(_VERSION) + _KEY_ID
_LABEL = b"turnout turns at rest"
_FILLER = b"\0"
"""In front of every value: cryptography before 45 encrypts no empty ones."""


class SealedTurns:
    """A turn store that encrypts what another one keeps. Keys and times to live stay readable.

    Args:
        store: where the envelopes go.
        secrets: the key ring, as for ids: the first encrypts, all decrypt. To rotate, put the new one in front and
            drop the old one when what it encrypted has expired. A secret is used as it is, without stretching: take
            32 random bytes or more, not a password.

    A value that does not open (no secret for it, damaged, moved, or written without encryption) reads as None; the
    first one is logged, without content. Raises ConfigError without secrets or without the package `cryptography`.
    """

    def __init__(self, store: TurnStore, secrets: Sequence[str]) -> None:
        if not secrets:
            raise ConfigError("encryption of transcripts needs a secret: set id_secret")
        try:
            from cryptography.exceptions import InvalidTag  # noqa: PLC0415 (cryptography comes with the extra)
            from cryptography.hazmat.primitives.ciphers.aead import AESSIV  # noqa: PLC0415
        except ImportError:
            raise ConfigError("encryption of transcripts needs: pip install 'turnout[encrypt]'") from None
        keys = [_derived(secret) for secret in secrets]
        self._store = store
        self._ciphers = {_key_id(key): AESSIV(key) for key in keys}
        self._newest = _key_id(keys[0])
        self._does_not_open = InvalidTag
        self._warned = False
        self.remote = store.remote

    def __repr__(self) -> str:
        return f"SealedTurns({self._store!r}, {len(self._ciphers)} keys)"

    def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """The values in the order of the keys; None for what is unknown, expired or does not open."""
        return [self._open(key, sealed) for key, sealed in zip(keys, self._store.read(keys), strict=True)]

    def write(self, entries: Mapping[str, bytes], ttl: float) -> None:
        """Encrypts the entries and keeps them for `ttl` seconds."""
        self._store.write({key: self._seal(key, value) for key, value in entries.items()}, ttl)

    def touch(self, keys: Sequence[str], ttl: float) -> None:
        """Gives entries `ttl` seconds from now."""
        self._store.touch(keys, ttl)

    def swap(self, key: str, old: bytes | None, new: bytes, ttl: float) -> bool:
        """Writes `new` if the value is `old`; what does not open counts as none.

        Reads the envelope, compares its content, and swaps that envelope for the new one. If the store refuses, the
        envelope has changed in between, and so has the value: equal values have equal envelopes under one secret. Only
        a secret that is being rotated gives a value several, one each, so there are as many attempts as secrets.
        """
        sealed = self._seal(key, new)
        for _ in self._ciphers:
            found = self._store.read([key])[0]
            if self._open(key, found) != old:
                return False
            if self._store.swap(key, found, sealed, ttl):
                return True
        return False

    def erase(self, keys: Sequence[str]) -> None:
        """Forgets the keys."""
        self._store.erase(keys)

    def close(self) -> None:
        """Closes the store."""
        self._store.close()

    def _seal(self, key: str, value: bytes) -> bytes:
        sealed = self._ciphers[self._newest].encrypt(_FILLER + value, _bound(self._newest, key))
        return _VERSION + self._newest + sealed

    def _open(self, key: str, sealed: bytes | None) -> bytes | None:
        if sealed is None:
            return None
        value = self._opened(key, sealed)
        if value is None and not self._warned:
            self._warned = True
            logging.getLogger("turnout").warning(
                "a stored turn does not open (another secret, damaged, or not encrypted) and counts as missing"
            )
        return value

    def _opened(self, key: str, sealed: bytes) -> bytes | None:
        key_id = sealed[len(_VERSION) : _HEAD]
        cipher = self._ciphers.get(key_id)
        if cipher is None or not sealed.startswith(_VERSION):
            return None
        try:
            return cipher.decrypt(sealed[_HEAD:], _bound(key_id, key))[len(_FILLER) :]
        except self._does_not_open:
            return None


def _bound(key_id: bytes, key: str) -> list[bytes]:
    """The associated data: the envelope's head, and the key in the store."""
    return [_VERSION + key_id, key.encode()]


def _derived(secret: str) -> bytes:
    return hmac.digest(_LABEL, secret.encode(), "sha512")


def _key_id(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=_KEY_ID).digest()
