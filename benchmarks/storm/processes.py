"""Starting the processes that are to be killed: new ones, or forks of a nursery."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
QUIET = {"GOMP_SPINCOUNT": "0"}
"""Idle OpenMP threads that spin take the cores from the processes beside them; results do not depend on it."""


class Child(Protocol):
    """A running program."""

    def kill(self) -> None:
        """Sends SIGKILL; harmless if it has ended."""
        ...

    def wait(self) -> int:
        """Its return code, as `subprocess.Popen` gives it; frees its process id."""
        ...


class Launcher(Protocol):
    """How programs are started; one at a time."""

    def start(self, fuse: str, words: Sequence[str], announcing: int, output: int, errors: int) -> Child:
        """Starts a program that announces itself, with a fuse (see `child`; "" for none) and these descriptors.

        The caller closes its own copies of them.
        """
        ...

    def close(self) -> None:
        """Ends what was started along; idempotent."""
        ...


class Spawning:
    """Each program in a new process, imports and all."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = {**os.environ, **QUIET, **environment}

    def start(self, fuse: str, words: Sequence[str], announcing: int, output: int, errors: int) -> Child:
        return subprocess.Popen(
            [sys.executable, str(HERE / "child.py"), str(announcing), fuse, *words],
            cwd=REPOSITORY,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            pass_fds=(announcing,),
        )

    def close(self) -> None:
        return


class Forking:
    """Each program in a fork of one process that has imported everything."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._socket = ours
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(HERE / "nursery.py"), str(theirs.fileno())],
                cwd=REPOSITORY,
                # Its threads would start with numpy, and a fork has only one.
                env={**os.environ, **QUIET, **environment, "OPENBLAS_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
            )
        if not self._socket.recv(64):
            self.close()
            raise RuntimeError("the nursery did not start; its own output says why")

    def start(self, fuse: str, words: Sequence[str], announcing: int, output: int, errors: int) -> Child:
        socket.send_fds(self._socket, [json.dumps([fuse, *words]).encode()], [announcing, output, errors])
        return _Fork(int(self._socket.recv(64)), self._socket)

    def close(self) -> None:
        self._socket.close()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Fork:
    """A child of the nursery; its process id is its own until `wait`."""

    def __init__(self, pid: int, nursery: socket.socket) -> None:
        self._pid = pid
        self._nursery = nursery

    def kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)

    def wait(self) -> int:
        self._nursery.send(b"end")
        return int(self._nursery.recv(64))
