"""A way to a server that can be shut: its port refuses connections then, and those that there were are cut."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

CHUNK_BYTES = 2**16


class Door:
    """A port of its own in front of the server at `endpoint_url`; open at first. A context manager."""

    def __init__(self, endpoint_url: str) -> None:
        behind = urlsplit(endpoint_url)
        self._behind = (str(behind.hostname), behind.port)
        self._lock = threading.Lock()
        self._connections: set[socket.socket] = set()
        self._listener: socket.socket | None = None
        self._port = 0
        self.open()
        self.endpoint_url = f"http://127.0.0.1:{self._port}"

    def open(self) -> None:
        """Lets everybody through, at the same port as before."""
        listener = socket.create_server(("127.0.0.1", self._port))
        self._port = listener.getsockname()[1]
        self._listener = listener
        threading.Thread(target=self._welcome, args=(listener,), daemon=True).start()

    def shut(self) -> None:
        """Lets nobody through; idempotent."""
        with self._lock:
            listener, self._listener = self._listener, None
            connections, self._connections = self._connections, set()
        for open_socket in (*connections, *([listener] if listener else [])):
            # Closing alone wakes nobody who waits for it.
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()

    def _welcome(self, listener: socket.socket) -> None:
        while True:
            try:
                near, _ = listener.accept()
                far = socket.create_connection(self._behind)
            except OSError:
                return
            with self._lock:
                is_open = self._listener is listener
                if is_open:
                    self._connections |= {near, far}
            if not is_open:
                near.close()
                far.close()
                return
            for source, target in ((near, far), (far, near)):
                threading.Thread(target=self._carry, args=(source, target), daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(CHUNK_BYTES):
                target.sendall(data)
        for open_socket in (source, target):
            with suppress(OSError):
                open_socket.shutdown(socket.SHUT_RDWR)
            open_socket.close()
        with self._lock:
            self._connections -= {source, target}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shut()
