"""Running the command line as its users do, in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SECONDS = 120


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        return json.loads(self.out)


def start(*words: str, folder: Path, **environment: str) -> subprocess.Popen[str]:
    """A command that runs."""
    return subprocess.Popen(
        [sys.executable, "-m", "mlsession", *words],
        cwd=folder,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )


def ended(process: subprocess.Popen[str]) -> Outcome:
    """Waits for a command."""
    try:
        out, err = process.communicate(timeout=SECONDS)
    finally:
        process.kill()
    return Outcome(process.returncode, out, err)


def mlsession(*words: str, folder: Path, **environment: str) -> Outcome:
    """A command from its beginning to its end."""
    return ended(start(*words, folder=folder, **environment))
