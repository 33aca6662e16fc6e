"""The Routers under test: of a user's own deployments, or of a fake cloud in their place."""

import contextlib
import ipaddress
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from os import environ
from pathlib import Path
from secrets import token_hex
from typing import Any
from urllib.parse import urlsplit

from turnout import Router
from turnout.config import DeploymentSpec
from turnout.errors import ConfigError, UnknownModelError
from turnout.limits.quota import Prices
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.network import VirtualNetwork
from turnout.sim.plain_region import PlainRegion
from turnout.sim.region import FakeRegion
from turnout.sim.schedule import ScheduledFault, changes
from turnout.sim.service import Service, ServiceModel
from turnout.sim.simulated_router import SimulatedRouter
from turnout.sim.upstream import Upstream
from turnout.yaml_config import read_config


@dataclass(frozen=True, slots=True)
class Target:
    """One configuration under test."""

    name: str
    router: Router
    model: str
    """What is called: a model group, or another name that the Router knows."""
    fake: bool
    prices: Mapping[str, Prices] = field(default_factory=dict)
    """By deployment id, of those that have some."""

    def unpriced(self) -> list[str]:
        """Deployments of which it is not known what they cost. Fallbacks may reach any of them."""
        return [one.id for one in self.router.status() if one.id not in self.prices]

    def remote(self) -> list[str]:
        """Addresses that are not on this machine."""
        return sorted({one.base_url for one in self.router.status() if not is_local(one.base_url)})

    def dearest(self, prompt_tokens: int, output_tokens: int) -> float:
        """Dollars that one attempt may cost, wherever it is made."""
        tokens = (prompt_tokens, output_tokens)
        return max((dollars(prices, *tokens) for prices in self.prices.values()), default=0.0)


class FakeCloudRouter(SimulatedRouter):
    """A Router whose deployments are regions of a fake cloud: what it sends goes over real sockets."""

    def _ports(self, settings: Any) -> Any:
        return Router._ports(self, settings)


def dollars(prices: Prices, prompt_tokens: int, output_tokens: int) -> float:
    """What so many tokens cost."""
    return (prompt_tokens * prices.input + output_tokens * prices.output) / 1e12


def is_local(url: str) -> bool:
    """True for addresses of this machine. Names other than localhost are not looked up."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def fake_regions(specs: Iterable[DeploymentSpec]) -> list[Upstream]:
    """What stands for these deployments: regions with their ids and limits, and with the usual times of a model."""
    return [PlainRegion(Service(one.id, ServiceModel(tpm=one.tpm, rpm=one.rpm))) for one in specs]


@dataclass(frozen=True, slots=True)
class Stage:
    """All that a test needs to be up. The cloud is None where real deployments are called."""

    targets: Sequence[Target]
    cloud: FakeCloud | None = None

    def play(self, faults: Sequence[ScheduledFault]) -> None:
        """Lets these faults of the cloud happen, counted from now."""
        if self.cloud is not None:
            self.cloud.play(changes(faults, list(self.cloud.regions)))

    def check(self, faults: Sequence[ScheduledFault]) -> None:
        """Raises ConfigError for faults that cannot happen here."""
        if faults and self.cloud is None:
            raise ConfigError("--fault: only a fake cloud fails at will; give --fake", param="fault")
        if self.cloud is not None:
            changes(faults, list(self.cloud.regions))


@asynccontextmanager
async def opened(configs: Sequence[Path], model: str | None, *, fake: bool) -> AsyncGenerator[Stage]:
    """The Routers of these configurations, closed again at the end of the block, and the fake cloud with them.

    Raises ConfigError for a configuration that is wrong or has no such model group.
    """
    await _warm_up()
    async with contextlib.AsyncExitStack() as stack:
        cloud = stack.enter_context(FakeCloud(fake_regions(_specs(configs)))) if fake else None
        found: list[Target] = []
        for config in configs:
            router = _router(config, cloud)
            await stack.enter_async_context(router)
            name = config.name if config.name not in [one.name for one in found] else str(config)
            prices = {one.id: one.prices for one in specs_of(router) if one.prices is not None}
            found.append(Target(name, router, _group(router, model, config), fake, prices))
        yield Stage(found, cloud)


def _router(config: Path, cloud: FakeCloud | None) -> Router:
    rows, settings = read_config(config)
    if cloud is not None:
        return FakeCloudRouter(rows, cloud, **settings)
    if not environ.get("TURNOUT_ID_SECRET"):
        settings.setdefault("id_secret", token_hex())  # no id outlives the test, so that none need be understood
    return Router(rows, **settings)


async def _warm_up() -> None:
    """One call to nowhere that matters: what a first call has to load must not be measured."""
    with FakeCloud([FakeRegion("warm-up")]) as cloud:
        params = {"model": "azure/none", "api_key": "none", "api_base": cloud["warm-up"].url}
        row = {"model_name": "none", "litellm_params": params}
        async with Router([row], id_secret=token_hex()) as router:
            await router.aresponses("none", "Hello.")
            async with await router.aresponses("none", "Hello.", stream=True) as events:
                async for _ in events:
                    pass


def _specs(configs: Sequence[Path]) -> Iterable[DeploymentSpec]:
    """The deployments of these configurations, each once, without a call to anywhere."""
    nowhere = VirtualNetwork([])
    found: dict[str, DeploymentSpec] = {}
    for config in configs:
        with SimulatedRouter.from_yaml(config, network=nowhere) as router:
            found = {one.id: one for one in specs_of(router)} | found
    return found.values()


def specs_of(router: Router) -> list[DeploymentSpec]:
    """What a Router knows of its deployments."""
    return [one.spec for one in router._fleet.deployments.values()]


def _group(router: Router, model: str | None, config: Path) -> str:
    """What is called: a model group, an alias, a deployment id or what a wildcard matches."""
    groups = list(dict.fromkeys(one.model_group for one in router.status()))
    if model is None and "*" in groups[0]:
        raise ConfigError(f"{config}: say by --model what to call; the first model group is {groups[0]!r}")
    try:
        router.explain(model or groups[0], "Hello.")
    except UnknownModelError:
        told = f"{config} has no model group {model!r}; it has {', '.join(groups)}"
        raise ConfigError(f"--model: {told}", param="model") from None
    return model or groups[0]
