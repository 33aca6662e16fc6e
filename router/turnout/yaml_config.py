"""Reads LiteLLM's config.yaml."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import yaml

from turnout.errors import ConfigError

_MOST_NODES = 1_000_000


class _Loader(yaml.SafeLoader):
    """YAML whose only booleans are true and false: a region called `no` stays a region."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
for _first, _word in (("t", "true"), ("T", "True"), ("f", "false"), ("F", "False")):
    _Loader.add_implicit_resolver(  # pyright: ignore[reportUnknownMemberType]
        "tag:yaml.org,2002:bool", re.compile(f"^{_word}$"), [_first]
    )


def read_yaml(path: Path) -> object:
    """What a YAML file holds. Raises ConfigError if it cannot be read, or stands for more than anybody could mean."""
    try:
        loader = _Loader(path.read_text(encoding="utf-8"))
        node: yaml.Node | None = loader.get_single_node()  # pyright: ignore[reportUnknownMemberType]
        if node is None:
            return None
        if _expanded(node, {}) > _MOST_NODES:
            raise ConfigError(f"{path}: its aliases stand for more than {_MOST_NODES} values")
        return cast("object", loader.construct_document(node))  # pyright: ignore[reportUnknownMemberType]
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from None
    except yaml.YAMLError as error:
        problem = _where(error)
    except RecursionError:
        problem = "it is nested too deeply, or an anchor holds itself"
    except (ValueError, OverflowError) as error:
        problem = f"it holds a number or a date that there is not ({type(error).__name__})"
    raise ConfigError(f"{path}: not valid YAML: {problem}")  # not from the error, which holds the line


def _expanded(node: yaml.Node, known: dict[int, int]) -> int:
    """How many values a node stands for, every alias counted as what it names. RecursionError if it holds itself."""
    found = known.get(id(node))
    if found is None:
        value: Any = node.value
        inner: list[yaml.Node] = []
        if isinstance(node, yaml.MappingNode):
            inner = [one for pair in value for one in pair]
        elif isinstance(node, yaml.SequenceNode):
            inner = list(value)
        found = known[id(node)] = 1 + sum(_expanded(one, known) for one in inner)
    return found


def _where(error: yaml.YAMLError) -> str:
    """What is wrong, and where, without the line itself: it may hold a key."""
    mark, problem = getattr(error, "problem_mark", None), getattr(error, "problem", None)
    place = "" if mark is None else f" in line {mark.line + 1}, column {mark.column + 1}"
    return f"{problem or type(error).__name__}{place}"


def read_config(path: Path) -> tuple[list[Mapping[str, Any]], dict[str, Any]]:
    """The rows and the router settings (and `drop_params` of `litellm_settings`).

    Raises ConfigError for a file that is not such a configuration.
    """
    document = read_yaml(path)
    if not isinstance(document, Mapping):
        raise ConfigError(f"{path}: must be a mapping with model_list")
    found = cast("Mapping[str, Any]", document)
    settings: object = found.get("router_settings") or {}
    if not isinstance(settings, Mapping):
        raise ConfigError(f"{path}: router_settings must be a mapping")
    general: object = found.get("litellm_settings")
    if isinstance(general, Mapping) and "drop_params" in general:
        settings = {
            "drop_params": cast("Mapping[str, Any]", general)["drop_params"],
            **cast("Mapping[str, Any]", settings),
        }
    rows: object = found.get("model_list") or []
    if not isinstance(rows, list):
        raise ConfigError(f"{path}: model_list must be a list of rows")
    return cast("list[Mapping[str, Any]]", rows), dict(cast("Mapping[str, Any]", settings))
