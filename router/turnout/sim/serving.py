"""Carries out what a service plans, by the clock of the running event loop, virtual or real."""

import asyncio
from collections.abc import Mapping
from typing import Any, cast

from turnout.sim.faults import Fault, error_body
from turnout.sim.service import Plan, Service, Size
from turnout.sim.slots import Place

_CHARS_PER_TOKEN = 4


class Serving:
    """One request that is being worked on, from its place in the region's line to its end."""

    __slots__ = ("_begun", "_place", "_service")

    def __init__(self, service: Service) -> None:
        self._service = service
        """Who works on it; another than asked, if the plan says so."""
        self._place: Place | None = None
        self._begun = False

    async def begin(self, plan: Plan) -> None:
        """Waits until it is this request's turn. `end` must follow, whatever happens."""
        self._service = plan.server or self._service
        slots = self._service.slots
        if plan.queued and slots is not None:
            turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._place = slots.enter(lambda: None if turn.done() else turn.set_result(None))
            await turn
        self._begun = True
        self._service.under_way += 1

    def end(self) -> None:
        """Done, broken off or given up; more than once does no harm."""
        if self._begun:
            self._begun = False
            self._service.under_way -= 1
        if self._place is not None and self._service.slots is not None:
            self._service.slots.leave(self._place)
            self._place = None


def size_of(body: Mapping[str, Any], words: int) -> Size:
    """How large a request is: four characters a token, and the answer's words as its metadata or the region says."""
    metadata = cast("Mapping[str, Any]", body.get("metadata") or {})
    prompt = 0
    for name in ("input", "instructions", "messages", "contents", "system", "systemInstruction", "prompt"):
        value = body.get(name)
        prompt += len(value) if isinstance(value, str) else 0 if value is None else len(str(value))
    reserved = body.get("max_output_tokens") or body.get("max_tokens") or body.get("max_completion_tokens")
    output = int(metadata.get("words", words))
    return Size(
        prompt // _CHARS_PER_TOKEN + 1,
        output,
        int(reserved) if isinstance(reserved, int) else None,
        metadata.get("prefix"),
    )


def refusal_of(plan: Plan) -> Fault:
    """The planned refusal as a fault, which each provider's fake says in its own form."""
    told = {
        401: ("Incorrect API key provided", "invalid_request_error"),
        429: ("Rate limit reached", "requests"),
        500: ("The server had an error", "server_error"),
        503: ("The service is temporarily unavailable", "server_error"),
        529: ("Overloaded", "overloaded_error"),
    }
    message, kind = told[plan.status]
    body = error_body(message, kind, plan.code)
    return Fault("status", plan.status, body, plan.headers, retry_after=plan.retry_after)
