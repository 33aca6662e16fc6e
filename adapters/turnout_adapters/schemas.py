"""JSON schemas for providers that enforce only a part of the language.

Constraints that would be refused move into the description, where the model reads them; the caller is warned.
"""

from collections.abc import Mapping
from typing import Any, cast

_NOT_ENFORCED = frozenset(
    """
    minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength minItems maxItems uniqueItems
    minProperties maxProperties patternProperties propertyNames contains minContains maxContains
    """.split()
)
_OF_SCHEMAS = ("properties", "$defs", "definitions")
_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf", "prefixItems")


def closed(schema: Mapping[str, Any], told: set[str]) -> dict[str, Any]:
    """The schema with closed objects and only keywords that are enforced; the others are added to `told`."""
    out: dict[str, Any] = {}
    moved: list[str] = []
    for name, value in schema.items():
        if name in _NOT_ENFORCED and not (name == "minItems" and value in (0, 1)):
            moved.append(f"{name}: {value}")
            told.add(name)
        else:
            out[name] = _inner(name, value, told)
    if moved:
        out["description"] = " ".join(filter(None, (schema.get("description"), "{" + ", ".join(moved) + "}")))
    if out.get("type") == "object" or "properties" in out:
        out.setdefault("properties", {})
        out["additionalProperties"] = False
    return out


def _inner(name: str, value: Any, told: set[str]) -> Any:
    if name in _OF_SCHEMAS and isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: _schema(inner, told) for key, inner in fields.items()}
    if name in _LISTS_OF_SCHEMAS and isinstance(value, list):
        return [_schema(inner, told) for inner in cast("list[Any]", value)]
    return _schema(value, told) if name in ("items", "not", "if", "then", "else") else value


def _schema(value: Any, told: set[str]) -> Any:
    return closed(cast("dict[str, Any]", value), told) if isinstance(value, dict) else value


def strict_schema(schema: Mapping[str, Any]) -> dict[str, Any]:
    """A pydantic model's schema as OpenAI's strict mode wants it: closed objects, every property required."""
    out = {name: _strict(name, value) for name, value in schema.items() if name != "default"}
    if "properties" in out:
        out["required"] = list(out["properties"])
        out["additionalProperties"] = False
    return {"$ref": out["$ref"]} if "$ref" in out else out


def _strict(name: str, value: Any) -> Any:
    if name in _OF_SCHEMAS and isinstance(value, dict):
        fields = cast("dict[str, Any]", value)
        return {key: strict_schema(inner) for key, inner in fields.items()}
    if name in _LISTS_OF_SCHEMAS and isinstance(value, list):
        return [strict_schema(inner) for inner in cast("list[Any]", value)]
    return strict_schema(cast("dict[str, Any]", value)) if name == "items" and isinstance(value, dict) else value
