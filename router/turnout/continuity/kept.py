"""Operations on responses that only the transcript has, or whose account cannot be reached."""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, cast

from turnout.context import Call
from turnout.continuity.transcripts import Transcripts
from turnout.engine.decide import verdict
from turnout.engine.port import IO
from turnout.errors import APIError, BadRequestError, PinnedUnavailable, TurnoutError, unknown_response
from turnout_adapters.types import DeletedResponse, ItemList, Response, Result
from turnout_adapters.types.route import Affinity, Route

_PAGE, _LARGEST_PAGE = 20, 100
_FROM_TRANSCRIPT = "read from the transcript; no provider was asked"


async def answer(transcripts: Transcripts, call: Call, io: IO, affinity: Affinity = "none") -> Result:
    """The result of an operation on a response that is kept here. Raises NotFoundError, BadRequestError."""
    key = call.draft.own if call.draft is not None else None
    turn = None if key is None else await transcripts.turn(key, io, call.deadline, recent=True)
    if key is None or turn is None or turn.response is None:
        raise unknown_response("response_id")
    if call.operation == "delete":
        await transcripts.erase([key], io)
        result: Result = DeletedResponse(id=turn.response["id"])
    elif call.operation == "input_items":
        result = page(await _input_of(transcripts, key, io), call.body)
    elif call.operation == "cancel":
        raise BadRequestError("only a background response can be cancelled", param="response_id")
    elif call.stream:
        raise BadRequestError("only a background response can be streamed again", param="stream")
    else:
        result = Response.model_validate(turn.response)
    result.about.route = Route(turn.deployment, turn.model_group, affinity=affinity, notes=(_FROM_TRANSCRIPT,))
    return result


async def instead(transcripts: Transcripts, call: Call, error: TurnoutError, io: IO) -> Result | None:
    """What the transcript has for a caller who wants to read from an account that is down; None if it has nothing."""
    down = isinstance(error, PinnedUnavailable)
    if isinstance(error, APIError):
        what = verdict(error)
        down = what.retry and what.outcome != "caller"
    readable = call.operation in ("retrieve", "input_items") and not call.stream
    if not down or not readable or await transcripts.replay(call, io) is None:
        return None
    return await answer(transcripts, call, io, "replayed")


async def turns_before(transcripts: Transcripts, call: Call, io: IO) -> list[Mapping[str, Any]]:
    """The responses that came before one, oldest first, as far back as they are still kept.

    They are to be deleted: what was put between them without a call goes at once, since it has no id to be named by.
    """
    draft = call.draft
    if draft is None or draft.own is None:
        return []
    key = draft.own
    linked = await transcripts.linked(key, io, call.deadline, holes=True)
    if linked is None and draft.expand:
        raise unknown_response("response_id")
    if linked is None:
        return []
    await transcripts.erase([one for one, turn in linked if turn.response is None], io)
    return [turn.response for one, turn in reversed(linked) if turn.response is not None and one != key]


async def _input_of(transcripts: Transcripts, key: str, io: IO) -> list[Any]:
    """The items that led to a response: what was said before, and its own input. As OpenAI lists them."""
    linked = await transcripts.linked(key, io) or []
    items: list[Any] = []
    for own_key, turn in reversed(linked):
        items += with_ids(turn.given, own_key)
        if own_key != key:
            items += turn.output
    return items


def with_ids(items: Sequence[Any], key: str) -> list[Any]:
    """Items with ids: those that were given without one get one that stays the same."""
    listed = [cast("Mapping[str, Any]", item) for item in items if isinstance(item, Mapping)]
    return [
        {"type": "message", **item, "id": item.get("id") or _made_id(key, index)} for index, item in enumerate(listed)
    ]


def _made_id(key: str, index: int) -> str:
    return f"msg_tn_{hashlib.blake2b(f'{key}{index}'.encode(), digest_size=16).hexdigest()}"


def page(items: Sequence[Any], query: Mapping[str, Any]) -> ItemList:
    """A page of a list that is in the order it was said. Raises BadRequestError for a query that makes no sense."""
    limit, order, after = query.get("limit", _PAGE), query.get("order", "desc"), query.get("after")
    if isinstance(limit, bool) or not isinstance(limit, int) or not 1 <= limit <= _LARGEST_PAGE:
        raise BadRequestError(f"limit must be a whole number from 1 to {_LARGEST_PAGE}", param="limit")
    if order not in ("asc", "desc"):
        raise BadRequestError("order must be asc or desc", param="order")
    listed = list(items) if order == "asc" else list(reversed(items))
    if after is not None:
        ids = [item.get("id") for item in listed]
        if after not in ids:
            raise BadRequestError("after must be the id of an item of this list", param="after")
        listed = listed[ids.index(after) + 1 :]
    shown = listed[:limit]
    return ItemList.model_validate(
        {
            "object": "list",
            "data": shown,
            "first_id": shown[0].get("id") if shown else None,
            "last_id": shown[-1].get("id") if shown else None,
            "has_more": len(listed) > limit,
        }
    )
