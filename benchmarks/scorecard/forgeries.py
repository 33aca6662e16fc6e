"""Scenario 14: response ids that nobody may use here. Each is tried on every surface that takes one."""

import asyncio
import base64
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

from benchmarks.scorecard.correctness_result import CorrectnessResult
from benchmarks.scorecard.witness import GROUP, Witness, region, row
from turnout.continuity.ids import LONGEST_ID, IdCodec, domain_hash
from turnout.errors import TurnoutError
from turnout.sim.clock import run
from turnout.sim.service import ServiceModel
from turnout.sim.simulated_router import SimulatedRouter

REGIONS = ("eastus", "westus", "swedencentral")
MINE, THEIRS = "mine", "theirs"
_GOOD = 6
"""Responses of each tenant."""


class Known(NamedTuple):
    """What an attacker may know: ids handed to them and to others, and the provider's own ids."""

    mine: str
    theirs: str
    upstream: str


class Forgery(NamedTuple):
    """An id that must not be accepted of a tenant."""

    kind: str
    token: str
    tenant: str = MINE


def litellm_id(deployment: str, upstream: str) -> str:
    """An id as LiteLLM's Router makes them: base64 of plain text, signed by nobody."""
    plain = f"litellm:custom_llm_provider:azure;model_id:{deployment};response_id:{upstream}"
    return "resp_" + base64.b64encode(plain.encode()).decode()


def forgeries(known: Known, rng: random.Random) -> Iterator[Forgery]:
    """Some four hundred."""
    mine, theirs, upstream = known
    yield Forgery("another tenant's", theirs)
    yield Forgery("without a tenant", theirs, "")
    yield Forgery("another tenant's", mine, THEIRS)
    for name in REGIONS:
        yield Forgery("LiteLLM's format", litellm_id(name, upstream))
        yield Forgery("another secret", IdCodec([f"secret {rng.random()}"]).wrap(upstream, domain_hash(name), MINE))
    yield Forgery("a provider's own", upstream)
    yield Forgery("an item's", IdCodec(["a simulation keeps no secrets"]).wrap(upstream, b"\0" * 8, MINE, "item"))
    yield from _changed(mine, rng)
    yield from _spelled_otherwise(mine)
    yield from _composed(known, rng)


def _changed(mine: str, rng: random.Random) -> Iterator[Forgery]:
    """Bits of every byte, and every character, and every length that is too short."""
    raw = _bytes_of(mine)
    for at in range(len(raw)):
        flipped = bytes([*raw[:at], raw[at] ^ (1 << rng.randrange(8)), *raw[at + 1 :]])
        yield Forgery("a bit changed", _token(flipped))
    for at, letter in enumerate(mine):
        other = rng.choice([one for one in "abcxyzABCXYZ0189-_" if one != letter])
        yield Forgery("a letter changed", mine[:at] + other + mine[at + 1 :])
    for length in range(1, len(mine)):
        yield Forgery("cut short", mine[:length])


def _spelled_otherwise(mine: str) -> Iterator[Forgery]:
    """What some decoders would take for the same id."""
    yield from (Forgery("padded", mine + "=" * count) for count in (1, 2, 3))
    yield from (Forgery("with a space", text) for text in (f" {mine}", f"{mine} ", f"{mine}\n", f"{mine}\0"))
    yield from (Forgery("other letters", text) for text in (mine.upper(), mine.lower(), mine.replace("_", "-", 1)))
    yield Forgery("a path", f"../{mine}")
    yield Forgery("not ASCII", mine.replace("a", "\N{CYRILLIC SMALL LETTER A}") + "\N{CYRILLIC SMALL LETTER A}")
    yield Forgery("without its prefix", mine.removeprefix("resp_"))
    yield Forgery("too long", mine + "A" * LONGEST_ID)


def _composed(known: Known, rng: random.Random) -> Iterator[Forgery]:
    """Parts of good ids put together: another's response under one's own signature, another account, another key."""
    mine, theirs = _bytes_of(known.mine), _bytes_of(known.theirs)
    for at in (13, 20, 29, 40):
        yield Forgery("two halves", _token(mine[:at] + theirs[at:]))
        if theirs[:at] != mine[:at]:
            yield Forgery("two halves", _token(theirs[:at] + mine[at:]))
    for name in REGIONS:
        guessed = mine[:5] + domain_hash(name) + rng.randbytes(16) + known.upstream.removeprefix("resp_").encode()
        yield Forgery("a guessed signature", _token(guessed))
    yield Forgery("no signature", _token(mine[:13] + b"\0" * 16 + mine[29:]))
    yield Forgery("an unknown key", _token(mine[:1] + rng.randbytes(4) + mine[5:]))


def _bytes_of(token: str) -> bytes:
    packed = token.removeprefix("resp_")
    return base64.urlsafe_b64decode(packed + "=" * (-len(packed) % 4))


def _token(raw: bytes) -> str:
    return "resp_" + base64.urlsafe_b64encode(raw).decode().rstrip("=")


async def _stream(router: SimulatedRouter, token: str, tenant: str) -> None:
    async for _ in await router.aresponses(GROUP, "on", stream=True, previous_response_id=token, tenant=tenant):
        pass


SURFACES: dict[str, Callable[[SimulatedRouter, str, str], Awaitable[Any]]] = {
    "create": lambda router, token, tenant: router.aresponses(GROUP, "on", previous_response_id=token, tenant=tenant),
    "stream": _stream,
    "retrieve": lambda router, token, tenant: router.aget_responses(token, tenant=tenant),
    "delete": lambda router, token, tenant: router.adelete_responses(token, tenant=tenant),
    "cancel": lambda router, token, tenant: router.acancel_responses(token, tenant=tenant),
    "input items": lambda router, token, tenant: router.alist_input_items(token, tenant=tenant),
}


def forged_ids(seed: int) -> CorrectnessResult:
    """Scenario 14, in virtual time."""
    measured = run(_play(random.Random(f"forged ids:{seed}")))
    zero = ("accepted", "requests_sent", "untyped_errors", "good_ids_refused")
    passed = measured["tried"] > 0 and measured["kinds_of_refusal"] == 1 and not any(measured[name] for name in zero)
    gate = "0 accepted, 0 requests sent, all refused in the same words"
    return CorrectnessResult(14, "forged and other tenants' ids", measured, gate, passed)


async def _play(rng: random.Random) -> dict[str, int]:
    network = Witness([region(name, ServiceModel(), seed=rng.getrandbits(32)) for name in REGIONS])
    count: Counter[str] = Counter()
    refusals: set[tuple[str, str]] = set()
    async with SimulatedRouter([row(name) for name in REGIONS], network, seed=rng.getrandbits(32)) as router:
        mine = await _made(router, MINE)
        theirs = await _made(router, THEIRS)
        upstream = [one for place in network.plain.values() for one in place.turns]
        begun = network.requests
        known = Known(rng.choice(mine), rng.choice(theirs), rng.choice(upstream))
        for forgery in forgeries(known, rng):
            for surface in ("create", rng.choice([*SURFACES][1:])):
                count["tried"] += 1
                try:
                    await SURFACES[surface](router, forgery.token, forgery.tenant)
                except TurnoutError as error:
                    refusals.add((type(error).__name__, error.message))
                except Exception:  # noqa: BLE001 (whatever a router raises is counted)
                    count["untyped_errors"] += 1
                else:
                    count["accepted"] += 1
        count["requests_sent"] = network.requests - begun
        for token, tenant in [(one, MINE) for one in mine] + [(one, THEIRS) for one in theirs]:
            try:
                await SURFACES["create"](router, token, tenant)
            except TurnoutError:
                count["good_ids_refused"] += 1
    names = ("tried", "accepted", "requests_sent", "untyped_errors", "good_ids_refused")
    return {**{name: count[name] for name in names}, "kinds_of_refusal": len(refusals)}


async def _made(router: SimulatedRouter, tenant: str) -> list[str]:
    made = await asyncio.gather(*[router.aresponses(GROUP, "hello", tenant=tenant) for _ in range(_GOOD)])
    return [one.id for one in made]
