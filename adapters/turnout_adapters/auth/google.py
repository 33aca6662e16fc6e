"""Google Cloud: access tokens by way of google-auth (extra `vertex`). A ready token may be given as api_key instead."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, NamedTuple, cast

from turnout_adapters.adapter import Fetch, HTTPRequest
from turnout_adapters.errors import APIError, AuthenticationError, ConfigError
from turnout_adapters.forks import Guard
from turnout_adapters.headers import fits
from turnout_adapters.striking import in_fields

NEEDED = "Google credentials need google-auth: pip install 'turnout[vertex]'; or give an access token as api_key"
_SCOPES = ("https://www.googleapis.com/auth/cloud-platform",)


class GoogleAuth:
    """Access tokens from a service account, a workload identity, or the application default credentials."""

    def __init__(self, info: Mapping[str, Any] | None, provider: str) -> None:
        self._info = info
        """The contents of a credentials file; None for the application default."""
        self._provider = provider
        self._lock = Guard()
        self._source: Any = None
        self._token: str | None = None

    def ready(self, now: float) -> bool:  # noqa: ARG002 (google-auth has its own clock)
        """True if there is a token that is not about to expire."""
        return self._token is not None and self._source.token_state.name == "FRESH"

    def refresh(self, fetch: Fetch, now: float) -> None:
        """Gets a token."""
        with self._lock():
            if self.ready(now):
                return
            send = _transport(fetch)
            try:
                if self._source is None:
                    self._source = self._find(send)
                self._source.refresh(send)
                self._token = _fit(self._source.token)
            except ImportError:
                raise ConfigError(NEEDED) from None
            except APIError:
                raise
            except Exception as error:
                name = type(error).__name__
                text = f"Google credentials: google-auth raised {name}; check vertex_credentials"
                raise AuthenticationError(text, provider=self._provider) from error

    def forget(self) -> None:
        """The token was refused: the next call gets a fresh one."""
        self._token = None

    def apply(self, request: HTTPRequest) -> HTTPRequest:
        """The request with the token, and the quota project if the credentials name one."""
        headers = [*request.headers, ("authorization", f"Bearer {self._token}")]
        project = getattr(self._source, "quota_project_id", None)
        if project:
            headers.append(("x-goog-user-project", project))
        return replace(request, headers=headers)

    def secrets(self) -> tuple[str, ...]:
        """The token, and every text of the credentials file that is secret under its name."""
        return (self._token or "", *in_fields(self._info))

    def _find(self, send: Any) -> Any:
        import google.auth as google_auth  # noqa: PLC0415

        library: Any = google_auth
        if self._info is None:
            return library.default(scopes=_SCOPES, request=send)[0]
        return library.load_credentials_from_dict(dict(self._info), scopes=_SCOPES, request=send)[0]


def _fit(token: object) -> str:
    if not isinstance(token, str) or not fits(token):
        raise ValueError("no token that a header can carry")
    return token


def credentials_info(given: object) -> Mapping[str, Any] | None:
    """The contents of `vertex_credentials`: a path, JSON text, or the object itself. Raises ConfigError."""
    if given is None:
        return None
    if isinstance(given, Mapping):
        return cast("Mapping[str, Any]", given)
    if not isinstance(given, str):
        raise ConfigError(f"vertex_credentials: must be a path or JSON, got {type(given).__name__}")
    try:
        if given.lstrip().startswith("{"):
            found: object = json.loads(given)
        else:
            with open(given, encoding="utf-8") as file:
                found = json.load(file)
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"vertex_credentials: cannot be read ({type(error).__name__})", param="vertex_credentials"
        ) from None
    if not isinstance(found, dict):
        raise ConfigError("vertex_credentials: must hold a JSON object", param="vertex_credentials")
    return cast("dict[str, Any]", found)


class _Reply(NamedTuple):
    """An answer as google-auth reads it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


def _transport(fetch: Fetch) -> Any:
    """Our connections for google-auth's requests."""

    def send(
        url: str,
        method: str = "GET",
        body: bytes | str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,  # noqa: ARG001
        **_: Any,
    ) -> _Reply:
        data = body.encode() if isinstance(body, str) else body or b""
        reply = fetch(HTTPRequest(method, url, list((headers or {}).items()), data))
        return _Reply(reply.status, reply.headers, reply.body)

    return send
