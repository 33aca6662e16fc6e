"""The region check: data stays where it may be."""

from collections.abc import Sequence

from turnout.context import Call
from turnout.deployment import Deployment, ModelGroup

_EU = frozenset(
    """
    eu
    austriaeast belgiumcentral denmarkeast finlandcentral francecentral francesouth germanynorth germanywestcentral
    greececentral italynorth northeurope polandcentral spaincentral swedencentral swedensouth westeurope
    eu-central-1 eu-north-1 eu-south-1 eu-south-2 eu-west-1 eu-west-3 eusc-de-east-1
    europe-central2 europe-north1 europe-north2 europe-southwest1 europe-west1 europe-west3 europe-west4 europe-west8
    europe-west9 europe-west10 europe-west12
    eu-de eu-es
    """.split()
)
"""Regions of Azure, AWS, Google and IBM inside the European Union. London and Zurich are not, whatever they are called:
eu-west-2, eu-central-2, europe-west2, europe-west6, eu-gb, uksouth, switzerlandnorth; nor are Norway's."""
_US = frozenset(
    """
    us
    centralus eastus eastus2 eastus3 northcentralus southcentralus westcentralus westus westus2 westus3
    usgovarizona usgovtexas usgovvirginia
    """.split()
)
"""Azure's regions in the United States; those of AWS, Google and IBM begin with `us-`."""


class AllowedRegion:
    """Rejects deployments outside of the regions that a call may be answered in.

    A name allows the region of that name, and those it is the beginning of ("eu-west" allows eu-west-1). "eu" stands
    for the member states of the European Union, "us" for the United States. A deployment that states no region is
    rejected: unknown is not allowed.
    """

    def applies(self, call: Call, group: ModelGroup) -> bool:  # noqa: ARG002 (the protocol's signature)
        """False for calls that name no region."""
        return bool(call.regions)

    def reject(self, deployment: Deployment, call: Call) -> str | None:
        """See PreCallCheck."""
        for allowed in call.regions:
            if not is_within(deployment.spec.region, allowed):
                return f"its region is {deployment.spec.region or 'not stated'}, allowed is {' or '.join(allowed)}"
        return None


def is_within(region: str | None, allowed: Sequence[str]) -> bool:
    """True if a region belongs to one of those that are allowed, which are in lower case and without spaces."""
    if region is None:
        return False
    name = region.lower().replace(" ", "")
    return any(_belongs(name, one) for one in allowed)


def _belongs(name: str, allowed: str) -> bool:
    if allowed == "eu":
        return name in _EU
    return name == allowed or name.startswith(f"{allowed}-") or (allowed == "us" and name in _US)
