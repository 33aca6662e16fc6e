"""Puts headers together: what every wire does with credentials and the caller's own headers."""

from collections.abc import Mapping, Sequence

from turnout_adapters.adapter import Target
from turnout_adapters.errors import AuthenticationError
from turnout_adapters.headers import fits

_LISTS = ("anthropic-beta",)
"""Headers whose values add up."""


def headers_for(
    target: Target, own: Sequence[tuple[str, str]], extra: Mapping[str, str], *, stream: bool
) -> list[tuple[str, str]]:
    """The deployment's headers, the wire's own, a fresh token, and the caller's over all of them."""
    headers = [*target.headers, ("accept", "text/event-stream" if stream else "application/json")]
    if target.token_provider is not None:
        headers.append(("authorization", f"Bearer {_token(target)}"))
    headers.extend(own)
    if not extra:
        return headers
    given = {name.lower(): value for name, value in extra.items()}
    for name in _LISTS:
        if name in given:
            given[name] = ",".join([*(value for known, value in headers if known == name), given[name]])
    return [(name, value) for name, value in headers if name not in given] + list(given.items())


def _token(target: Target) -> str:
    """A fresh token. What its owner's function raises is told as an AuthenticationError, without its text."""
    provider = target.token_provider
    try:
        token: object = provider() if provider is not None else None
    except Exception as error:
        name = type(error).__name__
        raise AuthenticationError(f"azure_ad_token_provider raised {name}", provider=target.provider) from error
    if not isinstance(token, str) or not token:
        given = type(token).__name__
        text = f"azure_ad_token_provider must return the token as a string, it returned {given} (is it async?)"
        raise AuthenticationError(text, provider=target.provider)
    if not fits(token):
        text = "azure_ad_token_provider returned a token with characters that a header cannot carry"
        raise AuthenticationError(text, provider=target.provider)
    return token
