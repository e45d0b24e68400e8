"""A TCP proxy between the tests and PostgreSQL that can stop to answer."""

import asyncio
import contextlib
import threading
from enum import Enum


class Mode(Enum):
    PASS = "passes everything on"
    DEAF = "accepts and never answers"
    FREEZE = "passes nothing on any more, and closes nothing"


class Proxy:
    """Listens on a port of its own and connects to `port`; both on loopback.

    A connection that was accepted while the proxy was deaf or frozen stays silent; so does one that
    was open when it froze. Until heal(), which closes them, as a network does that is back.
    """

    def __init__(self, port: int) -> None:
        self.mode = Mode.PASS
        self._target = port
        self._frozen: set[asyncio.StreamWriter] = set()
        self._tasks: set[object] = set()  # the loop itself refers to them only weakly
        self._healed = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self.port: int = started.result(10)

    async def _start(self) -> int:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, backlog=1000)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._tasks.add(asyncio.current_task())
        if self.mode is not Mode.PASS:
            self._frozen.add(writer)  # a reference keeps it open
            return
        try:
            there, back = await asyncio.open_connection("127.0.0.1", self._target)
        except OSError:  # the database is away: the client finds its connection closed
            writer.close()
            return
        await asyncio.gather(self._pump(reader, back), self._pump(there, writer))

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                if self.mode is Mode.FREEZE:
                    await self._healed.wait()  # data goes nowhere
                    break
                writer.write(data)
                await writer.drain()
        writer.close()

    def heal(self) -> None:
        """Pass everything on again, and close what fell silent."""
        self.mode = Mode.PASS
        self._loop.call_soon_threadsafe(self._heal)

    def _heal(self) -> None:
        self._healed.set()
        self._healed = asyncio.Event()
        while self._frozen:
            self._frozen.pop().close()

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _stop(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
