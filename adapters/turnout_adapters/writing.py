"""Request bodies as JSON: what JSON has no form for is the caller's mistake, told before anything is sent."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError
from pydantic_core import PydanticSerializationError, to_json

from turnout_adapters.errors import BadRequestError
from turnout_adapters.types import Response


def json_bytes(fields: Mapping[str, Any]) -> bytes:
    """The fields as JSON. Raises BadRequestError for what cannot be written, cycles, NaN and infinity included."""
    try:
        written = to_json(fields, by_alias=True, exclude_none=False)
    except PydanticSerializationError as error:
        raise BadRequestError(f"the request cannot be written as JSON: {error}") from None
    if b"NaN" in written or b"Infinity" in written:  # perhaps in a text
        _refuse_no_numbers(fields)
    return written


def _refuse_no_numbers(fields: Mapping[str, Any]) -> None:
    todo: list[tuple[str, object]] = [("", fields)]
    while todo:
        place, value = todo.pop()
        if isinstance(value, float) and not math.isfinite(value):
            raise BadRequestError(f"{place}: NaN and infinity cannot be written as JSON", param=place)
        if isinstance(value, Mapping):
            inner = cast("Mapping[object, object]", value).items()
            todo += [(f"{place}.{name}" if place else str(name), one) for name, one in inner]
        elif isinstance(value, list | tuple):
            todo += [(f"{place}[{index}]", one) for index, one in enumerate(cast("Sequence[object]", value))]


def check_echo(fields: Mapping[str, Any]) -> None:
    """Raises BadRequestError for a parameter that a response cannot give back, as it does where we make it."""
    if not fields:
        return
    json_bytes(fields)
    try:
        Response.model_validate({"id": "", **fields})
    except ValidationError as error:
        place = ".".join(str(part) for part in error.errors(include_url=False, include_input=False)[0]["loc"])
        raise BadRequestError(f"{place}: no provider could take this value", param=place) from None
