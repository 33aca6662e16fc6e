"""Wraps the ids on what goes out, and sets what only we know."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from turnout_adapters.types import Result, StreamEvent

PRIVATE_ITEMS = ("reasoning", "compaction")
"""Items that only their account can read."""


@dataclass(slots=True)
class Sealer:
    """Wraps ids on results and events."""

    wrap: Callable[[str], str]
    wrap_item: Callable[[str], str]
    remember: Callable[[str], None]
    own_items: bool = True
    """Items that only their account can read get an id of ours too."""
    stamps: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Fields of the response that only we know."""
    wrapped: dict[str, str] = field(default_factory=dict[str, str])
    """Ids of such items so far, by the provider's: the events inside an item name it too."""

    def result(self, result: Result) -> None:
        """Wraps every id of ours on a complete result."""
        fields: Any = result
        if isinstance(getattr(result, "id", None), str) and getattr(result, "object", None) != "response.input_tokens":
            upstream = fields.id
            if getattr(result, "object", "response") == "response" and upstream:
                self.remember(upstream)
            if upstream:
                fields.id = self.wrap(upstream)
        if getattr(result, "previous_response_id", None):
            fields.previous_response_id = self.wrap(fields.previous_response_id)
        for name, value in self.stamps.items():
            setattr(fields, name, value)
        for item in [*(getattr(result, "output", None) or ()), *(getattr(result, "data", None) or ())]:
            self.item(item)
        for name in ("first_id", "last_id"):
            if getattr(result, name, None) in self.wrapped:
                setattr(fields, name, self.wrapped[getattr(result, name)])

    def item(self, item: Any) -> None:
        """Wraps the id of an item that only its account can read."""
        if (
            self.own_items
            and getattr(item, "type", None) in PRIVATE_ITEMS
            and isinstance(getattr(item, "id", None), str)
            and item.id
        ):
            upstream = item.id
            item.id = self.wrapped[upstream] = self.wrap_item(upstream)

    def event(self, event: StreamEvent) -> None:
        """Wraps the ids on one event, the same way as on the complete result."""
        fields: Any = event
        response = getattr(event, "response", None)
        if response is not None:
            self.result(response)
            return
        item = getattr(event, "item", None)
        if item is not None:
            self.item(item)
        elif self.own_items and isinstance(getattr(event, "item_id", None), str):
            if fields.item_id in self.wrapped:
                fields.item_id = self.wrapped[fields.item_id]
            elif event.type.startswith("response.reasoning"):
                fields.item_id = self.wrap_item(fields.item_id)
