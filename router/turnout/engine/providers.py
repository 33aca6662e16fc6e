"""When a provider as a whole is put last: it says that it is overloaded, whichever deployment asks. Pure.

An ejection is soft: calls go to other providers of the model group, then to fallbacks, and to the provider itself where
there is nobody else. Only the answer "overloaded" (529 and the like) counts. Other errors are a deployment's own: the
regions of a cloud fail one by one.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from turnout.deployment import Deployment

_WINDOW = 10.0
"""Seconds in which overloaded answers are counted together."""
_DEPLOYMENTS = 2
_ALONE = 3
"""Overloaded answers that eject the provider of a single deployment."""
_BASE, _CAP = 10.0, 60.0
"""Seconds of the first pause and of the longest; jittered by half."""
_TRIAL = 10.0
"""Seconds that one call has to find out whether the provider is back, before another may."""
_FORGET = 120.0
"""Seconds after the last news for which a provider's trips are remembered."""


@dataclass(slots=True)
class _Overload:
    """What is known of one provider that has said so."""

    since: float
    deployments: set[str] = field(default_factory=set[str])
    """Which were told so since then."""
    refused: int = 0
    served: int = 0
    trips: int = 0
    until: float | None = None
    """The end of its pause; None while it is not ejected."""
    on_trial: bool = False
    """A call is finding out whether it is back."""

    def count_anew(self, now: float) -> None:
        self.since = now
        self.deployments.clear()
        self.refused = self.served = 0


class Providers:
    """The providers of one Router that are, or lately were, overloaded. Changed under the fleet's lock."""

    def __init__(self, *, enabled: bool) -> None:
        self.ill: dict[str, _Overload] = {}
        """Empty while nobody has said so, which is all that a call looks at then."""
        self._enabled = enabled

    def shunned(self, now: float) -> tuple[str, ...]:
        """Those that are put last now. One whose pause is over is not, until a call has been sent there."""
        return tuple(name for name, one in self.ill.items() if one.until is not None and one.until > now)

    def are_shunned(self, members: Sequence[Deployment], now: float) -> bool:
        """True if some of a model group's deployments are put last now."""
        shunned = self.shunned(now)
        return bool(shunned) and any(one.spec.provider in shunned for one in members)

    def begin(self, provider: str, now: float) -> None:
        """A call is sent to the provider. The first one after a pause is its trial; others keep away meanwhile."""
        one = self.ill.get(provider)
        if one is not None and one.until is not None and one.until <= now:
            one.on_trial = True
            one.until = now + _TRIAL

    def overloaded(
        self, provider: str, deployment: str, now: float, rng: Random, *, alone: bool, retry_after: float | None
    ) -> None:
        """The provider said so. `alone`: it has no other deployment.

        It is ejected when two of its deployments were told so within 10 s, or its only one three times, and at least
        half of the answers since the first of them said so; on trial, at once.
        """
        if not self._enabled:
            return
        one = self.ill.setdefault(provider, _Overload(now))
        if one.until is not None:
            if one.on_trial:
                _eject(one, now, rng, retry_after)
            return
        if now - one.since > _FORGET:
            one.trips = 0
        if now - one.since > _WINDOW:
            one.count_anew(now)
        one.deployments.add(deployment)
        one.refused += 1
        enough = one.refused >= _ALONE if alone else len(one.deployments) >= _DEPLOYMENTS
        if enough and one.refused >= one.served:
            _eject(one, now, rng, retry_after)

    def served(self, provider: str, now: float) -> None:
        """The provider gave a good answer, which ends its trial."""
        one = self.ill.get(provider)
        if one is None:
            return
        if one.on_trial:
            one.on_trial, one.until = False, None
            one.count_anew(now)
        elif one.until is None and now - one.since > _FORGET:
            del self.ill[provider]
        else:
            one.served += 1


def _eject(one: _Overload, now: float, rng: Random, retry_after: float | None) -> None:
    longest = min(_CAP, _BASE * 2.0 ** min(one.trips, 16))
    one.trips += 1
    one.on_trial = False
    one.until = now + max(longest / 2 + rng.random() * longest / 2, min(retry_after or 0.0, _CAP))
    one.count_anew(now)
