# ruff: noqa: E501 (one bug a line)
"""Bugs, planted one at a time, to see whether the simulation finds them and after how many seeds.

    python -m tests.simulation.mutants [--seeds 200] [name ...]

A mutant is a function of the product in whose source a few words are replaced; nothing is written to disk.
"""

import argparse
import gc
import importlib
import inspect
import sys
import textwrap
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.simulation.many import only_new_garbage
from tests.simulation.running import run
from tests.simulation.worlds import make


@dataclass(frozen=True)
class Mutant:
    """A bug: in `where` (module:function or module:Class.method), `old` becomes `new`."""

    name: str
    where: str
    old: str
    new: str

    @contextmanager
    def planted(self) -> Iterator[None]:
        """While it lasts, the product has this bug."""
        module_name, _, path = self.where.partition(":")
        owner: Any = importlib.import_module(f"turnout.{module_name}")
        *classes, name = path.split(".")
        for one in classes:
            owner = getattr(owner, one)
        if name not in owner.__dict__:
            raise LookupError(f"{self.name}: there is no {self.where} any more; say where this bug would be now")
        original = owner.__dict__[name]
        mutated = self._mutated(original, name)
        holders = [owner] if classes else _holders(name, original)
        for holder in holders:
            setattr(holder, name, mutated)
        try:
            yield
        finally:
            for holder in holders:
                setattr(holder, name, original)

    def _mutated(self, original: Any, name: str) -> Any:
        source = textwrap.dedent(inspect.getsource(original))
        if source.count(self.old) != 1:
            raise LookupError(f"{self.name}: {self.where} has {source.count(self.old)} times {self.old!r}")
        code = compile(source.replace(self.old, self.new), f"<mutant of {self.where}>", "exec", dont_inherit=True)
        namespace: dict[str, Any] = {}
        exec(code, original.__globals__, namespace)
        return namespace[name]


def _holders(name: str, original: Any) -> list[Any]:
    """All modules of the product that know the function by its name."""
    known = [one for path, one in list(sys.modules.items()) if path.startswith("turnout") and one is not None]
    return [one for one in known if one.__dict__.get(name) is original]


_FLEET, _BREAKER, _ROUTE = "engine.fleet:Fleet.", "engine.cooldown:", "engine.route:"

MUTANTS: tuple[Mutant, ...] = (
    # counts
    Mutant("in-flight count leaks on cancellation", f"{_FLEET}_release", "in_flight -= 1", "in_flight -= record is not None"),
    Mutant("an upsert forgets the calls under way", "deployment:Deployment.configure", "self.spec = spec", "self.spec = spec; self.in_flight = 0"),
    Mutant("a forgotten stream keeps its deployment", "streams:StreamCore.abandon", "self._fleet.abandon(self.served.lease, self._io.now())", "pass"),
    Mutant("a broken stream keeps its deployment", "streams:StreamCore._break", "self._settle(error)", "self.error = error"),
    Mutant("a cancelled call keeps its place in line", "engine.queues:Queues.leave", "queue.remove(ticket)", "pass"),
    Mutant("the loser of a hedge keeps its deployment", "engine.hedging:Race._end", "self._fleet.release(lease, now, None, None)", "pass"),
    Mutant("a call cancelled in its first attempt keeps its deployment", f"{_ROUTE}route", "fleet.release(lease, io.now(), None, None)", "pass"),
    Mutant("max_parallel_requests is one too many", f"{_BREAKER}room_at", "in_flight >= parallel", "in_flight > parallel"),
    # the breaker
    Mutant("breaker opens too late", f"{_BREAKER}_should_open", "return health.samples", "return False and health.samples"),
    Mutant("the breaker counts seven failures, not five", f"{_BREAKER}_should_open", "health.failures >= policy.consecutive", "health.failures >= policy.consecutive + 2"),
    Mutant("a second probe is let through", f"{_BREAKER}available_at", "health.proven_at if health.open_until is not None and health.probing else health.open_until or 0.0", "health.open_until or 0.0"),
    Mutant("the end of a probe is forgotten", f"{_FLEET}_release", "deployment.health.probing = False", "pass"),
    Mutant("a success leaves the failures counted", f"{_BREAKER}record_success", "health.failures = health.auth_failures = 0", "health.auth_failures = 0"),
    Mutant("a caller's mistake counts against the deployment", f"{_BREAKER}record_failure", 'elif outcome in ("deployment", "provider"):', 'elif outcome in ("caller", "deployment", "provider"):'),
    Mutant("a throttle counts against the deployment", f"{_BREAKER}record_failure", "elif outcome in", "if outcome == 'throttle':\n        _count(deployment, kind, now)\n    elif outcome in"),
    Mutant("a throttle is forgotten at once", f"{_BREAKER}record_failure", "health.throttled_until = max(health.throttled_until, until)", "health.throttled_until = max(health.throttled_until, now)"),
    Mutant("half of the Retry-After is enough", f"{_BREAKER}record_failure", "until = now + (failure.retry_after if", "until = now + (failure.retry_after / 2 if"),
    Mutant("a cancelled attempt counts as a failure", f"{_FLEET}_release", "if record is not None:", "if record is None:\n        deployment.health.failures += 1\n    if record is not None:"),
    Mutant("nothing is probed for want of any other", f"{_FLEET}_panic", "lease = self._take(destination, chosen, call, tries, now, probe=True)", "lease = None"),
    Mutant("probes of last resort know no pause", f"{_FLEET}_panic", "group.last_panic[call.pin] = now", "pass"),
    Mutant("what rests never comes back", "engine.ready:bring_back", "if not deployment.removed:", "if deployment.in_flight:"),
    Mutant("a breaker that opens again does not hold", f"{_BREAKER}_open", "health.proven_at = inf", "pass"),
    Mutant("probes of last resort ignore what the provider asked for", "engine.probing:may_probe", "cooldown.room_at(one, tries.size, now) <= now", "True"),
    # budgets and retries
    Mutant("retries need no budget", "engine.budget:withdraw", "if budget.tokens < 1.0:\n        return False", "pass"),
    Mutant("calls earn ten times the retries", "engine.budget:deposit", "policy.ratio", "policy.ratio * 10"),
    Mutant("every retry is free", "engine.budget:is_free", "if health.failures:\n        return False", "return True"),
    Mutant("one retry more than allowed", f"{_ROUTE}_decide", "journey.in_group <= allowed", "journey.in_group <= allowed + 1"),
    Mutant("throttles with a Retry-After are retried for ever", "engine.attempt:_is_announced", "journey.announced < _MOST_ANNOUNCED", "journey.announced < 99"),
    Mutant("a fallback group is tried twice", "engine.journey:Journey.spares", "if one.group.name not in names", ""),
    Mutant("hedges need no budget", "engine.hedging:Hedges.pay", "paid = self._tokens >= 1.0 and", "paid = True or"),
    Mutant("a hedge goes to the same deployment", "engine.hedging:Race._second", "{first.deployment.id: inf}", "{'nobody': inf}"),
    # time
    Mutant("an attempt may take longer than the call", "engine.attempt:attempt_timeout", "return min(own, left)", "return own"),
    Mutant("waiting knows no deadline", "engine.acquire:acquire", "min(journey.call.deadline, started + rules.wait.max_wait - journey.waited)", "started + rules.wait.max_wait - journey.waited"),
    Mutant("a stream knows no deadline", "streams:StreamCore._read", "call.deadline - io.now()", "inf"),
    # where a call may go
    Mutant("fallbacks ignore regions", "checks.region:AllowedRegion.reject", "for allowed in call.regions:", "for allowed in call.regions if deployment.spec.model_group == call.model else ():"),
    Mutant("probes of last resort ignore regions", f"{_FLEET}_panic", "fit = self._fit(self._members(destination, call), call, group)", "fit = self._members(destination, call)"),
    Mutant("an account's calls go anywhere", f"{_FLEET}choose", "if destination.only is not None or call.pin is not None else None", "if destination.only is not None else None"),
    Mutant("a replay keeps the foreign id", "continuity.transcripts:Transcripts._with_history", "if name != _PREVIOUS", ""),
    Mutant("a replay forgets the first turn", "continuity.transcripts:Transcripts._with_history", "history([*turns,", "history([*turns[1:],"),
    Mutant("tags are ignored", "checks.tags:Tags.reject", "if call.stateless or", "if True or"),
    Mutant("levels are tried from the highest up", "engine.ready:reindex", "sorted(group.ready)", "sorted(group.ready, reverse=True)"),
    Mutant("a removed deployment stays in the index", "engine.roster:Roster._remove", "unready(group, deployment)", "pass"),
    Mutant("removing takes another one out of the index", "engine.ready:unready", "ready[deployment.position] = last\n        last.position = deployment.position", "pass"),
    # lines
    Mutant("the next in line is not woken", "engine.queues:Queues.leave", "first.waiter.wake()", "pass"),
    Mutant("a call that ends wakes nobody", f"{_FLEET}_release", "self._wake(deployment.spec.model_group)", "pass"),
    Mutant("a deployment that is added wakes nobody", "engine.roster:Roster.put", "self._wake(group.name)", "pass"),
    Mutant("new calls go past those who wait", f"{_FLEET}_is_turn", "in (None, ticket)", "is not self"),
    Mutant("room that an answer tells of wakes nobody", f"{_FLEET}answering", "wake=True", "wake=False"),
    Mutant("calls to one deployment stand in the group's line", "engine.queues:queue_key", "call.pin, only,", "call.pin, None,"),
    Mutant("who waits for a probe asks a hundred times a second", "engine.blocked:_look", "max(probed_at, again_at, cooldown.room_at(one, tries.size, now))", "next_panic"),
    # limits
    Mutant("limits are not asked", f"{_FLEET}_take", "if limits.room_at(tries.size, now) > now:", "if False:"),
    Mutant("what was used is not settled", "limits.meter:Reservation.settle", "if self.usage != NOTHING_USED:", "if False:"),
    Mutant("a call that was given up is not charged", "engine.leases:Lease.settle", "if not self.sent:", "if not self.sent or used is None:"),
    Mutant("a refused request is charged", "engine.settling:settle_failure", "if unknown else NOTHING_USED", "if unknown else None"),
    Mutant("an old bucket is never forgotten", "limits.window:Window.expire", "self.used -= self.buckets.pop(oldest)", "self.buckets.pop(oldest)"),
    # telling
    Mutant("a call is reported twice", "dispatch:Dispatcher._report", "sink(done)", "sink(done); sink(done)"),
    Mutant("an error of the network reaches the caller as it is", "io.simulated:SimulatedIO.send", "except ConnectionError as error:", "except ZeroDivisionError as error:"),
)  # fmt: skip


def killed_by(mutant: Mutant, seeds: Iterable[int], *, most: int = 3) -> list[tuple[int, str]]:
    """The first seeds that find the bug, and what they say."""
    found: list[tuple[int, str]] = []
    with mutant.planted():
        for seed in seeds:
            try:
                violation = run(make(seed)).violation
            except Exception as error:
                violation = error
            if violation is not None:
                found.append((seed, str(violation)))
            if len(found) >= most:
                break
    return found


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.mutants")
    parser.add_argument("--seeds", type=int, default=200, help="how many to try at most")
    parser.add_argument("--most", type=int, default=1, help="stop after so many that find it")
    parser.add_argument("names", nargs="*")
    given = parser.parse_args()
    chosen = [one for one in MUTANTS if not given.names or any(name in one.name for name in given.names)]
    survived = 0
    with only_new_garbage():
        for mutant in chosen:
            begun = time.monotonic()
            found = killed_by(mutant, range(given.seeds), most=given.most)
            gc.collect()
            survived += not found
            told = f"seed {found[0][0]}: {found[0][1][:110]}" if found else "SURVIVED"
            print(f"{mutant.name:62} {time.monotonic() - begun:5.1f} s  {told}", flush=True)
    print(f"{len(chosen) - survived} of {len(chosen)} found")
    return int(survived > 0)


if __name__ == "__main__":
    sys.exit(main())
