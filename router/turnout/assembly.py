"""Puts a Router's parts together from its settings."""

import logging
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from turnout.cache.guarded import GuardedStore
from turnout.cache.memory import MemoryStore
from turnout.cache.turn_stores import open_turns
from turnout.calls import CallBuilder, Defaults
from turnout.checks import AllowedRegion, ContextWindow, Tags
from turnout.config import Settings
from turnout.context import RouterEvent, Sink
from turnout.continuity.affinity import Continuity
from turnout.continuity.ids import IdCodec
from turnout.continuity.shelf import Shelf
from turnout.continuity.talks import Talks
from turnout.continuity.transcripts import Transcripts
from turnout.dispatch import Dispatcher
from turnout.engine.fleet import Fleet
from turnout.engine.hedging import Hedging
from turnout.engine.journey import Rules
from turnout.engine.names import Names
from turnout.engine.port import IO
from turnout.limits.book import LimitBook
from turnout.protocols import PreCallCheck, Store, Strategy
from turnout.strategies import STRATEGIES

if TYPE_CHECKING:  # loaded only for who shares
    from turnout.cache.shared import SharedState

_BUILT_IN_CHECKS: Mapping[str, type[PreCallCheck]] = {"context_window": ContextWindow, "tags": Tags}
_LAST_WORD = 1.0
"""Seconds that closing waits for what was not written yet."""
NO_ID_KEY = (
    "no id_secret: response ids of this Router are understood by this Router only. After a restart, or in another "
    "process, a follow-up by previous_response_id gets a NotFoundError. Set id_secret=... or TURNOUT_ID_SECRET."
)


@dataclass(frozen=True, slots=True)
class Parts:
    """One Router's parts."""

    fleet: Fleet
    builder: CallBuilder
    dispatcher: Dispatcher
    transcripts: Transcripts | None
    talks: Talks | None
    shared: "SharedState | None"

    def close(self) -> None:
        """Ends the threads that work for this Router, each within a second. A later call starts them again."""
        if self.fleet.limits.shares is not None:
            self.fleet.limits.shares.leave()
        if self.shared is not None:
            self.shared.close(_LAST_WORD)
        if self.transcripts is not None:
            self.transcripts.shelf.close(_LAST_WORD)


def assemble(settings: Settings, io: IO) -> Parts:
    """Builds the parts; the fleet is still empty."""
    limits = LimitBook(settings.provider_budgets)
    fleet = Fleet(_strategy(settings), _checks(settings), settings.cooldown, settings.budget, settings.wait, limits)
    names = Names(fleet, settings.aliases)
    shared = _shared(settings, fleet, io)
    continuity = Continuity(
        _codec(settings),
        _store(settings, shared, io),
        fleet.domains,
        accept_raw_ids=settings.accept_raw_ids,
        own_items=bool(settings.id_secrets),
        transcripts=settings.transcripts is not None,
    )
    transcripts = _transcripts(settings, continuity, io)
    talks = None if transcripts is None else Talks(transcripts, continuity)
    defaults = Defaults(
        settings.timeout,
        settings.attempt_timeout,
        settings.explicit_timeout,
        settings.raise_on_content_filter,
        settings.affinity,
        settings.residency,
    )
    builder = CallBuilder(fleet, names, continuity, defaults, io.now)
    rules = Rules(
        retry=settings.retry,
        group_retry=dict(settings.group_retry),
        fallbacks=settings.fallbacks,
        wait=settings.wait,
        resolve=names.resolve,
        sinks=_sinks(settings),
        min_retry_delay=settings.min_retry_delay,
        pin_steps=settings.pin_steps,
        replay=transcripts.replay if transcripts is not None else None,
        hedging=Hedging(settings.hedge, settings.group_hedges) if settings.hedge or settings.group_hedges else None,
    )
    begin = None if shared is None else shared.ensure
    dispatcher = Dispatcher(fleet, builder, continuity, rules, transcripts, begin)
    return Parts(fleet, builder, dispatcher, transcripts, talks, shared)


def _shared(settings: Settings, fleet: Fleet, io: IO) -> "SharedState | None":
    """What this Router shares with other processes. Connects to nothing yet."""
    if settings.redis is None:
        return None
    from turnout.cache.sharing import share  # noqa: PLC0415 (loaded only for who shares)

    return share(settings.redis, fleet, io.now, settings.limits_without_store)


def _store(settings: Settings, shared: "SharedState | None", io: IO) -> Store:
    if settings.store is not None:
        return GuardedStore(settings.store)
    near = MemoryStore(timer=io.now)
    if shared is None:
        return near
    from turnout.cache.shared_facts import SharedFacts  # noqa: PLC0415 (loaded only for who shares)

    return SharedFacts(near, shared, timer=io.now)


def _transcripts(settings: Settings, continuity: Continuity, io: IO) -> Transcripts | None:
    chosen = settings.transcripts
    if chosen is None:
        return None
    near, far, background, wait = open_turns(chosen, settings.id_secrets, settings.redis, io.now)
    shelf = Shelf(near, far, background, ttl=chosen.policy.ttl, write_wait=wait)
    return Transcripts(shelf, continuity, chosen.policy)


def _codec(settings: Settings) -> IdCodec:
    if settings.id_secrets:
        return IdCodec(settings.id_secrets)
    logging.getLogger("turnout").warning(NO_ID_KEY)
    return IdCodec([secrets.token_hex(32)])


def _strategy(settings: Settings) -> Strategy:
    chosen = settings.strategy
    return STRATEGIES[chosen]() if isinstance(chosen, str) else chosen


def _checks(settings: Settings) -> list[PreCallCheck]:
    """The region check is always there (it applies to calls that name a region); the others as configured."""
    found: list[PreCallCheck] = [AllowedRegion()]
    for check in settings.checks:
        if not isinstance(check, str):
            found.append(check)
        elif check in _BUILT_IN_CHECKS:
            found.append(_BUILT_IN_CHECKS[check]())
    return found


def _sinks(settings: Settings) -> tuple[Sink, ...]:
    sinks: list[Sink] = [_guarded(callback) for callback in settings.callbacks]
    if settings.log is not None:
        from turnout.telemetry.log import log_sink  # noqa: PLC0415 (structlog is loaded only for who wants logs)

        sinks.append(_guarded(log_sink(None if settings.log is True else settings.log)))
    return tuple(sinks)


def _guarded(callback: Sink) -> Sink:
    """A user's callback or logger whose failure is logged and fails no call."""

    def sink(event: RouterEvent) -> None:
        try:
            callback(event)
        except Exception:
            logging.getLogger("turnout").exception("a callback failed on %s", type(event).__name__)

    return sink
