"""What lies between: certificates, proxies, names and addresses; and event loops of another make."""

import asyncio
import base64
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import uvloop

from tests.conftest import in_flight, router_of
from tests.router.io.conftest import GOOD, row_at, whole
from tests.router.io.tls import Authority
from tests.servers import listening, read_request
from turnout import APIConnectionError, Router, TurnoutError
from turnout.sim.fake_cloud import FakeCloud


async def good(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await read_request(reader)
    writer.write(whole(GOOD))


# --- certificates


def test_an_authority_of_ones_own(api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    with listening(good, tls=authority.server) as url, api(url) as call:
        assert call().output_text == "hi"
        assert call().output_text == "hi"


def test_an_authority_that_nobody_trusts(api: Any, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with listening(good, tls=authority.server) as url, api(url) as call:
        with pytest.raises(APIConnectionError, match="not to be trusted: unable to get local issuer"):
            call()
        assert call.router.status()[0].consecutive_failures == 1


def test_a_certificate_of_another_host(api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority(tmp_path, "elsewhere.example")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    wrong = pytest.raises(APIConnectionError, match=r"certificate is not to be trusted: .*IP address mismatch")
    with listening(good, tls=authority.server) as url, api(url) as call, wrong:
        call()


def test_tls_that_is_none(api: Any) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(whole(GOOD))

    wrong = pytest.raises(APIConnectionError, match=r"connection to https://127\.0\.0\.1:\d+ failed")
    with listening(plain) as url, api(url.replace("http:", "https:")) as call, wrong:
        call()


# --- proxies: this machine is never asked through one, so the upstream has a name that only the proxy knows


@dataclass
class Proxy:
    """What it does, and what it was asked."""

    upstream: str = ""
    refuses: bytes = b""
    hangs: bool = False
    asked: list[str] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    url: str = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        self.asked.append(head.split("\r\n")[0])
        login = next((line for line in head.split("\r\n") if line.lower().startswith("proxy-authorization:")), "")
        self.logins.append(base64.b64decode(login.rpartition(" ")[2]).decode())
        if self.hangs:
            await asyncio.sleep(60)
        if self.refuses:
            writer.write(self.refuses)
            raise ConnectionResetError
        host, port = self.upstream.rpartition("//")[2].split(":")
        there, back = await asyncio.open_connection(host, int(port))
        if head.startswith("CONNECT"):
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            back.write(head.encode("latin-1"))
        await asyncio.gather(_copy(reader, back), _copy(there, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(2**16):
            writer.write(data)
    writer.close()


@pytest.fixture
def proxy() -> Iterator[Proxy]:
    made = Proxy()
    with listening(made.talk) as made.url:
        yield made


@pytest.mark.parametrize("name", ["HTTP_PROXY", "http_proxy", "ALL_PROXY"])
def test_a_proxy_from_the_environment(api: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, proxy.url.replace("//", "//me:s%40cret@"))
    with listening(good) as proxy.upstream, api("http://upstream.test:8080") as call:
        assert call().output_text == "hi"
    assert proxy.asked == ["POST http://upstream.test:8080/responses HTTP/1.1"]
    assert proxy.logins == ["me:s@cret"]


def test_a_tunnel_through_a_proxy(api: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    authority = Authority(tmp_path, "upstream.test")
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.file))
    monkeypatch.setenv("HTTPS_PROXY", proxy.url.replace("//", "//me:secret@"))
    with listening(good, tls=authority.server) as proxy.upstream, api("https://upstream.test") as call:
        assert call().output_text == "hi"
    assert proxy.asked == ["CONNECT upstream.test:443 HTTP/1.1"]
    assert proxy.logins == ["me:secret"]


def test_no_proxy_where_none_is_wanted(api: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    with listening(good) as url:
        with api(url) as call:  # this machine
            assert call().output_text == "hi"
        for given in ({"trust_env": False}, {}):
            monkeypatch.setenv("NO_PROXY", "" if given else "upstream.test")
            resolve(monkeypatch, {"upstream.test": ["127.0.0.1"]})
            with api(url.replace("127.0.0.1", "upstream.test"), **given) as call:
                assert call().output_text == "hi"
    assert proxy.asked == []


@pytest.mark.parametrize("tls", [False, True], ids=["forwarded", "tunnel"])
@pytest.mark.parametrize("how", ["wants a login", "has no way", "hangs up", "hangs", "is not there"])
def test_a_proxy_that_does_not_help(
    api: Any, proxy: Proxy, monkeypatch: pytest.MonkeyPatch, how: str, tls: bool
) -> None:
    answers = {
        "wants a login": b"HTTP/1.1 407 Login\r\ncontent-length: 0\r\n\r\n",
        "has no way": b"HTTP/1.1 502 No\r\n\r\n",
    }
    proxy.refuses, proxy.hangs = answers.get(how, b"rubbish"), how == "hangs"
    url = proxy.url if how != "is not there" else "http://127.0.0.1:1"
    for name in ("HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, url.replace("//", "//me:secret-of-the-proxy@"))
    with api("https://upstream.test" if tls else "http://upstream.test") as call:
        with pytest.raises(TurnoutError) as caught:
            call(timeout=0.5 if how == "hangs" else 5)
        assert "secret-of-the-proxy" not in f"{caught.value!r} {caught.value} {caught.value.__cause__!r}"
        assert in_flight(call.router) == 0
        if how != "hangs":
            assert call.router.status()[0].consecutive_failures == 1


# --- names and addresses


def resolve(monkeypatch: pytest.MonkeyPatch, names: dict[str, list[str]]) -> None:
    """Names as a name server would know them, and no others."""
    there = socket.getaddrinfo

    def look_up(host: Any, port: Any, *args: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name in names:
            return [one for address in names[name] for one in there(address, port, *args, **options)]
        if name in ("127.0.0.1", "::1", None) or name[0].isdigit():
            return there(host, port, *args, **options)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", look_up)


def test_ipv6(api: Any) -> None:
    with listening(good, host="::1") as url, api(url) as call:
        assert url.startswith("http://[::1]:")
        assert call().output_text == "hi"


def test_a_name_that_nobody_knows(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    resolve(monkeypatch, {})
    with listening(good) as url:
        unknown = pytest.raises(APIConnectionError, match=r"http://nowhere.invalid failed .*Name or service not known")
        with api("http://nowhere.invalid") as call, unknown:
            call(timeout=5)
        with api("http://nowhere.invalid", spare=url, num_retries=1) as call:
            assert call(timeout=5).route.deployment == "spare"


def test_nobody_listens(api: Any) -> None:
    refused = pytest.raises(APIConnectionError, match=r"http://127\.0\.0\.1:1 failed .*refused")
    with api("http://127.0.0.1:1") as call, refused:
        call(timeout=5)


def test_the_second_address_of_a_host(api: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first refuses; whoever can be reached is."""
    resolve(monkeypatch, {"both.test": ["127.0.0.2", "127.0.0.1"]})
    allow(monkeypatch, "127.0.0.2")
    with listening(good) as url, api(url.replace("127.0.0.1", "both.test")) as call:
        assert call(timeout=5).output_text == "hi"


def allow(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    """This one, too, is on this machine."""
    monkeypatch.setattr("tests.conftest._LOCAL", ("127.0.0.1", "::1", "localhost", None, address))


def test_a_host_that_never_answers_a_connection(api: Any) -> None:
    """Its backlog is full: connecting hangs, and the attempt's timeout holds."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(0)
        address = server.getsockname()
        with contextlib.ExitStack() as filled:
            for _ in range(4):
                one = filled.enter_context(socket.socket())
                one.settimeout(0)
                with contextlib.suppress(BlockingIOError):
                    one.connect(address)
            full, given = f"http://127.0.0.1:{address[1]}", {"num_retries": 1, "attempt_timeout": 0.5}
            with listening(good) as url, api(full, spare=url, **given) as call:
                started = time.monotonic()
                assert call(timeout=10).route.deployment == "spare"
                assert time.monotonic() - started < 5


# --- uvloop


def under_uvloop(main: Callable[[], Any]) -> Any:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main())


@pytest.mark.parametrize("fast", [True, False], ids=["aiohttp", "httpcore2"])
def test_another_event_loop(cloud: FakeCloud, fast: bool) -> None:
    """Calls, streams, cancelled ones and dropped ones; everything comes back."""
    cloud["eastus"].word_seconds = 0.005

    async def main() -> None:
        async with router_of(cloud, "eastus") as router:
            router._looping._fast = fast  # type: ignore[attr-defined]
            answers = await asyncio.gather(*[router.aresponses("gpt", "hello") for _ in range(20)])
            assert {one.status for one in answers} == {"completed"}
            stream = await router.aresponses("gpt", "hello", stream=True)
            assert [event async for event in stream][-1].type == "response.completed"
            tasks = [asyncio.create_task(router.aresponses("gpt", "hello")) for _ in range(10)]
            await asyncio.sleep(0.001)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            dropped = await router.aresponses("gpt", "hello", stream=True)
            await anext(dropped)
            del dropped
            await asyncio.sleep(0.05)
            assert in_flight(router) == 0
        for _ in range(200):
            if not cloud["eastus"].connections:
                return
            await asyncio.sleep(0.01)
        pytest.fail("connections are left")

    under_uvloop(main)


def test_a_router_goes_from_loop_to_loop(cloud: FakeCloud) -> None:
    with router_of(cloud, "eastus") as router:
        for run in (asyncio.run, lambda one: under_uvloop(lambda: one), asyncio.run):
            assert run(router.aresponses("gpt", "hello")).status == "completed"
        assert router.responses("gpt", "hello").status == "completed"


def test_a_loop_that_is_no_asyncio_is_told_so() -> None:
    """Another kind of loop runs our coroutines, and finds no asyncio in it."""
    with Router([row_at("http://127.0.0.1:1")]) as router:
        waiting = router.aresponses("g", "hello")
        with pytest.raises(RuntimeError, match="no running event loop"):
            waiting.send(None)
