"""The script for SLURM, with a `scontrol` that only takes notes and a training without torch."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlsession.store.local import LocalStore
from mlsession.testing.invariants import check_session
from tests.recovery.nursery import REPOSITORY, SECONDS

SCRIPT = REPOSITORY / "examples" / "slurm_requeue.sh"
# `train DATA --session SESSION ...`: the walker takes the session and what follows.
TRAINING = f"""#!/bin/bash
echo "$*" >> lines
cd {REPOSITORY}
exec {sys.executable} -m tests.recovery.walker "${{@:4}}"
"""
NOTING = """#!/bin/bash
echo "$*" >> requeued
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Path:
    """A folder to work in, whose `bin` comes first in the path of a job."""
    (tmp_path / "bin").mkdir()
    for name, program in (("mlsession", TRAINING), ("scontrol", NOTING)):
        (tmp_path / "bin" / name).write_text(program)
        (tmp_path / "bin" / name).chmod(0o755)
    return tmp_path


def submit(cluster: Path, *options: str) -> subprocess.Popen[str]:
    """An attempt of job 17."""
    path = f"{cluster / 'bin'}:{os.environ['PATH']}"
    return subprocess.Popen(
        ["bash", str(SCRIPT), "my data", str(cluster / "session"), *options],
        cwd=cluster,
        env={**os.environ, "PATH": path, "SLURM_JOB_ID": "17"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def signalled(cluster: Path, number: signal.Signals) -> tuple[int, object]:
    """The exit code of an attempt that gets a signal while it works, and why its training says that it stopped."""
    job = submit(cluster, "--pause", "0.5", "--interval", "1")
    deadline, log = time.monotonic() + SECONDS, cluster / "session" / "log"
    before = len(list(log.glob("*.json")))
    while len(list(log.glob("*.json"))) < before + 3:
        assert job.poll() is None, job.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.005)
    job.send_signal(number)
    job.communicate(timeout=SECONDS)
    facts = check_session(LocalStore(cluster / "session"))
    assert facts is not None
    return job.returncode, facts.records[-1].body.get("reason")


def requeued(cluster: Path) -> list[str]:
    return (cluster / "requeued").read_text().splitlines() if (cluster / "requeued").exists() else []


def test_it_is_requeued_until_it_is_done(cluster: Path) -> None:
    assert signalled(cluster, signal.SIGUSR1) == (75, "signal SIGUSR1")
    assert requeued(cluster) == ["requeue 17"]
    assert signalled(cluster, signal.SIGTERM) == (75, "signal SIGTERM")  # `scancel`
    job = submit(cluster)
    output, errors = job.communicate(timeout=SECONDS)
    assert job.returncode == 0, errors
    assert output.startswith("result ")
    assert requeued(cluster) == ["requeue 17"]
    assert set((cluster / "lines").read_text().splitlines()) == {
        f"train my data --session {cluster / 'session'} --pause 0.5 --interval 1",
        f"train my data --session {cluster / 'session'}",
    }


def test_what_fails_is_not_requeued(cluster: Path) -> None:
    (cluster / "session").write_bytes(b"a file")
    job = submit(cluster)
    _, errors = job.communicate(timeout=SECONDS)
    assert job.returncode == 1
    assert "is a file, not a folder" in errors
    assert requeued(cluster) == []
