"""Shared fixtures: a fake cloud, and a guard against leaving this machine."""

import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.postgres import PostgresServer
from tests.valkey import ValkeyCluster, ValkeySentinel, ValkeyServer
from turnout import Router
from turnout.sim.fake_cloud import FakeCloud
from turnout.sim.region import FakeRegion

_UNTIMED: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
"""No test fails because the machine is busy: a speed is a benchmark's to judge."""
settings.register_profile("untimed", **_UNTIMED)
settings.register_profile("ci", derandomize=True, **_UNTIMED)
"""The same examples in every run: a build does not fail by chance. By hand, every run looks for new ones."""
settings.load_profile("ci" if os.environ.get("CI") else "untimed")

SECRET = "a secret of the test suite"
_LOCAL = ("127.0.0.1", "::1", "localhost", None)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


class LeftThisMachine(BaseException):
    """No Exception: nothing may take it for a connection that failed."""


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A connection to anywhere but this machine, or the look-up of a name, is a bug of the test."""
    connect, connect_ex, look_up = socket.socket.connect, socket.socket.connect_ex, socket.getaddrinfo

    def check(host: object) -> None:
        if (host.decode() if isinstance(host, bytes) else host) not in _LOCAL:
            raise LeftThisMachine(f"a test tried to reach {host}")

    def guarded(self: socket.socket, address: Any) -> None:
        if isinstance(address, tuple):
            check(address[0])
        connect(self, address)

    def guarded_ex(self: socket.socket, address: Any) -> int:
        if isinstance(address, tuple):
            check(address[0])
        return connect_ex(self, address)

    def guarded_look_up(host: Any, *args: Any, **options: Any) -> Any:
        check(host)
        return look_up(host, *args, **options)

    monkeypatch.setattr(socket.socket, "connect", guarded)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No credential, address or proxy of this machine's environment reaches a test."""
    for name in _PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "AZURE_API_KEY", "AZURE_API_BASE", "AZURE_API_VERSION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TURNOUT_ID_SECRET", SECRET)


@pytest.fixture
def cloud() -> Iterator[FakeCloud]:
    with FakeCloud([FakeRegion("eastus"), FakeRegion("westus"), FakeRegion("swedencentral")]) as running:
        yield running


@pytest.fixture
def valkey() -> Iterator[ValkeyServer]:
    with ValkeyServer() as server:
        yield server


@pytest.fixture(scope="session")
def valkey_cluster() -> Iterator[ValkeyCluster]:
    """Three masters for all tests: names in it are the test's own, and no test breaks a node."""
    with ValkeyCluster() as cluster:
        yield cluster


@pytest.fixture
def valkey_sentinel() -> Iterator[ValkeySentinel]:
    with ValkeySentinel() as servers:
        yield servers


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests: tables are the test's own, and no test breaks it."""
    with PostgresServer() as server:
        yield server


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
