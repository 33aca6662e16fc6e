"""What the servers of the clouds do with credentials, written down again from their documentation."""

import base64
import hashlib
import hmac
import json
import time
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.servers import Asked

Json = dict[str, Any]


def signature_v4(asked: Asked, secret: str) -> tuple[str, str]:
    """The signature that came, and the one that AWS would compute (Signature Version 4)."""
    scheme, _, rest = asked.headers["authorization"].partition(" ")
    assert scheme == "AWS4-HMAC-SHA256"
    fields = dict(part.strip().split("=", 1) for part in rest.split(","))
    _, date, region, service, terminator = fields["Credential"].split("/")
    signed = fields["SignedHeaders"].split(";")
    assert "host" in signed
    parts = urlsplit(asked.target)
    path = "/".join(quote(segment, safe="-_.~") for segment in parts.path.split("/"))
    pairs = sorted(tuple(pair.partition("=")[::2]) for pair in parts.query.split("&") if pair)
    query = "&".join(f"{name}={value}" for name, value in pairs)
    headers = "".join(f"{name}:{' '.join(asked.headers[name].split())}\n" for name in signed)
    canonical = "\n".join([asked.method, path, query, headers, ";".join(signed), hashlib.sha256(asked.raw).hexdigest()])
    scope = f"{date}/{region}/{service}/{terminator}"
    stamp = asked.headers["x-amz-date"]
    text = f"AWS4-HMAC-SHA256\n{stamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = f"AWS4{secret}".encode()
    for step in (date, region, service, terminator):
        key = hmac.new(key, step.encode(), hashlib.sha256).digest()
    return fields["Signature"], hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


class GoogleTokens:
    """A service account, and the token endpoint that it talks to."""

    def __init__(self, *, lifetime: int = 3600) -> None:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.lifetime = lifetime
        self.issued: list[str] = []

    def credentials(self, url: str) -> Json:
        """The contents of a service account's file."""
        form = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        return {
            "type": "service_account", "project_id": "my-project", "private_key_id": "1",
            "private_key": self._key.private_bytes(*form).decode(),
            "client_email": "me@my-project.iam.gserviceaccount.com", "client_id": "1", "token_uri": f"{url}/token",
        }  # fmt: skip

    def token(self, asked: Asked) -> Json:
        """Exchanges a signed assertion; raises if the signature or its claims are wrong."""
        assertion = parse_qs(asked.raw.decode())["assertion"][0]
        signed, _, signature = assertion.rpartition(".")
        self._key.public_key().verify(_unpacked(signature), signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        claims = json.loads(_unpacked(signed.partition(".")[2]))
        assert "cloud-platform" in claims["scope"]
        assert claims["exp"] > time.time()
        self.issued.append(f"ya29.token-{len(self.issued)}")
        return {"access_token": self.issued[-1], "expires_in": self.lifetime, "token_type": "Bearer"}


def _unpacked(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
