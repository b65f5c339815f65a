"""Running examples as a person would: in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

from mlsession.store import Store

REPOSITORY = Path(__file__).parents[2]
MONTE_CARLO = REPOSITORY / "examples" / "monte_carlo.py"
SECONDS = 120
"""More than anything here takes; a test that waits so long has failed."""


def start(*arguments: str, environment: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """The Monte Carlo example, its output piped."""
    return subprocess.Popen(
        [sys.executable, str(MONTE_CARLO), *arguments],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def final_line(*arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """What the example prints when it runs to its end."""
    process = start(*arguments, environment=environment)
    output, errors = process.communicate(timeout=SECONDS)
    assert process.returncode == 0, errors
    assert output.startswith("pi = 3.1")
    return output


def num_records(store: Store) -> int:
    """Records in a session's log."""
    return sum(1 for _ in store.list("log"))


def wait_for_records(store: Store, count: int, process: subprocess.Popen[str]) -> None:
    """Returns once the log has `count` records, or the process has ended."""
    deadline = time.monotonic() + SECONDS
    while num_records(store) < count and process.poll() is None:
        assert time.monotonic() < deadline, f"the log never got {count} records"
        time.sleep(0.005)
