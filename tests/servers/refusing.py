"""A server that speaks enough S3 (or Azure) to refuse everything, in the words it is given."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

POLL_SECONDS = 0.02
"""How often it is looked whether to stop."""


@contextmanager
def refusing_server(status: int, code: str, message: str, details: str = "") -> Iterator[str]:
    """The endpoint URL of a server that answers every request with one HTTP status and one error as S3 writes it.

    Azure writes them so as well, at times with `details` in elements of their own.
    """
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}</Message>{details}</Error>".encode()

    class Handler(BaseHTTPRequestHandler):
        # Clients wait for "100 Continue" before they send a body; only this version of HTTP says it.
        protocol_version = "HTTP/1.1"

        def refuse(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", "application/xml")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = refuse  # noqa: N815

        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(POLL_SECONDS,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
