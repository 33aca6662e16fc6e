"""Azure's addresses: a resource serves a versionless `/openai/v1` and a dated `/openai?api-version=...`.

People paste all kinds of addresses as `api_base`: the resource, its `/openai/v1`, or the full URL of an operation. All
mean the same place.
"""

import re
from typing import NamedTuple
from urllib.parse import parse_qs, urlsplit

_DATED = re.compile(r"^\d{4}-\d{2}-\d{2}(-preview)?$")


class Address(NamedTuple):
    """Where an Azure deployment is."""

    resource: str
    """Scheme, host and path before `/openai`: the account."""
    base_url: str
    query: str


def azure_address(api_base: str, api_version: str | None) -> Address:
    """The address for an `api_base` in any of its spellings.

    `api_version` is a date such as 2025-04-01-preview for the dated URL; None, "v1", "preview" or "latest" mean
    `/openai/v1`. A version inside a pasted URL counts if none is given, unless that URL is a v1 one.
    """
    parts = urlsplit(api_base)
    path, marker, operation = parts.path.partition("/openai")
    resource = f"{parts.scheme.lower()}://{parts.netloc.lower()}{path.rstrip('/')}"
    is_v1 = bool(marker) and operation.startswith("/v1")
    pasted = parse_qs(parts.query).get("api-version", [None])[0]
    version = api_version if api_version is not None else pasted
    if version is not None and _DATED.match(version) and not (is_v1 and api_version is None):
        return Address(resource, f"{resource}/openai", f"api-version={version}")
    query = "api-version=preview" if version in ("preview", "latest") else ""
    return Address(resource, f"{resource}/openai/v1", query)


def is_version(api_version: str) -> bool:
    """True for a date, "v1", "preview" and "latest"."""
    return api_version in ("v1", "preview", "latest") or bool(_DATED.match(api_version))
