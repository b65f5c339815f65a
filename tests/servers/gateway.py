"""A gate in front of an S3 server that lets through only who comes with the key of the hour."""

from __future__ import annotations

import http.client
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

_REFUSAL = (
    b"<?xml version='1.0'?><Error><Code>ExpiredToken</Code><Message>The provided token has expired.</Message></Error>"
)
_HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "expect"}


class Gate:
    """Which key is good now; may be changed from any thread."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.endpoint_url = ""
        self.refused = 0
        """Requests that came with another key."""


@contextmanager
def gateway(endpoint_url: str, key: str) -> Iterator[Gate]:
    """A gate in front of the server at `endpoint_url`; at first `key` is good."""
    gate = Gate(key)
    behind = urlsplit(endpoint_url)

    class Handler(BaseHTTPRequestHandler):
        # Clients wait for "100 Continue" before they send a body; only this version of HTTP says it.
        protocol_version = "HTTP/1.1"

        def pass_on(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            shown = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
            if shown is None or shown[1] != gate.key:
                gate.refused += 1
                self.answer(400, {"Content-Type": "application/xml"}, _REFUSAL)
                return
            server = http.client.HTTPConnection(str(behind.hostname), behind.port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
            server.request(self.command, self.path, body, headers)
            reply = server.getresponse()
            data = reply.read()
            server.close()
            self.answer(reply.status, dict(reply.getheaders()), data)

        def answer(self, status: int, headers: dict[str, str], data: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                if name.lower() not in _HOP_BY_HOP:
                    self.send_header(name, value)
            length = headers.get("Content-Length", "0") if self.command == "HEAD" else str(len(data))
            self.send_header("Content-Length", length)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = pass_on  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    gate.endpoint_url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield gate
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
