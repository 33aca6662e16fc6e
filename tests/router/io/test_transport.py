"""What both worlds share: proxies, addresses, timeouts."""

import asyncio

import httpcore2
import pytest

from turnout import APIConnectionError, Router
from turnout.io.transport import Trust, bounded, head_of, origin_of, proxy_for, proxy_of
from turnout_adapters.adapter import HTTPRequest


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
    assert [bounded(seconds) for seconds in (-1.0, 3.0)] == [0.0, 3.0]
    assert bounded(1e300) < 1e9


def test_the_header_block_names_host_and_length() -> None:
    def head(method: str, url: str, body: bytes = b"") -> dict[bytes, bytes]:
        found = dict(head_of(HTTPRequest(method, url, [("x-a", "b")], body), httpcore2.URL(url)))
        assert found.pop(b"user-agent").startswith(b"turnout/")
        return found

    assert head("POST", "http://x.example:81/a", b"{}") == {
        b"host": b"x.example:81", b"x-a": b"b", b"content-length": b"2",
    }  # fmt: skip
    assert head("POST", "https://x.example/a")[b"content-length"] == b"0"
    assert head("GET", "http://[::1]:80/") == {b"host": b"[::1]:80", b"x-a": b"b"}


def test_a_proxy_may_have_a_name_and_a_password() -> None:
    proxy = proxy_of("http://me:p%40ss@proxy.example:3128", Trust(trust_env=False))
    assert (proxy.url.host, proxy.url.port, proxy.auth) == (b"proxy.example", 3128, (b"me", b"p@ss"))
    assert proxy_of("proxy.example:1", Trust(trust_env=False)).url.host == b"proxy.example"
    assert proxy_of("http://[::1]:1", Trust(trust_env=False)).url.host == b"::1"


def test_a_connection_that_breaks_is_no_timeout() -> None:
    async def run() -> None:
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        params = {"model": "azure/gpt-4o", "api_key": "any", "api_base": url}
        async with server, Router([{"model_name": "gpt", "litellm_params": params}], num_retries=0) as router:
            with pytest.raises(APIConnectionError):
                await router.aresponses("gpt", "Hello")

    asyncio.run(run())
