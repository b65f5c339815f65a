"""Folders of trainings that were killed go with the next one; those of living ones stay, and what else is there."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mlsession.job.workplace import PREFIX, remove_abandoned, worker_folder
from mlsession.session.watching.liveness import ProcessIdentity, this_process

HOLDING = """
import sys, time
from mlsession.job.workplace import worker_folder

with worker_folder() as folder:
    print(folder, flush=True)
    time.sleep(60)
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="it tells processes apart as Linux lists them")


def owned(parent: Path, name: str, owner: object) -> Path:
    """A folder that says whose it is."""
    folder = parent / f"{PREFIX}{name}"
    (folder / "logs").mkdir(parents=True)
    (folder / "owner").write_text(json.dumps(owner))
    return folder


def test_that_of_a_training_that_was_killed_goes_with_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    environment = {**os.environ, "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", HOLDING]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        left = Path(training.stdout.readline().strip())
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
        with worker_folder() as own:
            assert left.is_dir(), "it is somebody's who lives"
        assert not own.exists()
        training.kill()
    assert left.is_dir()
    with worker_folder() as own:
        assert [path.name for path in tmp_path.iterdir()] == [own.name]
        assert own.stat().st_mode & 0o077 == 0


def test_what_may_be_anothers_stays(tmp_path: Path) -> None:
    us = this_process()
    gone = replace(us, start_time="1")
    elsewhere = tmp_path / "elsewhere"
    owned(elsewhere, "linked", gone.to_json())
    (tmp_path / f"{PREFIX}link").symlink_to(elsewhere / f"{PREFIX}linked")
    (tmp_path / f"{PREFIX}file").write_text("{}")
    (tmp_path / f"{PREFIX}nobody").mkdir()
    owned(tmp_path, "odd", ["no", "process"])
    others: list[ProcessIdentity] = [
        us,
        replace(gone, boot_id="another"),
        replace(gone, pid_namespace="another"),
        replace(gone, start_time=""),
    ]
    for number, each in enumerate(others):
        owned(tmp_path, f"other-{number}", each.to_json())
    before = sorted(tmp_path.rglob("*"))
    abandoned = owned(tmp_path, "abandoned", gone.to_json())
    remove_abandoned(tmp_path)
    assert not abandoned.exists()
    assert sorted(tmp_path.rglob("*")) == before
