"""The frozen values that say how a Router retries, cools down and falls back. Times are in seconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from turnout_adapters.kinds import Kind


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How often a call may be sent again after a failed attempt.

    `retries` is the default number of further attempts in one model group (default 2, LiteLLM's `num_retries`).
    `by_kind` overrides it for a kind of failure (LiteLLM's `retry_policy`); the caller's own mistakes are retried
    only if they are listed here. Further attempts go to another deployment where there is one.
    """

    retries: int = 2
    by_kind: Mapping[Kind, int] = field(default_factory=dict[Kind, int])

    def retries_for(self, kind: Kind, *, retryable: bool) -> int:
        """Further attempts allowed after failures of this kind."""
        return self.by_kind.get(kind, self.retries if retryable else 0)


@dataclass(frozen=True, slots=True)
class CooldownPolicy:
    """When a deployment is taken out of rotation, and for how long.

    A circuit breaker in the manner of Finagle's failure accrual: it opens on `consecutive` failures in a row or when
    the moving success rate falls below `success_rate` (with at least `min_samples` outcomes seen); the pause is
    jittered, starts at `base` and doubles with every trip up to `cap`, or to the time of `probe_calls` calls; one probe
    decides what follows.
    LiteLLM's `allowed_fails` (failures within a minute before the deployment rests) replaces the two conditions when
    given, `allowed_fails_by_kind` (`allowed_fails_policy`) does so for one kind; `cooldown_time` fixes base and cap.
    """

    consecutive: int = 5
    success_rate: float = 0.8
    min_samples: int = 10
    base: float = 10.0
    cap: float = 92.0
    probe_calls: int = 300
    """A pause is no longer than the model group takes for so many calls, nor shorter than `base`."""
    auth_pause: float = 60.0
    """Pause after a second refusal of the deployment's own credentials in a row."""
    slow_start: float = 8.0
    """After a recovery, seconds in which the deployment's share grows back to its weight."""
    panic_interval: float = 2.0
    """With every deployment out of rotation, one probe is let through this often."""
    allowed_fails: int | None = None
    allowed_fails_by_kind: Mapping[Kind, int] = field(default_factory=dict[Kind, int])
    enabled: bool = True
    """False (`disable_cooldowns`): no deployment ever rests."""

    def allowed(self, kind: Kind) -> int | None:
        """Failures of a kind within a minute before the deployment rests; None if the other conditions count."""
        return self.allowed_fails_by_kind.get(kind, self.allowed_fails)


@dataclass(frozen=True, slots=True)
class AdaptivePolicy:
    """How the strategy `adaptive` weighs what it knows. The defaults are what the scorecard measures.

    docs/routing.md explains each rule, with its source and what happens without it.
    """

    tau: float = 20.0
    """Seconds in which an answer loses most of its weight (Finagle's peak EWMA takes 10)."""
    forgotten: float = 30.0
    """Seconds without an answer after which what is known of a deployment counts a third as much."""
    noise: float = 1.5
    """Deployments that are worse than the best by so many standard errors share the load: less is mostly chance."""
    bad: float = 1.5
    """From this factor on a deployment gets no calls but those that find out whether it is still bad."""
    look_calls: int = 240
    """The group's calls between two such calls: what they cost is a share of the calls, whatever their rate."""
    least_patience: float = 20.0
    """Seconds between two such calls at least."""
    patience: float = 74.0
    """Seconds between two such calls at most."""
    small: float = 0.3
    """Such a call has at most this part of the usual size, in seconds, if one comes soon; inf: any call will do."""
    silence: float = 4.0
    """Answers that are overdue at which a deployment looks twice as slow; inf: only answers count."""
    worst: float = 2.0
    """What a deployment looks worse at most where load slows deployments down: its calls under way say enough."""
    error_weight: float = 10.0
    """By how much the score rises with the error rate; 0: errors are left to the circuit breaker."""
    error_allowance: float = 0.02
    """Error rate that costs nothing."""
    least_exponent: float = 0.03
    """Weight of a deployment's own load where load does not slow it down (hosted APIs)."""
    most_exponent: float = 1.0
    """Weight of its own load where twice the load takes twice as long (a server of one's own)."""
    slow_start: float = 8.0
    """Seconds in which the share of a deployment that joins, or has recovered, grows to its full size."""


@dataclass(frozen=True, slots=True)
class FallbackPolicy:
    """Which model groups to try when a group cannot serve a call, by model group name."""

    general: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    context_window: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    content_policy: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    default: tuple[str, ...] = ()
    """For groups without an entry in `general` (LiteLLM's `default_fallbacks`)."""
    limit: int = 5
    """Fallback groups tried per call at most (`max_fallbacks`)."""

    def chain(self, names: Sequence[str], kind: Kind | None) -> tuple[str, ...]:
        """The groups to try after a call failed with this kind, best first; `names` are those the call goes by."""
        default: tuple[str, ...] = ()
        if kind is Kind.CONTEXT_WINDOW:
            table = self.context_window
        elif kind is Kind.CONTENT_POLICY:
            table = self.content_policy
        else:
            table, default = self.general, self.default
        if not table and not default:
            return ()
        listed = next((table[name] for name in (*names, "*") if name in table), default)
        return tuple(name for name in listed if name not in names)[: self.limit]


@dataclass(frozen=True, slots=True)
class BudgetPolicy:
    """How much retrying a model group may add to its load (Finagle's retry budget).

    Every call earns `ratio` of a retry, `per_second` more are earned with time, and at most `ttl` seconds' worth is
    kept. A retry on a deployment that has lately answered well is free: the budget is there to stop a dying group
    from being hit harder, not to give up calls that a healthy deployment could serve.
    """

    ratio: float = 0.2
    per_second: float = 1.0
    ttl: float = 10.0
    initial: float = 2.0
    """Retries in hand at the start."""


@dataclass(frozen=True, slots=True)
class HedgePolicy:
    """When a call that shows no answer is sent to a second deployment as well, and how often at most.

    The delay is the `quantile` of the model group's last 200 times to an answer (of streams: to the first output), or
    `seconds` if given. Sources: Dean and Barroso, "The Tail at Scale" (2013); Finagle's BackupRequestFilter.
    """

    seconds: float | None = None
    quantile: float = 0.95
    budget: float = 0.02
    """Second attempts per call at most, of which ten may be saved up. Each also takes one of the group's retries."""


@dataclass(frozen=True, slots=True)
class WaitPolicy:
    """How long a call may wait for a limit, a Retry-After or a recovery before it fails."""

    max_wait: float = 60.0
    """Seconds per call in all, when the call has no shorter deadline."""
    max_queue: int = 1000
    """Calls waiting in one model group at once; further ones fail immediately."""


PinStep = Literal["peer", "wait", "probe", "replay", "fail"]
PIN_STEPS: tuple[PinStep, ...] = ("peer", "wait", "probe", "replay", "fail")


@dataclass(frozen=True, slots=True)
class TranscriptPolicy:
    """Whether and how turns of conversations are kept."""

    every: bool = False
    """True: of all providers. False: only where the provider keeps none itself."""
    ttl: float = 30 * 24 * 3600.0
    """Seconds a turn is kept after it was made, or one of the next 32 after it that this process knew to follow it."""
    max_bytes: int = 256 * 2**20
    """Bytes of turns in this process, overhead included."""
    max_turn_bytes: int = 16 * 2**20
    """A turn that is larger is not kept, and its response says so."""
    encrypt: bool = False
    """Encrypted at rest with the id secrets."""


@dataclass(frozen=True, slots=True)
class ResidencyPolicy:
    """In which regions calls may be answered. What is empty allows any; all that is given must hold at once.

    No path of a call leaves these regions: no fallback, retry, hedge, probe, peer or replay.
    """

    everywhere: tuple[str, ...] = ()
    """For all calls of the Router (`allowed_model_region`)."""
    by_group: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """For calls to a model group (`model_group_region`); it goes with the call to its fallbacks."""

    def of(self, group: str | None, own: tuple[str, ...]) -> tuple[tuple[str, ...], ...]:
        """All that holds for a call to this group which itself allows the regions `own`; its own comes last."""
        found = (self.everywhere, self.by_group.get(group, ()) if group is not None else (), own)
        return tuple(one for one in found if one)


AffinityKind = Literal["session", "deployment", "prompt_cache"]
"""What a call's affinity key was made of: its session, its caller, or the beginning of its prompt."""


@dataclass(frozen=True, slots=True)
class AffinityPolicy:
    """Which keys a call's deployment is preferred by, in their order of precedence; none by default."""

    kinds: tuple[AffinityKind, ...] = ()
    by_group: Mapping[str, tuple[AffinityKind, ...]] = field(default_factory=dict[str, tuple[AffinityKind, ...]])
    """For a model group that has an entry, instead of `kinds` (LiteLLM's `model_group_affinity_config`)."""

    def of(self, group: str) -> tuple[AffinityKind, ...]:
        """The kinds that count for calls to a model group."""
        return self.by_group.get(group, self.kinds)
