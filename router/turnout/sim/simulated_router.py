"""The real Router over a virtual network: the same code, other ports."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from os import environ
from typing import Any

from turnout.config import DeploymentSpec, Settings, parse_model_list
from turnout.engine.port import LoopIO
from turnout.io.blocking import BlockingIO
from turnout.io.simulated import NoThreads, SimulatedIO
from turnout.limits.quota import Prices
from turnout.router import Router
from turnout.sim.network import VirtualNetwork
from turnout_adapters.adapter import Target
from turnout_adapters.provider import Provider
from turnout_adapters.providers import PROVIDERS
from turnout_adapters.registry import adapter_for

_SECRET = ("KEY", "TOKEN", "SECRET", "PASSWORD", "CREDENTIALS")
_ADDRESS = ("BASE", "URL", "ENDPOINT")
MADE_UP = ".simulated"
"""The end of hosts whose names are made up."""


class _MadeUp(Mapping[str, str]):
    """The environment, with secrets and addresses made up that it lacks: a simulation needs none."""

    def __getitem__(self, name: str) -> str:
        if name not in environ and name.upper().endswith(_SECRET):
            return f"simulated-{name.lower()}"
        if name not in environ and name.upper().endswith(_ADDRESS):
            return f"https://{name.lower().replace('_', '-')}{MADE_UP}"
        return environ[name]

    def __iter__(self) -> Iterator[str]:
        return iter(environ)

    def __len__(self) -> int:
        return len(environ)


def read_rows(rows: Sequence[Mapping[str, Any]], defaults: Mapping[str, Any] | None = None) -> Sequence[DeploymentSpec]:
    """The deployments of a `model_list`, in order, as a Router has them. Raises ConfigError; secrets may be missing."""
    return parse_model_list(rows, _MadeUp(), defaults)


class SimulatedRouter(Router):
    """A Router whose deployments are regions of a virtual network, by deployment id.

    Every deployment keeps its id, account, provider, limits and prices; what it speaks is the Responses API, whatever
    its provider speaks, since only routing is simulated. It is used inside `turnout.sim.clock.run`, with its async
    methods. `seed` is its chance; two Routers with the same seed, traffic and network do the same. A deployment whose
    id is no region of the network fails like an address where nobody is.
    """

    def __init__(
        self, model_list: Sequence[Mapping[str, Any]], network: VirtualNetwork, *, seed: int = 0, **settings: Any
    ) -> None:
        self._network = network
        self._seed = seed
        super().__init__(model_list, **{"id_secret": "a simulation keeps no secrets", **settings})

    @property
    def prices(self) -> Mapping[str, Prices]:
        """What tokens cost, by deployment id, where the configuration says it."""
        deployments = self._fleet.deployments.values()
        return {one.id: one.spec.prices for one in deployments if one.spec.prices is not None}

    def _environment(self) -> Mapping[str, str]:
        return _MadeUp()

    def _ports(self, settings: Settings) -> tuple[BlockingIO, LoopIO]:  # noqa: ARG002 (no proxies in here)
        looping = SimulatedIO(self._network, seed=self._seed)
        return NoThreads(looping), looping

    def _read(
        self,
        rows: Sequence[Mapping[str, Any]],
        defaults: Mapping[str, Any] | None,
        providers: Mapping[str, Provider],
    ) -> list[DeploymentSpec]:
        return [self._placed(spec) for spec in super()._read(rows, defaults, providers)]

    def _placed(self, spec: DeploymentSpec) -> DeploymentSpec:
        region = self._network.regions.get(spec.id)
        url = f"http://{spec.id}.nowhere" if region is None else region.url
        target = Target(spec.provider, url, headers=(("authorization", "Bearer simulated"),))
        return replace(spec, adapter=adapter_for(PROVIDERS["openai"], "openai-responses"), target=target, rewire=None)
