"""Shared fixtures: a fake cloud, and a guard against leaving this machine."""

import socket
from collections.abc import Iterator

import pytest

from turnout import Router
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.region import FakeRegion

SECRET = "a secret of the test suite"
_LOCAL = ("127.0.0.1", "::1", "localhost")


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine is a bug of the test."""
    connect = socket.socket.connect

    def guarded(self: socket.socket, address: object) -> None:
        if isinstance(address, tuple) and address[0] not in _LOCAL:
            raise AssertionError(f"a test tried to reach {address[0]}")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", guarded)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credential or address of this machine's environment reaches a test."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_API_KEY", "AZURE_API_BASE", "AZURE_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TURNOUT_ID_SECRET", SECRET)


@pytest.fixture
def cloud() -> Iterator[FakeCloud]:
    with FakeCloud([FakeRegion("eastus"), FakeRegion("westus"), FakeRegion("swedencentral")]) as running:
        yield running


def row(cloud: FakeCloud, region: str, group: str = "gpt", **params: object) -> dict[str, object]:
    """A model_list row for a region of the fake cloud."""
    given = {"model": "azure/gpt-4o", "api_key": f"key-of-{region}", "api_base": cloud[region].url, **params}
    return {"model_name": group, "litellm_params": given, "model_info": {"id": region}}


def router_of(cloud: FakeCloud, *regions: str, **settings: object) -> Router:
    """A Router over regions of the fake cloud, all in the model group gpt."""
    return Router([row(cloud, region) for region in regions or cloud.regions], **settings)


def in_flight(router: Router) -> int:
    """Calls that the Router believes are under way."""
    return sum(one.in_flight for one in router.status())
