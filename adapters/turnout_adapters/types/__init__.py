"""Responses data types. Names are loaded when first used: the pydantic models cost time to build."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from turnout_adapters.types.route import Affinity, Attempt, Outcome, Route

if TYPE_CHECKING:
    from turnout_adapters.types.base import Open, Result
    from turnout_adapters.types.events import (
        PREAMBLE_EVENTS,
        SHAPES,
        TERMINAL_EVENTS,
        ErrorEvent,
        StreamEvent,
        parse_event,
    )
    from turnout_adapters.types.items import Item
    from turnout_adapters.types.response import (
        CompactedResponse,
        Conversation,
        DeletedConversation,
        DeletedResponse,
        InputTokenCount,
        ItemList,
        Response,
        Usage,
    )

_HOMES = {
    "base": ("Open", "Result"),
    "events": ("PREAMBLE_EVENTS", "SHAPES", "TERMINAL_EVENTS", "ErrorEvent", "StreamEvent", "parse_event"),
    "items": ("Item",),
    "response": (
        "CompactedResponse",
        "Conversation",
        "DeletedConversation",
        "DeletedResponse",
        "InputTokenCount",
        "ItemList",
        "Response",
        "Usage",
    ),
}

__all__ = [
    "PREAMBLE_EVENTS",
    "SHAPES",
    "TERMINAL_EVENTS",
    "Affinity",
    "Attempt",
    "CompactedResponse",
    "Conversation",
    "DeletedConversation",
    "DeletedResponse",
    "ErrorEvent",
    "InputTokenCount",
    "Item",
    "ItemList",
    "Open",
    "Outcome",
    "Response",
    "Result",
    "Route",
    "StreamEvent",
    "Usage",
    "parse_event",
]


def __getattr__(name: str) -> Any:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
