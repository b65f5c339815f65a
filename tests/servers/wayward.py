"""A way to an HTTP server on which some replies get lost: never sent, or cut half-way."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

POLL_SECONDS = 0.02
"""How often it is looked whether to stop."""
HOLD_SECONDS = 60.0
"""After which GETs go on even if there are fewer than were waited for."""
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


class Way:
    """What happens to replies; may be changed from any thread."""

    def __init__(self) -> None:
        self.endpoint_url = ""
        self.held: dict[str, int] = {}
        """How many more requests for a path that ends so are accepted and never answered."""
        self.cut: dict[str, int] = {}
        """How many more get half of their reply, after a header that announces all of it."""
        self.asked: list[str] = []
        """The paths that GETs were for, in the order they came."""
        self.going_on = 0
        self.most = 0
        """GETs at once, and the most there have been."""
        self.released = threading.Event()
        self._together = 0
        self._changed = threading.Condition()

    def hold(self, count: int) -> None:
        """Lets no GET through before there are so many at once."""
        self._together = count

    @contextmanager
    def request(self, path: str) -> Iterator[str]:
        """Counts a GET while it goes on; gives the fault that it meets, "" for none."""
        with self._changed:
            self.asked.append(path)
            fault = ""
            for name, faults in (("held", self.held), ("cut", self.cut)):
                for end in faults:
                    if path.endswith(end):
                        fault = name if faults[end] > 0 else fault
                        faults[end] -= 1
            self.going_on += 1
            self.most = max(self.most, self.going_on)
            self._changed.notify_all()
            self._changed.wait_for(lambda: self.most >= self._together, timeout=HOLD_SECONDS)
        try:
            yield fault
        finally:
            with self._changed:
                self.going_on -= 1


@contextmanager
def wayward(endpoint_url: str, seconds: float = 0.0) -> Iterator[Way]:
    """A way to the server at `endpoint_url`, on which each GET takes `seconds` longer."""
    way, behind = Way(), urlsplit(endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        # Clients wait for "100 Continue" before they send a body; only this version of HTTP says it.
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            server = http.client.HTTPConnection(str(behind.hostname), behind.port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            server.request(self.command, self.path, body, headers)
            reply = server.getresponse()
            data = reply.read()
            server.close()
            self.answer(reply.status, dict(reply.getheaders()), data)

        def do_GET(self) -> None:
            with way.request(urlsplit(self.path).path) as fault:
                if fault == "held":
                    way.released.wait()
                    self.close_connection = True
                    return
                way.released.wait(seconds)
                self.is_cut = fault == "cut"
                self.pass_on()

        def answer(self, status: int, headers: Mapping[str, str], data: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command == "HEAD":
                return
            if getattr(self, "is_cut", False):
                data, self.close_connection, self.is_cut = data[: len(data) // 2], True, False
            # Whoever waited too long has hung up.
            with suppress(OSError):
                self.wfile.write(data)

        do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    way.endpoint_url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    try:
        yield way
    finally:
        way.released.set()
        server.shutdown()
        thread.join()
        server.server_close()
