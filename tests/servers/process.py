"""Servers in processes of their own.

Their own processes, so that their threads do not compete with the test for the interpreter, and so that subprocesses
of a test reach them too. They end when their standard input closes: when the test run ends, however that ends.
"""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from types import TracebackType
from typing import Self

START_SECONDS = 120


class ServerProcess:
    """A Python script that prints one line when it serves, and stops when its input closes; a context manager."""

    def __init__(self, script: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", script, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("AWS_")},
            text=True,
        )
        assert self._process.stdout is not None
        watchdog = threading.Timer(START_SECONDS, self._process.kill)
        watchdog.start()
        try:
            self.said = self._process.stdout.readline().strip()
        finally:
            watchdog.cancel()
        if not self.said:
            self.close()
            raise RuntimeError(f"{script} did not start; its own output says why")

    def close(self) -> None:
        """Stop the server; idempotent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def serve_until_input_closes(line: str) -> None:
    """For the script: say that it serves, and come back when it is to stop."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
    sys.stdin.read()
