"""Names as parts of an address: quoted, and refused where a server might take them for a way to somewhere else.

Under a wildcard row the model's name is the caller's, and goes out with the operator's key. Quoting alone is not
enough: `.` and `..` need none, and there are servers behind proxies that undo it twice.
"""

import re
from urllib.parse import quote, unquote

from turnout_adapters.errors import BadRequestError, ConfigError

_SEPARATORS = re.compile(r"[/\\]")
_UNDONE = 3
"""Times that quoting might be undone on the way."""
_LONGEST = 100
_HOST_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?")
_PLACE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.:_-]*")


def segment(name: str, param: str = "model", *, safe: str = "") -> str:
    """A name as one segment of a path; `safe` characters stay as they are. Raises BadRequestError."""
    return quote(_checked(name, param), safe=safe)


def segments(name: str, param: str = "model", *, safe: str = "") -> str:
    """A name with slashes as so many segments. Raises BadRequestError."""
    return quote(_checked(name, param), safe=f"/{safe}")


def host_label(name: str, param: str) -> str:
    """A region or the like as part of a host's name. Raises ConfigError."""
    if not _HOST_LABEL.fullmatch(name):
        raise ConfigError(f"{param}: must be letters, digits and hyphens, as in a host's name", param=param)
    return name


def place(name: str, param: str) -> str:
    """A project or account as part of an address. Raises ConfigError."""
    if not _PLACE.fullmatch(name) or ".." in name:
        raise ConfigError(f"{param}: must be letters, digits and . : _ -, a letter or digit first", param=param)
    return name


def _checked(name: str, param: str) -> str:
    if not name.isprintable():
        raise _refused(name, param, "it has characters that cannot be printed")
    meant = name
    for _ in range(_UNDONE):
        meant = unquote(meant)
    if meant != name and (not meant.isprintable() or any(meant.count(one) > name.count(one) for one in "/\\?#")):
        raise _refused(name, param, "a part of it is quoted already, and would mean something else unquoted")
    for piece in _SEPARATORS.split(meant):
        if piece.partition(";")[0].strip() in ("", ".", ".."):
            raise _refused(name, param, "it has a segment that is empty or made of dots")
    return name


def _refused(name: str, param: str, why: str) -> BadRequestError:
    return BadRequestError(f"{param}: {name[:_LONGEST]!a} cannot be part of an address: {why}", param=param)
