"""A server that is further away: a proxy of our own that adds latency to each HTTP request to another one."""

from __future__ import annotations

import asyncio
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.servers.process import ServerProcess, serve_until_input_closes

CHUNK_BYTES = 2**16
CONTINUE = b"HTTP/1.1 100"


class LatencyProxy(ServerProcess):
    """One proxy in a process of its own, in front of `endpoint_url`; each request waits `seconds` before it goes on."""

    def __init__(self, endpoint_url: str, seconds: float) -> None:
        super().__init__(str(Path(__file__)), endpoint_url, repr(seconds))
        self.endpoint_url = self.said


class _Turn:
    """Whose turn it is on one connection: what a client sends after a reply is a new request.

    A request may come in several chunks (its header, then its body), and pays once. "100 Continue" is no reply.
    """

    def __init__(self) -> None:
        self.is_new = True


async def _forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: _Turn, seconds: float) -> None:
    while data := await reader.read(CHUNK_BYTES):
        if turn.is_new:
            turn.is_new = False
            await asyncio.sleep(seconds)
        writer.write(data)
        await writer.drain()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, turn: _Turn) -> None:
    while data := await reader.read(CHUNK_BYTES):
        turn.is_new = not data.startswith(CONTINUE)
        writer.write(data)
        await writer.drain()


async def _serve(host: str, port: int, seconds: float) -> None:
    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection(host, port)
        except OSError:
            writer.close()
            return
        turn = _Turn()
        ways = [
            asyncio.ensure_future(_forward(reader, far_writer, turn, seconds)),
            asyncio.ensure_future(_answer(far_reader, writer, turn)),
        ]
        try:
            # Where one side hangs up, or was killed, so does the other.
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            pass  # The proxy ends.
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for end in (writer, far_writer):
            end.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    address = server.sockets[0].getsockname()
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()

    def wait_for_the_end() -> None:
        serve_until_input_closes(f"http://127.0.0.1:{address[1]}")
        loop.call_soon_threadsafe(stopped.set)

    threading.Thread(target=wait_for_the_end, daemon=True).start()
    async with server:
        await stopped.wait()


def serve(endpoint_url: str, seconds: float) -> None:
    """Run the proxy until standard input closes."""
    there = urlsplit(endpoint_url)
    assert there.hostname is not None
    assert there.port is not None
    asyncio.run(_serve(there.hostname, there.port, seconds))


if __name__ == "__main__":
    serve(sys.argv[1], float(sys.argv[2]))
