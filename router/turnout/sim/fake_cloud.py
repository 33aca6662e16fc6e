"""Serves fake regions, of any provider, over real sockets, from an event loop in a thread of its own.

    with FakeCloud([FakeRegion("eastus"), FakeRegion("westus")]) as cloud:
        cloud["eastus"].url
        cloud.kill("eastus")

Leaving the `with` block closes every socket and ends the thread, whatever happened inside.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from turnout.sim.connection import Connection, WatchedReader
from turnout.sim.schedule import Change, follow
from turnout.sim.service import Service
from turnout.sim.upstream import Upstream


class FakeCloud:
    """A set of regions, each with an address of its own on 127.0.0.1.

    `first_port` is that of the first region, and the others follow in order; by default the system chooses.
    """

    def __init__(self, regions: Sequence[Upstream], *, first_port: int | None = None) -> None:
        self.regions = {region.name: region for region in regions}
        self._servers: dict[str, asyncio.Server] = {}
        self._ports: dict[str, int] = {}
        if first_port is not None:
            self._ports = {name: first_port + index for index, name in enumerate(self.regions)}
        self._playing: asyncio.Task[None] | None = None
        self._opening: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fake-cloud", daemon=True)

    def __getitem__(self, name: str) -> Upstream:
        return self.regions[name]

    def __enter__(self) -> Self:
        self._thread.start()
        try:
            for region in self.regions.values():
                self._do(self._listen(region))
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._do(self._shut())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def kill(self, name: str) -> None:
        """The region refuses connections, and drops those it has."""
        self._do(self._close(self.regions[name]))

    def revive(self, name: str) -> None:
        """The region is back, at the same address."""
        if name not in self._servers:
            self._do(self._listen(self.regions[name]))

    def is_up(self, name: str) -> bool:
        """True unless it was killed."""
        return name in self._servers

    @property
    def services(self) -> Mapping[str, Service]:
        """What a schedule of faults changes."""
        return {name: region.service for name, region in self.regions.items() if region.service is not None}

    def play(self, planned: Sequence[Change], changed: Callable[[Change], None] | None = None) -> None:
        """Makes the changes when their time comes, counted from now. A region that is down really does not listen.

        `changed` is told of each, in the cloud's own thread.
        """
        self._do(self._play(planned, changed))

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _play(self, planned: Sequence[Change], changed: Callable[[Change], None] | None) -> None:
        def happened(change: Change) -> None:
            if change.condition == "refused" and change.value:
                self._turn_away(change.region)
            elif change.condition == "refused":
                self._opening = asyncio.ensure_future(self._listen(self.regions[change.region]))
            if changed is not None:
                changed(change)

        self._playing = asyncio.ensure_future(follow(planned, self.services, happened))

    def _turn_away(self, name: str) -> None:
        """Refuses connections; what is under way goes on, and kept connections are reset at their next request."""
        server = self._servers.pop(name, None)
        if server is not None:
            server.close()

    async def _listen(self, region: Upstream) -> None:
        if region.name in self._servers:
            return
        loop = asyncio.get_running_loop()

        def protocol() -> asyncio.StreamReaderProtocol:
            reader = WatchedReader(loop=loop)

            async def connected(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await self._connected(Connection(region, reader, writer))

            return asyncio.StreamReaderProtocol(reader, connected, loop=loop)

        server = await loop.create_server(protocol, "127.0.0.1", self._ports.get(region.name, 0), backlog=1024)
        self._servers[region.name] = server
        self._ports[region.name] = server.sockets[0].getsockname()[1]
        region.url = f"http://127.0.0.1:{self._ports[region.name]}"

    async def _connected(self, connection: Connection) -> None:
        region, task = connection.region, asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.set_name(region.name)
        region.connections += 1
        try:
            await connection.serve()
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError, TimeoutError):
            pass
        finally:
            region.connections -= 1
            if task is not None:
                self._tasks.discard(task)
            connection.writer.close()

    async def _close(self, region: Upstream) -> None:
        server = self._servers.pop(region.name, None)
        if server is None:
            return
        server.close()
        mine = [task for task in self._tasks if task.get_name() == region.name]
        for task in mine:
            task.cancel()
        await asyncio.gather(*mine, return_exceptions=True)

    async def _shut(self) -> None:
        for region in self.regions.values():
            await self._close(region)
        left = asyncio.all_tasks() - {asyncio.current_task()}  # connections that were accepted and not yet served
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)
        await asyncio.sleep(0.01)  # transports close in the loop's next rounds
