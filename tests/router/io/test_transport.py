"""What both worlds share: proxies, addresses, timeouts."""

import asyncio

import pytest

from turnout import APIConnectionError, Router
from turnout.io.transport import origin_of, proxy_for, timeouts


def test_proxies_come_from_the_environment_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy:1")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:2")
    monkeypatch.setenv("NO_PROXY", "inside.example")
    assert proxy_for("https://x.openai.azure.com", trust_env=True) == "http://proxy:1"
    assert proxy_for("http://x.example:8000", trust_env=True) == "http://proxy:2"
    assert proxy_for("https://api.inside.example", trust_env=True) is None
    assert proxy_for("http://127.0.0.1:8000", trust_env=True) is None
    assert proxy_for("https://x.openai.azure.com", trust_env=False) is None


def test_addresses_and_timeouts() -> None:
    assert origin_of("https://x.example:1/a/b?c=d") == "https://x.example:1"
    assert origin_of("https://x.example") == "https://x.example"
    assert timeouts(3.0) == {"connect": 3.0, "pool": 3.0, "write": 3.0, "read": 3.0}
    assert timeouts(60.0, 600.0) == {"connect": 10.0, "pool": 60.0, "write": 60.0, "read": 600.0}
    assert timeouts(-1.0)["read"] > 0


def test_a_connection_that_breaks_is_no_timeout() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        params = {"model": "azure/gpt-4o", "api_key": "any", "api_base": url}
        async with server, Router([{"model_name": "gpt", "litellm_params": params}], num_retries=0) as router:
            with pytest.raises(APIConnectionError):
                await router.aresponses("gpt", "Hello")

    asyncio.run(run())
