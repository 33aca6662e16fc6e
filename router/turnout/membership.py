"""Adding, changing and removing deployments while calls run."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from turnout.config import DeploymentSpec, Settings
from turnout.engine.fleet import Fleet
from turnout.errors import ConfigError


class Membership:
    """The rows of one Router."""

    def __init__(
        self,
        fleet: Fleet,
        now: Callable[[], float],
        settings: Settings,
        read: Callable[[Sequence[Mapping[str, Any]]], list[DeploymentSpec]],
    ) -> None:
        self._fleet = fleet
        self._now = now
        self._settings = settings
        self._read = read

    def add_all(self, specs: Sequence[DeploymentSpec]) -> None:
        """Adds specifications that were checked together."""
        for spec in specs:
            self._fleet.add(self._filled(spec), self._now())

    def add(self, row: Mapping[str, Any]) -> str:
        """Adds a row. Raises ConfigError if its deployment is there already."""
        spec = self._apart(self._read([row])[0])
        if spec.id in self._fleet.deployments:
            raise ConfigError(
                f"model_info.id: deployment {spec.id!r} exists already; use upsert_deployment to change it, or give "
                "another model_info.id"
            )
        return self._fleet.add(self._filled(spec), self._now()).id

    def upsert(self, row: Mapping[str, Any]) -> str:
        """Adds a row, or changes its deployment in place."""
        return self._fleet.add(self._filled(self._apart(self._read([row])[0])), self._now()).id

    def remove(self, deployment_id: str) -> bool:
        """Takes a deployment out for new calls."""
        return self._fleet.remove(deployment_id, self._now())

    def replace_all(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Makes the rows those of this list; nothing changes if one of them is wrong."""
        specs = self._read(rows)
        for spec in specs:
            self._fleet.limits.check(spec.id, spec.provider, spec.quotas, spec.prices)
        kept = {spec.id for spec in specs}
        self.add_all(specs)
        for deployment_id in list(self._fleet.deployments):
            if deployment_id not in kept:
                self._fleet.remove(deployment_id, self._now())

    def _apart(self, spec: DeploymentSpec) -> DeploymentSpec:
        """The same upstream in another model group is a deployment of its own."""
        known = self._fleet.deployments.get(spec.id)
        if known is None or known.spec.model_group == spec.model_group or "id" in spec.model_info:
            return spec
        return replace(spec, id=hashlib.sha256(f"{spec.id}|{spec.model_group}".encode()).hexdigest()[:16])

    def _filled(self, spec: DeploymentSpec) -> DeploymentSpec:
        """Settings that stand in for what a row leaves open."""
        settings = self._settings
        parallel = spec.max_parallel_requests or settings.default_max_parallel_requests
        stream_timeout = spec.stream_timeout or settings.stream_timeout
        drop = settings.drop_params if spec.drop_params is None else spec.drop_params
        return replace(spec, max_parallel_requests=parallel, stream_timeout=stream_timeout, drop_params=drop)
