"""Conversations that are kept here: a name for a chain of turns that grows with every call that names it."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, cast

from turnout.continuity.affinity import Continuity, plain
from turnout.continuity.kept import page, with_ids
from turnout.continuity.transcripts import Transcripts
from turnout.continuity.turns import Talk, conversation_key, pack_talk, turn_key
from turnout.engine.port import IO
from turnout.errors import BadRequestError
from turnout_adapters.types import Conversation, DeletedConversation, ItemList

_MOST_METADATA, _LONGEST_KEY, _LONGEST_VALUE = 16, 64, 512
"""OpenAI's bounds: pairs, and characters of a key and of a value."""
_MOST_ITEMS = 20
"""Items that one request may put into a conversation, as OpenAI has it."""


class Talks:
    """What can be done with a conversation besides calling a model in it. Raises NotFoundError for an unknown one."""

    def __init__(self, transcripts: Transcripts, continuity: Continuity) -> None:
        self._transcripts = transcripts
        self._continuity = continuity

    async def create(self, io: IO, tenant: str, items: object, metadata: object) -> Conversation:
        """A new conversation, with items that were said before."""
        listed = _items(items) if items is not None else []
        talk = Talk(f"conv_{io.nonce()}", int(io.unix()), metadata=_metadata(metadata))
        await self._transcripts.shelf.write({conversation_key(tenant, talk.id): pack_talk(talk)}, io)
        if listed:
            await self._add(io, tenant, talk.id, listed)
        return self._shown(talk, tenant)

    async def get(self, io: IO, tenant: str, token: str) -> Conversation:
        """The conversation's record."""
        own = self._continuity.conversation(token, tenant)
        return self._shown(await self._transcripts.talk(tenant, own, io), tenant)

    async def update(self, io: IO, tenant: str, token: str, metadata: object) -> Conversation:
        """Replaces its metadata."""
        changed = _metadata(metadata)
        own = self._continuity.conversation(token, tenant)
        talk = await self._transcripts.change(tenant, own, lambda talk: replace(talk, metadata=changed), io)
        return self._shown(talk, tenant)

    async def delete(self, io: IO, tenant: str, token: str, *, items: bool) -> DeletedConversation:
        """Deletes it. Its responses stay readable by their own ids, unless `items` says they go too."""
        own = self._continuity.conversation(token, tenant)
        talk = await self._transcripts.talk(tenant, own, io)
        keys = [conversation_key(tenant, own)]
        if items and talk.head is not None:
            keys += [key for key, _ in await self._transcripts.linked(talk.head, io, holes=True) or ()]
        await self._transcripts.erase(keys, io)
        return DeletedConversation(id=token)

    async def items(self, io: IO, tenant: str, token: str, query: Mapping[str, Any]) -> ItemList:
        """What was said in it, a page of it."""
        own = self._continuity.conversation(token, tenant)
        talk = await self._transcripts.talk(tenant, own, io)
        said: list[Any] = []
        for key, turn in reversed(await self._transcripts.said(talk, io)):
            said += [*with_ids(turn.given, key), *turn.output]
        return page(said, query)

    async def add(self, io: IO, tenant: str, token: str, items: object) -> ItemList:
        """Adds items at its end."""
        own, listed = self._continuity.conversation(token, tenant), _items(items)
        await self._transcripts.talk(tenant, own, io)
        key = await self._add(io, tenant, own, listed)
        return page(with_ids(listed, key), {"order": "asc", "limit": 100})

    async def _add(self, io: IO, tenant: str, own: str, items: Sequence[Any]) -> str:
        key = turn_key(tenant, b"items", io.nonce())
        await self._transcripts.add(tenant, own, key, items, io)
        return key

    def _shown(self, talk: Talk, tenant: str) -> Conversation:
        token = self._continuity.conversation_id(talk.id, tenant)
        return Conversation(id=token, created_at=talk.created_at, metadata=dict(talk.metadata))


def _items(given: object) -> list[Any]:
    listed = cast("Sequence[Any]", given) if isinstance(given, list | tuple) else None
    if listed is None or not 1 <= len(listed) <= _MOST_ITEMS:
        raise BadRequestError(f"items must be a list of 1 to {_MOST_ITEMS} items", param="items")
    found = [plain(item) for item in listed]
    for index, item in enumerate(found):
        if not isinstance(item, Mapping):
            raise BadRequestError(f"items[{index}] must be an object", param=f"items[{index}]")
    return found


def _metadata(given: object) -> dict[str, str]:
    if given is None:
        return {}
    pairs = cast("Mapping[object, object]", given) if isinstance(given, Mapping) else None
    if pairs is None or len(pairs) > _MOST_METADATA:
        raise BadRequestError(f"metadata must be an object of up to {_MOST_METADATA} strings", param="metadata")
    found: dict[str, str] = {}
    for name, value in pairs.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise BadRequestError("metadata: keys and values must be strings", param="metadata")
        if len(name) > _LONGEST_KEY or len(value) > _LONGEST_VALUE:
            bounds = f"{_LONGEST_KEY} and {_LONGEST_VALUE} characters"
            raise BadRequestError(f"metadata: a key and a value may have {bounds}", param="metadata")
        found[name] = value
    return found
