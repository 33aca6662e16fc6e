"""Gives a deployment back after an attempt, with what came of it: its health, its times, what was used."""

from turnout.context import Observation
from turnout.deployment import Deployment
from turnout.engine import cooldown
from turnout.engine.fleet import Fleet
from turnout.engine.leases import Lease
from turnout.engine.port import IO
from turnout.errors import APIError
from turnout.limits.quota import NOTHING_USED, Usage
from turnout_adapters.kinds import Kind
from turnout_adapters.types.route import Outcome


def settle_success(lease: Lease, fleet: Fleet, now: float, tokens_in: int | None, tokens_out: int | None) -> None:
    """Gives a deployment back after a complete answer."""

    def record(deployment: Deployment) -> None:
        cooldown.record_success(deployment, probe=lease.probe, now=now, started=lease.started)
        if fleet.providers.ill:
            fleet.providers.served(deployment.spec.provider, now)
        cooldown.record_latency(deployment, now - lease.started, tokens_out, first_event=False, now=now)
        if lease.first_event is not None:
            cooldown.record_latency(deployment, lease.first_event, None, first_event=True, now=now)

    seen = Observation(lease.started, now, "ok", tokens_in, tokens_out, lease.first_event, lease.probe, lease.token)
    fleet.release(lease, now, record, _used(lease, tokens_in, tokens_out), seen)


def settle_failure(
    lease: Lease,
    error: APIError,
    outcome: Outcome,
    fleet: Fleet,
    io: IO,
    tokens_in: int | None = None,
    tokens_out: int | None = None,
) -> None:
    """Gives the deployment back and records the failure on its health.

    A request that was refused, or never arrived, used no tokens and no money. What one used that broke off after its
    first output, or that nobody heard of again, is not known, unless the tokens are given: its estimate stays.
    """
    now = io.now()
    kind = error.kind or Kind.INTERNAL

    def record(deployment: Deployment) -> None:
        failure = cooldown.Failure(
            outcome, kind, now - lease.started, error.retry_after, lease.destination.group.budget.calls
        )
        if outcome == "provider":
            _note_overload(deployment, error, fleet, io)
        if not _is_only_slow(lease, kind, fleet, now):
            cooldown.record_failure(deployment, failure, probe=lease.probe, now=now, policy=fleet.cooldown, rng=io.rng)
        if kind is Kind.TIMEOUT and outcome != "cancelled":
            cooldown.record_latency(deployment, now - lease.started, None, first_event=False, now=now)

    unknown = lease.first_event is not None or kind is Kind.TIMEOUT
    seen = Observation(lease.started, now, outcome, tokens_in, tokens_out, lease.first_event, lease.probe, lease.token)
    fleet.release(lease, now, record, _used(lease, tokens_in, tokens_out) if unknown else NOTHING_USED, seen)


def _is_only_slow(lease: Lease, kind: Kind, fleet: Fleet, now: float) -> bool:
    """True for a timeout at a deployment that has answered another call of late, if the strategy judges slowness.

    To take a server out because it is full fills the others, until none is left. Of late is the second half of the
    attempt: in the first one those may have been answered that were sent before a region fell silent.
    """
    answered = lease.deployment.health.last_success
    if kind is not Kind.TIMEOUT or lease.probe or not fleet.learns:
        return False
    return fleet.cooldown.allowed(kind) is None and answered is not None and answered > (lease.started + now) / 2


def _note_overload(deployment: Deployment, error: APIError, fleet: Fleet, io: IO) -> None:
    provider = deployment.spec.provider
    alone = not any(one.spec.provider == provider and one is not deployment for one in fleet.deployments.values())
    after = error.retry_after
    fleet.providers.overloaded(provider, deployment.id, io.now(), io.rng, alone=alone, retry_after=after)


def _used(lease: Lease, tokens_in: int | None, tokens_out: int | None) -> Usage | None:
    """The tokens used; what is not known of them is as it was estimated."""
    if lease.reservation is None or (tokens_in is None and tokens_out is None):
        return None
    guess = lease.reservation.usage
    return Usage(guess.input if tokens_in is None else tokens_in, guess.output if tokens_out is None else tokens_out)
