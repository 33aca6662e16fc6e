"""Wraps the ids on what goes out, and sets what only we know."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from turnout_adapters.types import CompactedResponse, DeletedResponse, ItemList, Response, Result, StreamEvent

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
        if isinstance(result, Response):
            self._response(result)
        elif isinstance(result, ItemList):
            self._list(result)
        elif isinstance(result, CompactedResponse | DeletedResponse) and result.id:
            result.id = self.wrap(result.id)
            for item in result.output if isinstance(result, CompactedResponse) else ():
                self.item(item)

    def _response(self, response: Response) -> None:
        if response.id:
            self.remember(response.id)
            response.id = self.wrap(response.id)
        if response.previous_response_id:
            response.previous_response_id = self.wrap(response.previous_response_id)
        for name, value in self.stamps.items():
            setattr(response, name, value)
        for item in response.output:
            self.item(item)

    def _list(self, items: ItemList) -> None:
        for item in items.data:
            self.item(item)
        if (items.first_id or "") in self.wrapped:
            items.first_id = self.wrapped[items.first_id or ""]
        if (items.last_id or "") in self.wrapped:
            items.last_id = self.wrapped[items.last_id or ""]

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
