"""Reads results of which a field is odd: a good answer is kept, unless what is odd is what it is for."""

from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import ValidationError
from pydantic_core import from_json

from turnout_adapters.measures import count
from turnout_adapters.types.base import Result, as_mapping, opened
from turnout_adapters.types.response import Usage

R = TypeVar("R", bound=Result)


def read(model: type[R], data: bytes) -> R:
    """The result that these bytes are. Raises ValueError if they are none."""
    try:
        return model.model_validate_json(data)
    except ValidationError as error:
        fields = as_mapping(from_json(data))
        if fields is None:
            raise
        return _mended(model, fields, error)


def result_of(model: type[R], fields: Mapping[str, Any]) -> R:
    """As `read`, of a JSON object."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        return _mended(model, fields, error)


def _mended(model: type[R], fields: Mapping[str, Any], error: ValidationError) -> R:
    """The result without its odd fields, which are under `native` as they came. Raises the error if that is none."""
    odd = {str(one["loc"][0]) if one["loc"] else "" for one in error.errors(include_url=False, include_input=False)}
    unfinished = fields.get("output", ()) is None and fields.get("status") != "completed"
    if odd & (model.essential - ({"output"} if unfinished else frozenset())) or not odd <= fields.keys():
        raise error
    kept: dict[str, Any] = {name: value for name, value in fields.items() if name not in odd}
    usage = usage_of(fields["usage"]) if "usage" in odd else None
    if usage is not None:
        kept["usage"] = usage
    aside = {name: opened(fields[name]) for name in sorted(odd) if fields[name] is not None}
    before = fields.get("native")
    if aside:
        kept["native"] = opened({**(as_mapping(before) or ({} if before is None else {"native": before})), **aside})
    return model.model_validate(kept)


def usage_of(value: object) -> Usage | None:
    """The tokens used, None if how many went in or came out is not told. What else is odd counts as nothing."""
    fields = as_mapping(value)
    if fields is None:
        return None
    known: dict[str, Any] = {**fields}
    for name in ("input_tokens", "output_tokens"):
        known[name] = count(fields.get(name, 0))
        if known[name] is None:
            return None
    known["total_tokens"] = count(fields.get("total_tokens")) or known["input_tokens"] + known["output_tokens"]
    for name in ("input_tokens_details", "output_tokens_details"):
        details = as_mapping(fields.get(name)) or {}
        known[name] = {
            inner: count(told) or 0 if inner.endswith("_tokens") else told for inner, told in details.items()
        }
    return Usage.model_validate(known)
