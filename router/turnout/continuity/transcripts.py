"""Transcripts: what was said, kept here, so that a conversation does not end with the account that held it.

On wires whose providers keep no responses the transcript is the conversation: it gives `previous_response_id`, `store`
and `conversation` their meaning. Elsewhere it is a second copy, for the day the account cannot be reached.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from math import inf
from types import MappingProxyType
from typing import Any

from cachetools import LRUCache

from turnout.context import Call, Draft
from turnout.continuity.affinity import Continuity, plain
from turnout.continuity.history import history, hosted_state
from turnout.continuity.shelf import UNREACHABLE, Shelf
from turnout.continuity.turns import PATH, Talk, Turn, conversation_key, items_of, pack, pack_talk, unpack, unpack_talk
from turnout.deployment import Deployment
from turnout.engine.leases import Lease
from turnout.engine.port import IO
from turnout.errors import BadRequestError, NotFoundError, PinnedUnavailable, unknown_conversation, unknown_response
from turnout.policies import TranscriptPolicy
from turnout_adapters.forks import Guard
from turnout_adapters.types import Response

_KNOWN_PATHS = 10_000
_SWAPS = 8
"""Times that adding to a conversation is tried while others add to it too."""
REPLAYED = "the account that held the conversation was not available; it was continued from its transcript"
_NO_STAMPS: Mapping[str, Any] = MappingProxyType({})
_UNREADABLE = "an earlier response of this conversation was deleted, has expired, or was not kept"
_PREVIOUS = "previous_response_id"


class Transcripts:
    """Reads and writes the turns of one Router's conversations."""

    def __init__(self, shelf: Shelf, continuity: Continuity, policy: TranscriptPolicy) -> None:
        self.shelf = shelf
        self._continuity = continuity
        self._policy = policy
        self._paths: LRUCache[str, tuple[str, ...]] = LRUCache(_KNOWN_PATHS)
        self._lock = Guard()

    # --- reading

    async def turn(self, key: str, io: IO, until: float = inf, *, recent: bool = False) -> Turn | None:
        """One turn, None if it is not known (any more)."""
        value = (await self.shelf.read([key], io, until, recent=recent))[0]
        return None if value is None else unpack(value)

    async def chain(self, key: str, io: IO, until: float = inf) -> list[Turn] | None:
        """A turn and all before it, oldest first; None if the turn itself is not known.

        Raises NotFoundError if one of those before it is gone: a history with a hole is another history.
        """
        linked = await self.linked(key, io, until)
        return None if linked is None else [turn for _, turn in reversed(linked)]

    async def linked(
        self, key: str, io: IO, until: float = inf, *, holes: bool = False
    ) -> list[tuple[str, Turn]] | None:
        """As `chain`, newest first, with keys. With `holes` what is gone is left out."""
        found: list[tuple[str, Turn]] = []
        wanted: Sequence[str] = [key]
        seen = {key}
        while wanted:
            last = len(found)
            for one, value in zip(wanted, await self.shelf.read(wanted, io, until, recent=not found), strict=True):
                turn = None if value is None else unpack(value)
                if turn is not None:
                    found.append((one, turn))
            if not found or found[0][0] != key:
                return None
            if len(found) < len(seen) and not holes:
                raise NotFoundError(_UNREADABLE, code="previous_response_not_found", param=_PREVIOUS)
            wanted = [one for one in found[-1][1].path if one not in seen] if len(found) > last else ()
            seen.update(wanted)
        self._remember(key, found[0][1].path)
        return found

    async def expand(self, call: Call, io: IO) -> Call:
        """The call with its whole history as its input, if no account holds that history."""
        draft = call.draft
        if draft is None or not draft.expand:
            return call
        if draft.conversation is not None:
            talk = await self.talk(call.tenant, draft.conversation, io)
            if not self.shelf.reachable:
                raise PinnedUnavailable(UNREACHABLE, retry_after=1.0)
            turns = [turn for _, turn in reversed(await self.said(talk, io))]
            return self._with_history(call, draft._replace(parent=talk.head), turns)
        turns = [] if draft.parent is None else await self.chain(draft.parent, io, call.deadline)
        if turns is None:
            raise unknown_response(_PREVIOUS)
        return self._with_history(call, draft, turns)

    async def replay(self, call: Call, io: IO) -> Call | None:
        """The call as another account can take it; None if there is no transcript of its conversation.

        Raises PinnedUnavailable, naming it, if something in the conversation cannot leave its account.
        """
        draft = call.draft
        if draft is not None and draft.own is not None:
            turn = await self.turn(draft.own, io, call.deadline)
            return call if turn is not None and turn.finished and not call.stream else None
        if draft is None or draft.parent is None:
            return None
        turns = await self.chain(draft.parent, io, call.deadline)
        if turns is None:
            return None
        moved = self._with_history(call, draft, turns)
        hosted = hosted_state(moved.body, moved.body["input"])
        if hosted:
            named = ", ".join(hosted[:5])
            text = f"the account that holds this conversation is not available, and only there is {named}"
            raise PinnedUnavailable(text, hosted=hosted)
        return replace(moved, pin=None, prefer=None, home=None, replayed=True, notes=(*moved.notes, REPLAYED))

    def _with_history(self, call: Call, draft: Draft, turns: Sequence[Turn]) -> Call:
        if not all(turn.finished for turn in turns):
            raise BadRequestError("the previous response is not finished yet", param=_PREVIOUS)
        past = history([*turns, Turn(given=[plain(item) for item in items_of(draft.given)])])
        items, owners = self._continuity.adopt(past.items, past.domains, call.tenant)
        body = {name: value for name, value in call.body.items() if name != _PREVIOUS}
        body["input"] = items
        path = draft.path
        if draft.parent is not None:
            path = (draft.parent, *(turns[-1].path if turns else ()))[:PATH]
        if draft.conversation is not None and turns:
            call = replace(call, home=turns[-1].domain or None, prefer=turns[-1].deployment or None)
        return replace(
            call,
            body=body,
            owners=owners,
            notes=(*call.notes, *past.notes),
            draft=draft._replace(path=path, expand=True),
        )

    # --- writing

    def keeps(self, call: Call, deployment: Deployment) -> bool:
        """True if this call's answer is to be kept."""
        draft = call.draft
        if draft is None or not draft.keep or call.operation != "create":
            return False
        if draft.conversation is None and _store_of(call, deployment) is False:
            return False
        return self._policy.every or draft.conversation is not None or not is_native(call, deployment)

    async def keep(self, call: Call, lease: Lease, io: IO, response: Response) -> None:
        """Keeps an answer and what led to it. The response says `store: false` if it is too large to be kept."""
        draft = call.draft
        if draft is None or response.status == "failed":
            return
        key = self._continuity.key_of(response.id, call.tenant)
        if key is None:
            return
        deployment = lease.deployment
        turn = Turn(
            path=self._path(draft),
            given=[plain(item) for item in items_of(draft.given)],
            response=response.to_dict(),
            domain=deployment.domain,
            deployment=deployment.id,
            model_group=deployment.spec.model_group,
            native=is_native(call, deployment),
        )
        packed = pack(turn)
        if len(packed) > self._policy.max_turn_bytes:
            why = f"with its input it has {len(packed)} bytes, max_turn_bytes is {self._policy.max_turn_bytes}"
            if draft.conversation is not None:
                raise BadRequestError(f"the response cannot be added to the conversation: {why}", param="conversation")
            if not turn.native:
                response.store = False  # pyright: ignore[reportAttributeAccessIssue] (an open field)
            lease.warnings += (f"the response was not kept: {why}",)
            return
        await self.shelf.write({key: packed}, io, turn.path)
        self._remember(key, turn.path)
        if draft.conversation is not None:
            await self._append(call.tenant, draft.conversation, key, turn, io)

    def follows(self, call: Call) -> bool:
        """True if a retrieved response may be the end of one that was kept when it was not finished."""
        return self._policy.every and call.operation == "retrieve" and call.draft is not None

    async def finish(self, call: Call, io: IO, response: Response) -> None:
        """A background response was retrieved: its turn gets the output, if it is finished now."""
        draft = call.draft
        if draft is None or draft.own is None or response.status not in ("completed", "incomplete"):
            return
        value = (await self.shelf.read([draft.own], io))[0]
        turn = None if value is None else unpack(value)
        if turn is None or turn.finished:
            return
        packed = pack(replace(turn, response=response.to_dict()))
        if len(packed) <= self._policy.max_turn_bytes:
            with suppress(PinnedUnavailable):
                await self.shelf.swap(draft.own, value, packed, io)

    async def erase_copy(self, key: str, io: IO) -> None:
        """Deletes our copy of a response that its account is about to delete.

        Where copies are the exception, a shared store that is away is told when it is back, and holds nothing up.
        """
        try:
            await self.erase([key], io)
        except PinnedUnavailable:
            if self._policy.every:
                raise

    async def erase(self, keys: Sequence[str], io: IO) -> None:
        """Deletes turns for good."""
        await self.shelf.erase(keys, io)
        with self._lock():
            for key in keys:
                self._paths.pop(key, None)

    def _path(self, draft: Draft) -> tuple[str, ...]:
        """The nearest turns before, as far as they are known without reading."""
        if draft.path or draft.parent is None:
            return draft.path
        with self._lock():
            known = self._paths.get(draft.parent, ())
        return (draft.parent, *known)[:PATH]

    def _remember(self, key: str, path: tuple[str, ...]) -> None:
        with self._lock():
            self._paths[key] = path

    # --- conversations

    async def said(self, talk: Talk, io: IO) -> list[tuple[str, Turn]]:
        """All turns of a conversation, newest first, with keys. Raises NotFoundError if one of them is gone."""
        linked = [] if talk.head is None else await self.linked(talk.head, io)
        if linked is None:
            raise NotFoundError(_UNREADABLE, code="previous_response_not_found", param="conversation")
        return linked

    async def talk(self, tenant: str, conversation_id: str, io: IO) -> Talk:
        """A conversation. Raises NotFoundError."""
        value = (await self.shelf.read([conversation_key(tenant, conversation_id)], io))[0]
        talk = None if value is None else unpack_talk(value)
        if talk is None:
            raise unknown_conversation()
        return talk

    async def change(self, tenant: str, conversation_id: str, to: Callable[[Talk], Talk], io: IO) -> Talk:
        """Changes a conversation's record, whoever else changes it. Raises NotFoundError, PinnedUnavailable."""
        record = conversation_key(tenant, conversation_id)
        for _ in range(_SWAPS):
            talk = await self.talk(tenant, conversation_id, io)
            changed = to(talk)
            if await self.shelf.swap(record, pack_talk(talk), pack_talk(changed), io):
                return changed
        raise PinnedUnavailable("too many calls change this conversation at once", retry_after=1.0)

    async def _append(self, tenant: str, conversation_id: str, key: str, turn: Turn, io: IO) -> None:
        """Makes a turn the conversation's last. One that another call put there meanwhile comes before it."""
        record = conversation_key(tenant, conversation_id)
        for _ in range(_SWAPS):
            talk = await self.talk(tenant, conversation_id, io)
            if talk.head == key:
                return
            if talk.head != turn.parent:
                before = None if talk.head is None else await self.turn(talk.head, io)
                known = () if before is None else before.path
                path = () if talk.head is None else (talk.head, *known)[:PATH]
                turn = replace(turn, path=path)
                await self.shelf.write({key: pack(turn)}, io, path)
                self._remember(key, path)
            if await self.shelf.swap(record, pack_talk(talk), pack_talk(replace(talk, head=key)), io):
                return
        raise PinnedUnavailable("too many calls add to this conversation at once", retry_after=1.0)

    async def add(self, tenant: str, conversation_id: str, key: str, items: Sequence[Any], io: IO) -> None:
        """Puts items into a conversation, without a call."""
        talk = await self.talk(tenant, conversation_id, io)
        turn = Turn(path=() if talk.head is None else (talk.head,), given=[plain(item) for item in items])
        packed = pack(turn)
        if len(packed) > self._policy.max_turn_bytes:
            most = self._policy.max_turn_bytes
            raise BadRequestError(f"the items have {len(packed)} bytes, max_turn_bytes is {most}", param="items")
        await self.shelf.write({key: packed}, io, turn.path)
        await self._append(tenant, conversation_id, key, turn, io)


def _store_of(call: Call, deployment: Deployment) -> object:
    """`store` as it is asked of the deployment: by the caller, else by its row."""
    spec = deployment.spec
    for fields in (call.extra_body, spec.extra_body, call.body, spec.defaults):
        if "store" in fields:
            return fields["store"]
    return None


def is_native(call: Call, deployment: Deployment) -> bool:
    """True if the deployment's provider keeps responses itself."""
    wire = call.wire or deployment.spec.adapter.wire
    return wire == "openai-responses"


def stamp(call: Call, deployment: Deployment, *, kept: bool) -> Mapping[str, Any]:
    """Fields of a response that the provider could not know: it was not told of the turn before, or keeps nothing."""
    draft = call.draft
    if draft is None or not (kept or draft.expand):
        return _NO_STAMPS
    fields: dict[str, Any] = {}
    if draft.expand and draft.previous_id is not None:
        fields["previous_response_id"] = draft.previous_id
    if draft.conversation is not None:
        fields["conversation"] = {"id": draft.conversation_id}
    if kept and not is_native(call, deployment):
        fields["store"] = True
    return fields
