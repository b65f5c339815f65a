"""The double behind a socket on loopback."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self
from urllib.parse import parse_qsl, urlsplit

from mlsession.testing.gcs.messages import LOSE_REPLY, Reply, Request
from mlsession.testing.gcs.service import MAX_PAGE, Service

Intervene = Callable[[Request], Reply | None]
"""What to answer in the service's place: None for nothing, `LOSE_REPLY` to let it act and say nothing."""


POLL_SECONDS = 0.02
"""How often it is looked whether to stop."""


class GcsDouble:
    """A server in threads of this process, from its making until `close`; a context manager.

    `intervene` is asked first for every request, in the thread of its connection; see `Service` for `max_page`.
    """

    def __init__(self, *, intervene: Intervene | None = None, max_page: int = MAX_PAGE) -> None:
        self._service = Service(max_page)
        self._intervene = intervene
        self._lock = threading.Lock()
        self._requests: list[Request] = []
        self._server = _Server(self._answer)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        serve = partial(self._server.serve_forever, poll_interval=POLL_SECONDS)
        self._thread = threading.Thread(target=serve, name="gcs-double", daemon=True)
        self._thread.start()

    @property
    def requests(self) -> tuple[Request, ...]:
        """All requests so far, in the order in which they were read; bodies are left out."""
        with self._lock:
            return tuple(self._requests)

    def close(self) -> None:
        """Stop serving and forget all objects; idempotent."""
        if self._thread.is_alive():
            self._server.shutdown()
            self._thread.join()
            self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _answer(self, request: Request) -> Reply | None:
        with self._lock:
            self._requests.append(
                Request(method=request.method, path=request.path, query=request.query, headers=request.headers)
            )
        instead = self._intervene(request) if self._intervene else None
        if instead is not None and instead is not LOSE_REPLY:
            return instead
        reply = self._service.answer(request, self.url)
        return None if instead is LOSE_REPLY else reply


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # Many clients at once is what it is for.
    request_queue_size = 128

    def __init__(self, answer: Callable[[Request], Reply | None]) -> None:
        self.answer = answer
        super().__init__(("127.0.0.1", 0), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    # Else the second half of a reply waits for the acknowledgement of the first.
    disable_nagle_algorithm = True
    wbufsize = -1

    def _handle(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        address = urlsplit(self.path)
        reply = server.answer(
            Request(
                method=self.command,
                path=address.path,
                query=dict(parse_qsl(address.query, keep_blank_values=True)),
                headers={name.lower(): value for name, value in self.headers.items()},
                body=self.rfile.read(int(self.headers.get("Content-Length") or 0)),
            )
        )
        if reply is None:
            self.close_connection = True
            return
        self.send_response(reply.status)
        for name, value in {**reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    do_GET = do_POST = do_PUT = do_DELETE = _handle  # noqa: N815

    def log_message(self, format: str, *arguments: object) -> None:
        pass
