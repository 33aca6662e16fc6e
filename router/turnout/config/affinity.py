"""LiteLLM's settings of affinity to one frozen value."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from turnout.config import check
from turnout.policies import AffinityKind, AffinityPolicy
from turnout_adapters.registry import nearest

KINDS: Mapping[str, AffinityKind] = {
    "session_affinity": "session",
    "deployment_affinity": "deployment",
    "prompt_caching": "prompt_cache",
}
"""By LiteLLM's names, in their order of precedence."""
ALWAYS_ON = ("responses_api_deployment_check", "encrypted_content_affinity")
"""Accepted by name; the state of a conversation comes first whether they are named or not."""


def affinity_policy(found: Mapping[str, Any], groups: Collection[str]) -> AffinityPolicy:
    """The policy. Raises ConfigError naming the field and the fix.

    `deployment_affinity_ttl_seconds` is checked and changes nothing: no assignment is stored that could expire.
    """
    if "deployment_affinity_ttl_seconds" in found:
        check.number(found["deployment_affinity_ttl_seconds"], "deployment_affinity_ttl_seconds", positive=True)
    by_group: dict[str, tuple[AffinityKind, ...]] = {}
    given = check.mapping(found.get("model_group_affinity_config", {}), "model_group_affinity_config")
    for group, names in given.items():
        where = f"model_group_affinity_config.{group}"
        if group not in groups:
            raise check.fail(where, f"no model group is called {group!r}; {nearest(group, groups)}")
        by_group[group] = _kinds(_known(check.texts(names, where), where))
    everywhere = check.sequence(found.get("optional_pre_call_checks", ()), "optional_pre_call_checks", "checks")
    return AffinityPolicy(_kinds([one for one in everywhere if isinstance(one, str)]), by_group)


def _known(names: Sequence[str], where: str) -> Sequence[str]:
    allowed = (*KINDS, *ALWAYS_ON)
    for index, name in enumerate(names):
        if name not in allowed:
            raise check.fail(f"{where}[{index}]", f"unknown affinity {name!r}; {nearest(name, allowed)}")
    return names


def _kinds(names: Sequence[str]) -> tuple[AffinityKind, ...]:
    return tuple(kind for name, kind in KINDS.items() if name in names)
