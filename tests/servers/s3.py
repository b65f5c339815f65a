"""A real S3-protocol server on loopback (moto), in a process of its own.

Its own process, so that its threads do not compete with the test for the interpreter, and so that subprocesses of a
test reach the same buckets. It ends when its standard input closes: when the test run ends, however that ends.
"""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any

START_SECONDS = 120


class S3Server:
    """One server with buckets in memory; `with S3Server() as server: ...`."""

    def __init__(self) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", str(Path(__file__))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
        )
        assert self._process.stdout is not None
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        try:
            self.endpoint_url = self._process.stdout.readline().strip()
        finally:
            watchdog.cancel()
        if not self.endpoint_url:
            self.close()
            raise RuntimeError("the S3 server did not start; its own output says why")
        self._numbers = itertools.count()

    @property
    def storage_options(self) -> dict[str, Any]:
        """What s3fs needs to reach this server; the secret is one that tests can look for in messages."""
        return {
            "key": "loopback-key-id",
            "secret": "loopback/secret+value",
            "endpoint_url": self.endpoint_url,
        }

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

    def close(self) -> None:
        """Stop the server; idempotent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> S3Server:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve() -> None:
    """Run the server until standard input closes."""
    import logging

    from moto.s3.responses import S3Response
    from moto.server import ThreadedMotoServer

    # moto looks whether a key exists and then writes it, with nothing between two requests but luck;
    # S3 itself does both as one, so a lock makes it as strong as what it stands for.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    lock = threading.RLock()
    for name in ("put_object", "_key_response_post"):
        setattr(S3Response, name, _locked(lock, getattr(S3Response, name)))

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    sys.stdout.write(f"http://{host}:{port}\n")
    sys.stdout.flush()
    sys.stdin.read()
    server.stop()


def _locked(lock: threading.RLock, method: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        with lock:
            return method(*arguments, **options)

    return call


if __name__ == "__main__":
    serve()
