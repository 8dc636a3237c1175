"""A TCP proxy that can cut connections, let them die in silence, swallow what comes, or be slow."""

from __future__ import annotations

import asyncio
import threading

READ = 65_536


class Proxy:
    """Stands before a server of this machine until it is closed. Listens on `port`.

    `delay` is in seconds, each way.
    """

    def __init__(self, target: int, port: int = 0) -> None:
        self.target, self.port = target, port
        self.delay = 0.0
        self._open = asyncio.Event()
        self._open.set()
        self._writers: set[asyncio.StreamWriter] = set()
        self._dead: dict[asyncio.Event, set[asyncio.StreamWriter]] = {}
        self._loop = asyncio.new_event_loop()
        ready = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        server = self._loop.run_until_complete(asyncio.start_server(self._accept, "127.0.0.1", self.port))
        self.port = server.sockets[0].getsockname()[1]
        ready.set()
        self._loop.run_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            there, onward = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.close()
            return
        self._writers |= {writer, onward}
        gate = self._open
        await asyncio.gather(self._pass(reader, onward, gate), self._pass(there, writer, gate), return_exceptions=True)
        for end in (writer, onward):
            self._writers.discard(end)
            end.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event) -> None:
        try:
            while body := await reader.read(READ):
                if self.delay:
                    await asyncio.sleep(self.delay)
                await gate.wait()  # what came stays here and goes on afterwards, as packets sent again do
                writer.write(body)
                await writer.drain()
        except OSError:
            pass
        finally:
            writer.close()

    def cut(self) -> None:
        """Reset every open connection."""
        self._loop.call_soon_threadsafe(self._abort)

    def _abort(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    def swallow(self) -> None:
        """Connections stay open and nothing comes through."""
        self._loop.call_soon_threadsafe(self._open.clear)

    def deaden(self) -> None:
        """Open connections stay open and nothing comes through, also afterwards; new ones are as good as before."""
        self._loop.call_soon_threadsafe(self._forget)

    def _forget(self) -> None:
        self._open.clear()
        self._dead[self._open], self._writers = self._writers, set()
        self._open = asyncio.Event()
        self._open.set()

    def heal(self) -> None:
        """Let everything through again, at once; what is dead ends."""
        self.delay = 0.0
        self._loop.call_soon_threadsafe(self._heal)

    def _heal(self) -> None:
        self._open.set()
        for gate, writers in self._dead.items():
            for writer in writers:
                writer.transport.abort()
            gate.set()
        self._dead = {}

    def close(self) -> None:
        """Stop listening."""
        self._loop.call_soon_threadsafe(self._abort)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
