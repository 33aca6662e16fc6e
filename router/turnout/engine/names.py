"""What a model name stands for: a group, an alias, a wildcard or a deployment id."""

import difflib
from collections.abc import Mapping

from turnout.engine.fleet import Fleet
from turnout.engine.leases import Destination
from turnout.errors import UnknownModelError


class Names:
    """Resolves model names against the fleet as it is now."""

    def __init__(self, fleet: Fleet, aliases: Mapping[str, str]) -> None:
        self._fleet = fleet
        self._aliases = aliases

    def resolve(self, model: str) -> Destination:
        """Group, alias, deployment id, then the most specific wildcard.

        Raises UnknownModelError, which names the nearest name there is.
        """
        fleet = self._fleet
        group = fleet.groups.get(self._aliases.get(model, model))
        if group is not None:
            return Destination(group)
        deployment = fleet.deployments.get(model)
        if deployment is not None:
            return Destination(fleet.groups[deployment.spec.model_group], only=(deployment,))
        wanted = self._aliases.get(model, model)
        for pattern in sorted((name for name in fleet.groups if "*" in name), key=_literal, reverse=True):
            before, _, after = pattern.partition("*")
            if wanted.startswith(before) and wanted.endswith(after) and len(wanted) > len(before) + len(after):
                matched = wanted[len(before) : len(wanted) - len(after)]
                return Destination(fleet.groups[pattern], wildcard=matched)
        raise UnknownModelError(self._unknown(model), param="model")

    def _unknown(self, model: str) -> str:
        names = [*self._fleet.groups, *self._aliases, *self._fleet.deployments]
        near = difflib.get_close_matches(model[:200], names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"configured are {', '.join(sorted(self._fleet.groups)[:10])}"
        return f"model: no model group, alias or deployment is called {model[:200]!r}; {hint}"


def _literal(pattern: str) -> int:
    return len(pattern) - 1
