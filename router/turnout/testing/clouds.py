"""Rows of `model_list` for the regions of a fake cloud."""

from typing import Any

from turnout.sim.fake_cloud import FakeCloud

_MODELS = {
    "AnthropicRegion": "anthropic/claude-sonnet-4-5",
    "GeminiRegion": "gemini/gemini-3-pro",
}
"""What a row names as its model, by the kind of region."""
_AZURE = "azure/gpt-4o"


def rows_for(cloud: FakeCloud, *regions: str, group: str = "gpt", **params: Any) -> list[dict[str, Any]]:
    """A row for each of these regions, or for all, in one model group; a deployment's id is its region's name.

    `params` are further litellm_params of every row (`model`, `weight`, `rpm` ...). Raises KeyError for a region that
    the cloud does not have.
    """
    return [_row(cloud, name, group, params) for name in regions or cloud.regions]


def _row(cloud: FakeCloud, name: str, group: str, params: dict[str, Any]) -> dict[str, Any]:
    region = cloud[name]
    given = {
        "model": _MODELS.get(type(region).__name__, _AZURE),
        "api_key": next(iter(sorted(region.api_keys)), f"key-of-{name}"),
        "api_base": region.url,
        **params,
    }
    return {"model_name": group, "litellm_params": given, "model_info": {"id": name}}
