"""The regions of a cloud file as fakes that speak their provider's API, and the configuration that calls them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from turnout.sim.anthropic_region import AnthropicRegion
from turnout.sim.cloud_file import CloudFile
from turnout.sim.gemini_region import GeminiRegion
from turnout.sim.region import FakeRegion
from turnout.sim.service import Service, link_spills
from turnout.sim.upstream import Upstream

GROUP = "fake"
"""The model group that all regions are deployments of."""

_WORDS = 100
"""Of an answer, unless the request says how long it is to be."""


class _Kind(NamedTuple):
    """How a provider is faked and called."""

    fake: type[Upstream]
    model: str
    path: str = ""
    """What follows the address in `api_base`."""


_KINDS: Mapping[str, _Kind] = {
    "azure": _Kind(FakeRegion, "azure/gpt-4o"),
    "openai": _Kind(FakeRegion, "openai/gpt-4o", "/v1"),
    "anthropic": _Kind(AnthropicRegion, "anthropic/claude-sonnet-4-5"),
    "gemini": _Kind(GeminiRegion, "gemini/gemini-2.5-flash"),
}


def regions_of(cloud: CloudFile, seed: int = 0) -> list[Upstream]:
    """Fresh regions, with this seed's luck. Raises ConfigError if one spills to a region that is not there."""
    services = {name: Service(name, plan.model, seed=seed) for name, plan in cloud.regions.items()}
    link_spills(services)
    found: list[Upstream] = []
    for name, plan in cloud.regions.items():
        region = _KINDS[plan.provider].fake(name, seed=seed)
        region.words = _WORDS
        region.service = services[name]
        found.append(region)
    return found


def model_list_of(cloud: CloudFile, urls: Mapping[str, str]) -> list[dict[str, Any]]:
    """Rows that call the regions at these addresses: one model group, with each region's name as its id."""
    return [
        {
            "model_name": GROUP,
            "litellm_params": {
                "model": _KINDS[plan.provider].model,
                "api_base": urls[name] + _KINDS[plan.provider].path,
                "api_key": "fake",
            },
            "model_info": {"id": name},
        }
        for name, plan in cloud.regions.items()
    ]
