"""A real S3-protocol server on loopback (moto), with buckets in memory."""

from __future__ import annotations

import itertools
import logging
import sys
import threading
import urllib.request
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # A script has only its own folder on the path.
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.servers.process import ServerProcess, serve_until_input_closes


class S3Server(ServerProcess):
    """One server in a process of its own; `with S3Server() as server: ...`."""

    def __init__(self) -> None:
        super().__init__(str(Path(__file__)))
        self.endpoint_url = self.said
        self._numbers = itertools.count()

    @property
    def storage_options(self) -> dict[str, Any]:
        """What s3fs needs to reach this server; the secret is one that tests can look for in messages."""
        return {"key": "loopback-key-id", "secret": "loopback/secret+value", "endpoint_url": self.endpoint_url}

    @property
    def environment(self) -> dict[str, str]:
        """The same as environment variables, which fsspec reads in any process."""
        return {f"FSSPEC_S3_{name.upper()}": str(value) for name, value in self.storage_options.items()}

    def new_bucket_url(self) -> str:
        """The URL of a bucket that nobody has used, such as "s3://bucket-3"."""
        name = f"bucket-{next(self._numbers)}"
        request = urllib.request.Request(f"{self.endpoint_url}/{name}", method="PUT")
        with urllib.request.urlopen(request) as reply:
            reply.read()
        return f"s3://{name}"


def serve() -> None:
    """Run the server until standard input closes."""
    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    # moto looks whether a key exists and then writes it, with nothing between two requests but luck;
    # S3 itself does both as one, so a lock makes it as strong as what it stands for.
    lock = threading.RLock()
    for name in ("put_object", "_key_response_post"):
        setattr(S3Response, name, _locked(lock, getattr(S3Response, name)))

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    serve_until_input_closes(f"http://{host}:{port}")
    server.stop()


def _locked(lock: threading.RLock, method: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        with lock:
            return method(*arguments, **options)

    return call


if __name__ == "__main__":
    serve()
