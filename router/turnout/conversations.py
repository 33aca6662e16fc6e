"""`router.conversations`: conversations that live here, on no provider's account, and so on any of them."""

from collections.abc import Mapping, Sequence
from typing import Any

from turnout.continuity.talks import Talks
from turnout.engine.port import IO, run_without_loop
from turnout.errors import ConfigError
from turnout_adapters.types import Conversation, DeletedConversation, ItemList

Items = Sequence[Any]
Metadata = Mapping[str, str]


class Conversations:
    """Creates, reads and deletes conversations; a call takes part in one by `conversation=` its id.

    A conversation's history is kept in the transcript store and sent whole with every call, so each turn may be served
    by another provider. All ids are the caller's `tenant`'s own. Methods raise NotFoundError for an id that is not
    theirs, BadRequestError for bad items or metadata, PinnedUnavailable if the store cannot be reached. Those with an
    `a` in front have a twin that needs no event loop.
    """

    def __init__(self, talks: Talks | None, looping: IO, blocking: IO) -> None:
        self._kept = talks
        self._looping = looping
        self._blocking = blocking

    @property
    def _talks(self) -> Talks:
        if self._kept is None:
            raise ConfigError("conversations are kept in transcripts: leave transcripts=False out", param="transcripts")
        return self._kept

    async def acreate(
        self, *, items: Items | None = None, metadata: Metadata | None = None, tenant: str = ""
    ) -> Conversation:
        """A new conversation, with up to 20 items that were said before and 16 pairs of metadata."""
        return await self._talks.create(self._looping, tenant, items, metadata)

    def create(self, *, items: Items | None = None, metadata: Metadata | None = None, tenant: str = "") -> Conversation:
        """Sync twin of `acreate`."""
        return run_without_loop(self._talks.create(self._blocking, tenant, items, metadata))

    async def aget(self, conversation_id: str, *, tenant: str = "") -> Conversation:
        """The record of a conversation."""
        return await self._talks.get(self._looping, tenant, conversation_id)

    def get(self, conversation_id: str, *, tenant: str = "") -> Conversation:
        """Sync twin of `aget`."""
        return run_without_loop(self._talks.get(self._blocking, tenant, conversation_id))

    async def aupdate(self, conversation_id: str, *, metadata: Metadata, tenant: str = "") -> Conversation:
        """Replaces the metadata."""
        return await self._talks.update(self._looping, tenant, conversation_id, metadata)

    def update(self, conversation_id: str, *, metadata: Metadata, tenant: str = "") -> Conversation:
        """Sync twin of `aupdate`."""
        return run_without_loop(self._talks.update(self._blocking, tenant, conversation_id, metadata))

    async def adelete(self, conversation_id: str, *, items: bool = False, tenant: str = "") -> DeletedConversation:
        """Deletes a conversation; with `items`, what was said in it too, else its responses stay readable by id."""
        return await self._talks.delete(self._looping, tenant, conversation_id, items=items)

    def delete(self, conversation_id: str, *, items: bool = False, tenant: str = "") -> DeletedConversation:
        """Sync twin of `adelete`."""
        return run_without_loop(self._talks.delete(self._blocking, tenant, conversation_id, items=items))

    async def alist_items(self, conversation_id: str, *, tenant: str = "", **query: Any) -> ItemList:
        """What was said, a page of it (`limit` 1 to 100, default 20; `order` asc or desc, the default; `after`)."""
        return await self._talks.items(self._looping, tenant, conversation_id, query)

    def list_items(self, conversation_id: str, *, tenant: str = "", **query: Any) -> ItemList:
        """Sync twin of `alist_items`."""
        return run_without_loop(self._talks.items(self._blocking, tenant, conversation_id, query))

    async def aadd_items(self, conversation_id: str, items: Items, *, tenant: str = "") -> ItemList:
        """Adds up to 20 items at the end, without a call."""
        return await self._talks.add(self._looping, tenant, conversation_id, items)

    def add_items(self, conversation_id: str, items: Items, *, tenant: str = "") -> ItemList:
        """Sync twin of `aadd_items`."""
        return run_without_loop(self._talks.add(self._blocking, tenant, conversation_id, items))
