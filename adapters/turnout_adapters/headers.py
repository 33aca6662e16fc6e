"""Headers from outside: callers', rows', and credentials that come late; a bad one would break every connection.

Values are visible ASCII with spaces and tabs between: the HTTP libraries disagree on everything beyond. Headers that
frame a message or belong to a connection are the transport's.
"""

import re
from collections.abc import Mapping
from typing import cast

from turnout_adapters.errors import ConfigError

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e]*")
_TRANSPORTS = frozenset(
    "connection content-encoding content-length expect host http2-settings keep-alive proxy-authorization "
    "proxy-connection te trailer transfer-encoding upgrade".split()
)


def fits(value: str) -> bool:
    """True if a header can carry the value."""
    return _VALUE.fullmatch(value) is not None


def checked(given: object, field: str) -> dict[str, str]:
    """Headers by name, those that are None left out. Raises ConfigError, which names the header and no value."""
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ConfigError(f"{field} must be a mapping, got {type(given).__name__}", param=field)
    found: dict[str, str] = {}
    for name, value in cast("Mapping[object, object]", given).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConfigError(f"{field}: {_shown(name)} is no name of a header", param=field)
        if name.lower() in _TRANSPORTS:
            raise ConfigError(f"{field}: {name} is the transport's to set; leave it out", param=field)
        if value is None:
            continue
        if not isinstance(value, str):
            problem = f"{field}: {name} must be a string, got {type(value).__name__}"
            raise ConfigError(problem, param=field)
        if not fits(value):
            problem = f"{field}: {name} has characters that a header cannot carry (a line break?): ASCII text only"
            raise ConfigError(problem, param=field)
        found[str(name)] = str(value).strip(" \t")
    return found


def _shown(name: object) -> str:
    return ascii(name[:50]) if isinstance(name, str) else f"a {type(name).__name__}"
