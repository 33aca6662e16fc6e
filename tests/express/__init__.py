"""Recorded native requests as the Responses requests that mean the same: the encoders' way, backwards.

What Responses cannot say goes where a caller would put it: fields of the wire into `extra_body`. A request with content
that has no Responses form raises Inexpressible.
"""

from typing import Any


class Inexpressible(Exception):
    """Responses has no word for this."""


Json = dict[str, Any]


def effort_free(body: Json, *names: str) -> Json:
    """The fields of the wire that have no exact Responses form."""
    return {name: body[name] for name in names if name in body}
