"""One process of a storm: started, listened to, and killed at its moment unless it ends before."""

from __future__ import annotations

import os
import select
import signal
import time
from contextlib import ExitStack
from dataclasses import dataclass
from tempfile import TemporaryFile
from typing import IO

from benchmarks.storm.moments import Moment
from benchmarks.storm.processes import Launcher
from benchmarks.storm.watch import Watch

HANGING_SECONDS = 600.0
"""A process that takes longer has failed."""


class StormError(Exception):
    """A process did what no kill explains."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """How a process went."""

    watch: Watch
    ended: float
    """When nothing of it was left, by the machine's monotonic clock."""
    killed: float | None
    """When it was killed; None: it ended by itself, and well."""
    output: str

    @property
    def seconds_to_die(self) -> float:
        """From SIGKILL until it was gone."""
        return 0.0 if self.killed is None else self.ended - self.killed


def run_until(launcher: Launcher, words: list[str], moment: Moment | None) -> Attempt:
    """Runs a program until a moment (None: to its end). Raises `StormError` if it fails or hangs by itself."""
    with ExitStack() as stack:
        output, errors = (stack.enter_context(TemporaryFile("w+")) for _ in range(2))
        reading, announcing = os.pipe()
        stack.callback(os.close, reading)
        watch = Watch(launched=time.monotonic())
        try:
            child = launcher.start(moment.fuse if moment else "", words, announcing, output.fileno(), errors.fileno())
        finally:
            os.close(announcing)
        ear, deadline = _Ear(reading, watch), watch.launched + HANGING_SECONDS
        if moment is not None and moment.call is None:
            deadline = watch.launched + moment.seconds
        killed: float | None = None
        if not ear.hear_until(deadline):
            killed = time.monotonic()
            child.kill()
            ear.hear_until(killed + HANGING_SECONDS)
        code = child.wait()
        ended = time.monotonic()
        if code == 0:
            return Attempt(watch=watch, ended=ended, killed=None, output=_said(output))
        if code != -signal.SIGKILL or moment is None or (killed is not None and moment.call is not None):
            raise StormError(f"{words} ended with {code}, or hung, killed at {moment}: {_said(errors)}")
        return Attempt(watch=watch, ended=ended, killed=killed or watch.newest, output="")


class _Ear:
    """The harness's end of the pipe."""

    def __init__(self, reading: int, watch: Watch) -> None:
        self._reading = reading
        self._watch = watch
        self._rest = b""

    def hear_until(self, deadline: float) -> bool:
        """Takes what is said; True once nobody is left to say anything, False if somebody is at the deadline."""
        while True:
            ready, _, _ = select.select([self._reading], [], [], max(deadline - time.monotonic(), 0.0))
            if not ready:
                return False
            data = os.read(self._reading, 65_536)
            if not data:
                return True
            *lines, self._rest = (self._rest + data).split(b"\n")
            for line in lines:
                self._watch.hear(line.decode())


def _said(file: IO[str]) -> str:
    file.seek(0)
    return file.read()
