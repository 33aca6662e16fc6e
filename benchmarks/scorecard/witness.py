"""A virtual network that sees every request, and judges by itself what it sees: no word of the Router is believed."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from turnout import Router
from turnout.engine.port import Opened
from turnout.sim.network import VirtualNetwork
from turnout.sim.plain_region import PlainRegion
from turnout.sim.service import Service, ServiceModel
from turnout_adapters.adapter import HTTPReply, HTTPRequest

GROUP = "gpt"
Json = dict[str, Any]


class Witness(VirtualNetwork):
    """Counts requests by the number in their metadata, and those that name what their region's account never said."""

    def __init__(self, regions: Sequence[PlainRegion]) -> None:
        super().__init__(regions)
        self.plain = {region.name: region for region in regions}
        self.requests = 0
        self.misrouted = 0
        """Requests with a response id that the region's account did not give out."""
        self.refusals: Counter[int] = Counter()
        """Answers other than 200, by status."""
        self.sent: Counter[str] = Counter()
        """Requests of a call."""
        self.shown: set[str] = set()
        """Calls whose stream has begun."""
        self.charged = 0
        """Tokens of the streams that began, with all of their output."""
        self.resent = 0
        """Requests of calls whose stream had begun already."""

    async def send(self, request: HTTPRequest) -> HTTPReply:
        """See `VirtualNetwork`."""
        self._see(request)
        reply = await super().send(request)
        self.refusals.update([reply.status] if reply.status != 200 else [])
        return reply

    async def open(self, request: HTTPRequest) -> Opened:
        """See `VirtualNetwork`."""
        call = self._see(request)
        opened = await super().open(request)
        if opened.status == 200:
            size = self._region(request).size(json.loads(request.body))
            self.charged += size.prompt_tokens + size.output_tokens
            self.shown.add(call)
        else:
            self.refusals[opened.status] += 1
        return opened

    def left_under_way(self) -> int:
        """Requests that some region still works on, or has in line."""
        left = 0
        for region in self.plain.values():
            left += region.in_flight
            if region.service is not None:
                left += region.service.under_way
                slots = region.service.slots
                left += 0 if slots is None else slots.working + len(slots.waiting)
        return left

    def _see(self, request: HTTPRequest) -> str:
        self.requests += 1
        body: Json = json.loads(request.body) if request.body else {}
        previous = body.get("previous_response_id")
        if previous is not None and previous not in self.plain[self._region(request).name].turns:
            self.misrouted += 1
        call = str((body.get("metadata") or {}).get("call", ""))
        if call:
            self.sent[call] += 1
            self.resent += call in self.shown
        return call


def region(name: str, model: ServiceModel, *, seed: int = 0, account: PlainRegion | None = None) -> PlainRegion:
    """A region; with `account`, a second deployment on the account of another: it knows what that one said."""
    made = PlainRegion(Service(name, model, seed=seed), seed=seed)
    if account is not None:
        made.turns = account.turns
    return made


def row(name: str, account: str | None = None, group: str = GROUP, **params: Any) -> Json:
    """A row of model_list for a region, on an account of its own unless another is named."""
    base = f"https://{account or name}.openai.azure.com"
    return {
        "model_name": group,
        "litellm_params": {"model": "azure/gpt-5", "api_key": "k", "api_base": base, **params},
        "model_info": {"id": name},
    }


def held_by(router: Router) -> int:
    """What a Router still holds when nobody calls: places on deployments, probes, and places in its queues."""
    fleet = router._fleet
    fleet.catch_up()  # with what finalizers left
    held = sum(one.in_flight + one.health.probing for one in fleet.deployments.values())
    return held + sum(lines_of(router)) + sum(map(len, fleet._queues._watchers.values()))


def lines_of(router: Router) -> list[int]:
    """How many calls wait in each of a Router's queues."""
    return [len(line) for line in router._fleet._queues.waiting.values()]


def other_tasks() -> int:
    """Tasks of the running event loop besides the current one."""
    return len(asyncio.all_tasks() - {asyncio.current_task()})


async def last_event(stream: Any) -> tuple[Any, str, int]:
    """Reads a stream to its end: the last event's response, the text that came before, and how many ends it had."""
    text, ends, response = "", 0, None
    async for event in stream:
        if event.type == "response.output_text.delta":
            text += event.delta
        if event.type in ("response.completed", "response.failed", "response.incomplete"):
            ends += 1
            response = event.response
    return response, text, ends


def text_of(response: Any) -> str:
    """What a response says, also one that failed."""
    parts: Iterable[Any] = (part for item in response.output or () for part in getattr(item, "content", None) or ())
    return "".join(part.text for part in parts)
