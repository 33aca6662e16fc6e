"""The region check: data stays where it may be."""

from turnout.context import Call
from turnout.deployment import Deployment, ModelGroup


class AllowedRegion:
    """Rejects deployments outside the call's `allowed_model_region`; "eu" and "us" match any region beginning so."""

    def applies(self, call: Call, group: ModelGroup) -> bool:  # noqa: ARG002 (the protocol's signature)
        """False for calls that name no region."""
        return call.region is not None

    def reject(self, deployment: Deployment, call: Call) -> str | None:
        """See PreCallCheck. A deployment that states no region is rejected: unknown is not allowed."""
        wanted, region = call.region, deployment.spec.region
        if wanted is None or (region is not None and _within(region.lower(), wanted.lower())):
            return None
        return f"its region is {region or 'not stated'}, the call allows {wanted}"


_EUROPE = ("eu", "europe", "westeurope", "northeurope", "sweden", "france", "germany", "swiss", "switzerland", "norway",
           "italy", "poland", "spain", "uk")  # fmt: skip
_AMERICA = ("us", "eastus", "westus", "centralus", "northcentralus", "southcentralus", "westcentralus")


def _within(region: str, wanted: str) -> bool:
    families = {"eu": _EUROPE, "us": _AMERICA}
    return region == wanted or region.startswith((f"{wanted}-", *families.get(wanted, ())))
