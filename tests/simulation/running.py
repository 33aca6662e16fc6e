"""Runs a world: the real Router in virtual time, callers, faults and changes, and the invariants over all of it."""

import asyncio
import gc
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.simulation.accounts import Account, AccountRegion
from tests.simulation.facts import Facts
from tests.simulation.invariants import Invariants, marker
from tests.simulation.plans import Change, PlannedCall, World
from tests.simulation.steps import Steps
from tests.simulation.watching import CALL, Log, Violation, WatchedFleet, WatchedLoop, WatchedNetwork, lines
from turnout.errors import TurnoutError
from turnout.sim.schedule import Change as Weather
from turnout.sim.schedule import changes, follow
from turnout.sim.service import Service
from turnout.sim.simulated_router import SimulatedRouter

_DEFAULT_TIMEOUT = 600.0
_STEPS, _STEPS_PER_CALL = 1000, 100
"""Of the event loop, at most; four times what is usual."""
_SLOW = 3.0
"""Seconds that a slow reader rests."""


@dataclass
class Run:
    """What came of a world."""

    world: World
    digest: str = ""
    """Hash of everything that happened."""
    events: int = 0
    violation: Violation | None = None
    latest: str = ""
    everything: str = ""
    calls: int = 0
    answered: int = 0
    requests: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    """Attempts by why they were made; errors by class."""


def run(world: World, *, trace: bool = False) -> Run:
    """Runs a world to its end, or to its first violation. Nothing of it outlives the call."""
    log = Log(all=[] if trace else None)
    player = _Player(world, log)
    was_on = gc.isenabled()
    gc.disable()  # a stream that its caller forgets is found by its count of references, at the same step in every run
    try:
        violation = player.play()
    finally:
        if was_on:
            gc.enable()
    seen = player.seen
    errors = {f"error {name}": count for name, count in sorted(player.errors.items())}
    return Run(
        world,
        log.digest,
        log.count,
        violation,
        lines(log.latest),
        lines(log.all or ()),
        len(seen.facts) if seen else 0,
        player.answered,
        sum(len(one.exchanges) for one in seen.facts.values()) if seen else 0,
        {**(seen.budgets.counts if seen else {}), **errors},
    )


class _Player:
    """One run of one world."""

    def __init__(self, world: World, log: Log) -> None:
        self.world = world
        self.log = log
        self.seen: Invariants | None = None
        self.steps: Steps | None = None
        self.answers: dict[int, Any] = {}
        """By number of the call: the response that it got."""
        self.over: dict[int, asyncio.Event] = {}
        self.accounts: dict[str, Account] = {}
        self.histories: dict[int, tuple[str, ...]] = {}
        self.answered = 0
        self.errors: dict[str, int] = {}

    def play(self) -> Violation | None:
        loop = WatchedLoop(self._after, self.log, _STEPS + _STEPS_PER_CALL * len(self.world.calls))
        loop.set_exception_handler(self._unhandled)
        try:
            with asyncio.Runner(loop_factory=lambda: loop) as runner:
                try:
                    runner.run(self._main())
                finally:
                    loop.rest()
        except Violation as violation:
            return violation
        except RuntimeError as error:
            return Violation(f"the world stands still: {error}")
        return None

    def _after(self, idle: bool) -> None:
        if self.steps is not None:
            self.steps.step(idle)

    def _unhandled(self, loop: asyncio.AbstractEventLoop, context: Mapping[str, Any]) -> None:
        if self.seen is not None:
            self.seen.fail(f"nobody handled: {context.get('message')} {context.get('exception')!r}")

    # --- the world

    async def _main(self) -> None:
        world = self.world
        network = self._network()
        self.router = self._router(network)
        fleet = self.router._fleet
        loop = asyncio.get_running_loop()
        hedge = world.settings.get("hedge")
        share = 0.0 if hedge is None else 0.02 if hedge is True else hedge.get("budget", 0.02)
        seen = self.seen = Invariants(world, fleet, loop.time, self.log, share)
        seen.places = {one.id: one for one in world.everywhere}
        seen.accounts = {one.id: one.account for one in world.everywhere}
        self._check_domains()
        network.observer = seen
        WatchedFleet(fleet, seen)
        self.steps = Steps(seen, network)
        planned = changes(world.faults, [one.id for one in world.everywhere])
        self.over = {one.number: asyncio.Event() for one in world.calls}
        weather = asyncio.ensure_future(follow(planned, network.services, self._changed))
        others = [asyncio.ensure_future(self._change(one)) for one in world.changes]
        calls = [asyncio.ensure_future(self._caller(one)) for one in world.calls]
        await asyncio.gather(*calls)
        for one in (weather, *others):
            one.cancel()
        await asyncio.gather(weather, *others, return_exceptions=True)
        await self.router.aclose()
        gc.collect()
        await asyncio.sleep(0)
        self.steps.done(loop.time())

    def _network(self) -> WatchedNetwork:
        world = self.world
        accounts = self.accounts = {one.account: Account(one.account) for one in world.everywhere}
        return WatchedNetwork(
            [
                AccountRegion(Service(one.id, one.model, seed=world.seed), accounts[one.account], seed=world.seed)
                for one in world.everywhere
            ]
        )

    def _router(self, network: WatchedNetwork) -> SimulatedRouter:
        rows = [one.row for one in self.world.places]
        settings = {**self.world.settings, "callbacks": [self._told]}
        return SimulatedRouter(rows, network, seed=self.world.seed, **settings)

    def _changed(self, one: Weather) -> None:
        self.log.add(asyncio.get_running_loop().time(), f"{one.region} {one.condition}={one.value}")

    def _told(self, event: Any) -> None:
        if self.seen is not None:
            self.seen.told(event)

    def _check_domains(self) -> None:
        """The product and the world agree about who shares an account."""
        accounts = self.seen.accounts if self.seen else {}
        pairs = {(one.domain, accounts[one.id]) for one in self.router._fleet.deployments.values()}
        if len({domain for domain, _ in pairs}) != len(pairs) or len({account for _, account in pairs}) != len(pairs):
            raise Violation(f"state domains and accounts differ: {pairs}")

    async def _change(self, change: Change) -> None:
        loop, router, seen = asyncio.get_running_loop(), self.router, self.seen
        assert seen is not None
        await asyncio.sleep(change.at)
        self.log.add(loop.time(), f"{change.kind} {change.id}{','.join(one.id for one in change.places)}")
        for one in change.places:
            seen.places[one.id] = one
            seen.budgets.renewed(one.group, loop.time())
        for name in list(router._fleet.groups):
            seen.budgets.of(name).earn(loop.time(), len(router._fleet.deployments))
        if change.kind == "close":
            await router.aclose()
        elif change.kind == "forget":
            self.accounts[change.id].forget()
        elif change.kind == "delete":
            router.delete_deployment(change.id)
        elif change.kind == "replace":
            router.set_model_list([one.row for one in change.places])
        else:
            for one in change.places:
                router.upsert_deployment(one.row)

    # --- callers

    async def _caller(self, planned: PlannedCall) -> None:
        """One call from its moment on: it runs in a task of its own, which may be cancelled."""
        CALL.set(planned.number)
        await asyncio.sleep(planned.at)
        if planned.follows is not None:
            if planned.follows not in self.over:
                self.over[planned.number].set()
                return
            await self.over[planned.follows].wait()
        if planned.operation != "create" and planned.follows not in self.answers:
            self.over[planned.number].set()
            return
        facts = self._facts(planned)
        assert self.seen is not None
        assert self.steps is not None
        self.seen.facts[planned.number] = facts
        task = asyncio.ensure_future(self._call(facts))
        if planned.cancel is not None:
            await self._leave(facts, task, planned.cancel)
        now = asyncio.get_running_loop().time
        try:
            answer = await task
        except asyncio.CancelledError:
            if not facts.leaving:
                raise
            self._end(facts, "left", None, now())
        except TurnoutError as error:
            self._end(facts, "error", error, now())
        except Violation:
            raise
        except Exception as error:
            self._end(facts, "error", error, now())
        else:
            self._end(facts, "left" if facts.leaving else "answer", answer, now())

    def _end(self, facts: Facts, ending: Any, what: Any, now: float) -> None:
        assert self.steps is not None
        number = facts.number
        shown = type(what).__name__ if ending == "error" else ""
        self.log.add(now, f"call {number} ends: {ending} {shown}")
        if ending == "error":
            self.errors[shown] = self.errors.get(shown, 0) + 1
        elif ending == "answer":
            self.answered += 1
            if facts.planned.operation == "create" and what.status == "completed":
                self.answers[number] = what
                self.histories[number] = (*facts.history, marker(number))
        self.steps.called(facts, ending, what, now)
        self.over[number].set()

    async def _leave(self, facts: Facts, task: "asyncio.Task[Any]", seconds: float) -> None:
        await asyncio.wait([task], timeout=seconds) if seconds else None
        if not task.done():
            facts.leaving = True
            self.log.add(asyncio.get_running_loop().time(), f"call {facts.number} is cancelled")
            task.cancel()

    def _facts(self, planned: PlannedCall) -> Facts:
        assert self.seen is not None
        now = asyncio.get_running_loop().time()
        settings, options = self.world.settings, planned.options
        timeout = options.get("timeout", settings.get("timeout"))
        facts = Facts(
            planned,
            now,
            now + (_DEFAULT_TIMEOUT if timeout is None else timeout),
            open_ended=timeout is None,
            regions=self._regions(planned),
        )
        before = None if planned.follows is None else self.answers.get(planned.follows)
        if before is not None and planned.follows is not None:
            made_by = self.seen.facts[planned.follows].exchanges
            facts.account = self.seen.accounts[next(one.deployment.id for one in made_by if one.end == "answered")]
            facts.previous = before.id
            facts.there = any(self.seen.accounts[one] == facts.account for one in self.router._fleet.deployments)
            facts.history = self.histories[planned.follows]
        return facts

    def _regions(self, planned: PlannedCall) -> list[tuple[str, ...]]:
        """All that the world and the caller allow, each as the names of which one must be the deployment's."""
        settings = self.world.settings
        group = settings["model_group_alias"].get(planned.model, planned.model)
        deployment = self.router._fleet.deployments.get(group)
        group = group if deployment is None else deployment.spec.model_group
        found: list[tuple[str, ...]] = []
        if planned.operation == "create" and group in settings.get("model_group_region", {}):
            found.append(tuple(settings["model_group_region"][group]))
        own = planned.options.get("allowed_model_region")
        if own is not None:
            found.append((own,) if isinstance(own, str) else tuple(own))
        return found

    async def _call(self, facts: Facts) -> Any:
        planned, router, options = facts.planned, self.router, dict(facts.planned.options)
        if planned.operation == "retrieve":
            return await router.aget_responses(str(facts.previous), **options)
        if planned.operation == "delete":
            return await router.adelete_responses(str(facts.previous), **options)
        metadata = {"call": str(planned.number), "words": str(planned.words)}
        if planned.mistake:
            metadata["mistake"] = "yes"
        text = marker(planned.number).ljust(planned.characters, ".")
        result: Any = await router.aresponses(
            planned.model,
            text,
            previous_response_id=facts.previous,
            metadata=metadata,
            stream=planned.stream,
            **options,
        )
        return await self._read(facts, result) if planned.stream else result

    async def _read(self, facts: Facts, stream: Any) -> Any:
        """Reads a stream as its caller does; a broken one ends with a failed response."""
        planned = facts.planned
        facts.first_output = True
        if planned.reading in ("close", "drop") and planned.events == 0:
            facts.leaving = True
            if planned.reading == "close":
                await stream.aclose()
            return None
        count = 0
        async for _ in stream:
            count += 1
            if count == planned.events and planned.reading == "slow":
                await asyncio.sleep(_SLOW * Random(planned.number).random())
            elif count == planned.events and planned.reading != "all":
                facts.leaving = True
                if planned.reading == "close":
                    await stream.aclose()
                return None
        response = stream.response
        del stream
        return response
