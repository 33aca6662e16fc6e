"""IBM Cloud: an API key is exchanged for an access token that lasts an hour."""

from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

from pydantic_core import from_json

from turnout_adapters.adapter import Fetch, HTTPRequest
from turnout_adapters.errors import AuthenticationError
from turnout_adapters.forks import Guard
from turnout_adapters.headers import fits
from turnout_adapters.measures import amount

_URL = "https://iam.cloud.ibm.com/identity/token"
_GRANT = "urn:ibm:params:oauth:grant-type:apikey"
_MARGIN = 120.0
"""Seconds before its end at which a token is replaced."""
_USUAL = 3600.0
"""Seconds that a token lasts which does not say it in a way that makes sense."""


class IBMAuth:
    """Access tokens of IBM's identity service."""

    def __init__(self, key: str, provider: str, url: str | None = None) -> None:
        self._key = key
        self._provider = provider
        self._url = url or _URL
        self._lock = Guard()
        self._token = ""
        self._until = 0.0

    def ready(self, now: float) -> bool:
        """True if there is a token that is not about to expire."""
        return bool(self._token) and now < self._until - _MARGIN

    def refresh(self, fetch: Fetch, now: float) -> None:
        """Exchanges the key."""
        with self._lock():
            if self.ready(now):
                return
            form = urlencode({"grant_type": _GRANT, "apikey": self._key}).encode()
            kind = ("content-type", "application/x-www-form-urlencoded")
            reply = fetch(HTTPRequest("POST", self._url, [kind, ("accept", "application/json")], form))
            if reply.status != 200:
                text = f"IBM's identity service refused the API key (status {reply.status})"
                raise AuthenticationError(text, provider=self._provider)
            self._take(reply.body, now)

    def _take(self, body: bytes, now: float) -> None:
        try:
            fields: Any = from_json(body)
            token = fields["access_token"]
            if not isinstance(token, str) or not token or not fits(token):
                raise ValueError
            lasts = amount(fields.get("expires_in"))
            self._token, self._until = token, now + (_USUAL if lasts is None else lasts)
        except (ValueError, TypeError, LookupError):
            text = "IBM's identity service gave no access token"
            raise AuthenticationError(text, provider=self._provider) from None

    def forget(self) -> None:
        """The token was refused: the next call gets a fresh one."""
        self._token = ""

    def apply(self, request: HTTPRequest) -> HTTPRequest:
        """The request with the token."""
        return replace(request, headers=[*request.headers, ("authorization", f"Bearer {self._token}")])

    def secrets(self) -> tuple[str, ...]:
        """The key and the token."""
        return self._key, self._token
