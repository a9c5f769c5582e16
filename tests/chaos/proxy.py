"""A proxy in front of a server's socket, that can cut connections, refuse them, and lose replies."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from pathlib import Path
from threading import Event, Thread
from types import TracebackType


class Proxy:
    """Listens on a free port of the loopback, and passes everything to and from a unix socket.

    A context manager. Its methods may be called from any thread. ``counts`` holds what it did.
    """

    def __init__(self, upstream: Path, rng: random.Random) -> None:
        self.upstream = upstream
        self.rng = rng
        self.counts: Counter[str] = Counter()
        self.lose_replies = 0.0
        self.refuses = False
        self.pairs: set[_ToServer] = set()
        self.port = 0
        self._loop = asyncio.new_event_loop()
        self._listening = Event()
        self._thread = Thread(target=self._run, name="proxy", daemon=True)

    def __enter__(self) -> Proxy:
        self._thread.start()
        self._listening.wait()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.cut()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Close every connection now; new ones are welcome."""
        self._loop.call_soon_threadsafe(self._cut)

    def refuse(self, whether: bool) -> None:
        """Refuse service from now on, or no more: new connections are closed at once, the old ones now."""
        self.refuses = whether
        if whether:
            self.cut()

    def _cut(self) -> None:
        for pair in list(self.pairs):
            pair.close()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        listening = self._loop.create_server(lambda: _ToClient(self), "127.0.0.1", 0)
        server = self._loop.run_until_complete(listening)
        self.port = server.sockets[0].getsockname()[1]
        self._listening.set()
        self._loop.run_forever()
        server.close()
        self._cut()
        while asyncio.all_tasks(self._loop) or self.pairs:  # what was cut is closed in the loop's next turns
            self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.run_until_complete(asyncio.sleep(0))


class _ToClient(asyncio.Protocol):
    """The end that a client has connected to."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._early: list[bytes] = []
        self._server: _ToServer | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        if self._proxy.refuses:
            transport.abort()
        else:
            self._connecting = asyncio.get_running_loop().create_task(self._connect())

    async def _connect(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            _, server = await loop.create_unix_connection(lambda: _ToServer(self._proxy, self.transport),
                                                          str(self._proxy.upstream))
        except OSError:
            self.transport.abort()
            return
        self._server = server
        for data in self._early:
            server.transport.write(data)
        if self.transport.is_closing():
            server.close()

    def data_received(self, data: bytes) -> None:
        if self._server is None:
            self._early.append(data)
        else:
            self._server.transport.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        if self._server is not None:
            self._server.close()


class _ToServer(asyncio.Protocol):
    """The end that is connected to the server."""

    def __init__(self, proxy: Proxy, client: asyncio.Transport) -> None:
        self._proxy = proxy
        self._client = client

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._proxy.pairs.add(self)

    def data_received(self, data: bytes) -> None:
        # The server has done what it was asked; the client will not hear of it.
        if self._proxy.lose_replies and self._proxy.rng.random() < self._proxy.lose_replies:
            self._proxy.counts["replies lost"] += 1
            self.close()
        else:
            self._client.write(data)

    def connection_lost(self, _error: Exception | None) -> None:
        self._proxy.pairs.discard(self)
        self._client.close()

    def close(self) -> None:
        self.transport.abort()
        self._client.abort()
