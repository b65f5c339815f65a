"""Servers in processes of their own.

Their own processes, so that their threads do not compete with the test for the interpreter, and so that subprocesses
of a test reach them too. They end when their standard input closes: when the test run ends, however that ends.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Self

START_SECONDS = 120
POLL_SECONDS = 0.02
NUM_PORTS = 5
"""How many free ports are tried: between finding one and using it, somebody else may take it."""


class ServerProcess:
    """A Python script (or "-m" and a module) that prints one line when it serves, and stops when its input closes.

    A context manager; `said` is that line.
    """

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

    def send_signal(self, number: int) -> None:
        """Send the server's process a signal, such as SIGSTOP to freeze it."""
        self._process.send_signal(number)

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


@contextmanager
def program_on_a_port(command: Callable[[int], list[str]]) -> Iterator[int]:
    """For a script that stands in front of another program: runs `command(port)`, and gives the port once it answers.

    Raises `RuntimeError` where the program ends by itself, or does not answer in time.
    """
    for _ in range(NUM_PORTS):
        port = _free_port()
        # The script's own output is for its one line.
        process = subprocess.Popen(command(port), stdin=subprocess.DEVNULL, stdout=sys.stderr)
        try:
            if _answers(process, port):
                yield port
                return
        finally:
            process.terminate()
            process.wait()
    raise RuntimeError(f"{command(0)[0]} did not start; its own output says why")


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as found:
        return int(found.getsockname()[1])


def _answers(process: subprocess.Popen[bytes], port: int) -> bool:
    """Waits until something listens on the port; False where the program has ended."""
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=START_SECONDS).close()
        except OSError:
            time.sleep(POLL_SECONDS)
        else:
            return True
    return False
