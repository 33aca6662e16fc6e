"""Readers of one field each: they return the value, or raise a ConfigError that names the field and the fix."""

import re
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

from turnout.errors import ConfigError, TurnoutError

_REFERENCE = re.compile(r"^os\.environ/(?P<plain>.+)$|^\$\{(?P<braced>[A-Za-z_]\w*)\}$")

_LONGEST = 100
_LARGEST = 10**30
_DEEPEST = 100
_INFINITY = 10.0**300


def fail(field: str, problem: str) -> ConfigError:
    """The error for a field."""
    return ConfigError(f"{field}: {problem}", param=field)


def shown(value: object) -> str:
    """A value as an error message may show it: short, and never the inside of a container."""
    plain = value is None or isinstance(value, bool | float) or (isinstance(value, int) and abs(value) < _LARGEST)
    return repr(value) if plain else f"a {type(value).__name__}"


def told(value: object) -> str:
    """A caller's value as an error message may show it: short, whatever it is."""
    if isinstance(value, str):
        return ascii(value[:_LONGEST])
    if isinstance(value, int) and not -_LARGEST < value < _LARGEST:
        return "an absurdly large number"
    return shown(value)


def mapping(value: object, field: str) -> Mapping[str, Any]:
    """A mapping with string keys."""
    if isinstance(value, Mapping):
        fields = cast("Mapping[Any, Any]", value)
        if all(isinstance(key, str) for key in fields):
            return fields
    raise fail(field, f"must be a mapping, got {shown(cast('object', value))}")


def sequence(value: object, field: str, of: str = "values") -> Sequence[Any]:
    """A list or tuple."""
    if not isinstance(value, list | tuple):
        raise fail(field, f"must be a list of {of}, got {shown(value)}")
    return cast("Sequence[Any]", value)


def text(value: object, field: str) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise fail(field, f"must be a string that is not empty, got {'an empty one' if value == '' else shown(value)}")
    return value


def texts(value: object, field: str) -> tuple[str, ...]:
    """A list of strings."""
    return tuple(text(one, f"{field}[{index}]") for index, one in enumerate(sequence(value, field, "strings")))


def flag(value: object, field: str) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise fail(field, f"must be True or False, got {shown(value)}")
    return value


def whole(value: object, field: str, least: int = 0) -> int:
    """A whole number."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        kind = "a positive integer" if least == 1 else f"a whole number, {least} or more"
        raise fail(field, f"must be {kind}, got {shown(value)}")
    return value


def number(value: object, field: str, *, positive: bool = False) -> float:
    """A finite number, not negative."""
    wrong = isinstance(value, bool) or not isinstance(value, int | float)
    if wrong or not 0 <= cast("float", value) < _INFINITY or (positive and value == 0):
        raise fail(
            field,
            f"must be a {'positive ' if positive else ''}number{'' if positive else ', 0 or more'}, got {shown(value)}",
        )
    return float(cast("float", value))


@contextmanager
def sensible() -> Generator[None]:
    """Around the reading of a configuration: what nobody foresaw is a ConfigError too."""
    try:
        yield
    except TurnoutError:
        raise
    except Exception as error:
        raise ConfigError(f"the configuration makes no sense ({type(error).__name__})") from error


def resolved(value: Any, field: str, env: Mapping[str, str], depth: int = 0) -> Any:
    """The value with `os.environ/NAME` and `${NAME}` replaced, at any depth that makes sense."""
    if depth > _DEEPEST:
        raise fail(field[:_LONGEST], "is nested too deeply, or holds itself")
    if isinstance(value, str):
        match = _REFERENCE.match(value)
        if match is None:
            return value
        name = match["plain"] or match["braced"]
        if not env.get(name):
            raise fail(
                field, f"the environment variable {name} is not set (or empty); set it, or give the value itself"
            )
        return env[name]
    if isinstance(value, Mapping):
        fields = cast("Mapping[str, Any]", value)
        return {key: resolved(inner, f"{field}.{key}", env, depth + 1) for key, inner in fields.items()}
    if isinstance(value, list):
        items = cast("list[Any]", value)
        return [resolved(inner, f"{field}[{index}]", env, depth + 1) for index, inner in enumerate(items)]
    return value
