"""Whoever kills a matrix of crashes ends its workers, too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
POOL = """
import time
from unittest import mock
from benchmarks import crash_matrix

def work(case):
    print("working", flush=True)
    time.sleep(60)
    print("survived", flush=True)

if __name__ == "__main__":
    with mock.patch.object(crash_matrix, "run_cases", work):
        list(crash_matrix.run_all([0], 1))
"""
FORK = """
import os, time
from benchmarks.orphans import end_with_parent

parent = os.getpid()
if os.fork() == 0:
    end_with_parent(parent)
    print("working", flush=True)
    time.sleep(60)
    print("survived", flush=True)
    os._exit(0)
time.sleep(60)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere forks cannot be told to end")
@pytest.mark.parametrize("script", [POOL, FORK], ids=["pool", "fork"])
def test_workers_end_with_their_parent(script: str, tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(script)
    with subprocess.Popen(
        [sys.executable, str(path)],
        cwd=REPOSITORY,
        env={"PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.PIPE,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == "working\n"
        parent.kill()
        assert parent.stdout.read() == "", "it ends once the worker has"
