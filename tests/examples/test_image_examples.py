"""Every example runs as its first lines say, and does what they promise."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mlsession.store import open_store
from tests.photos import copy_photos
from tests.servers.s3 import S3Server

from .runs import REPOSITORY, SECONDS, start

LABELS = ("Banana", "Kiwi", "Lemon")


def command(name: str, *arguments: str | Path) -> list[str]:
    return [sys.executable, str(REPOSITORY / "examples" / name), *map(str, arguments)]


def surroundings(environment: Mapping[str, str] | None = None) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "1", **(environment or {})}


def run(name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
    """What an example prints; it must end well."""
    done = subprocess.run(
        command(name, *arguments), env=surroundings(environment), capture_output=True, text=True, timeout=SECONDS
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 photos of each of three kinds."""
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", 5, LABELS)


def digests(output: str) -> set[str]:
    return {word for word in output.split() if len(word) == 64}


def test_train_a_folder(photos: Path, tmp_path: Path) -> None:
    test = copy_photos(tmp_path / "test", "test", 3, LABELS)
    output = run("train_folder.py", photos, test, tmp_path / "Fruit.mlmodel")
    assert "training: 100.0% of 15" in output
    assert "test: 100.0% of 9" in output
    assert (tmp_path / "Fruit.mlmodel").stat().st_size > 10**6
    output = run("predict_folder.py", tmp_path / "Fruit.mlsession", test, tmp_path / "table.csv")
    assert output.splitlines() == ["predicted 9 images, 0 cannot be read", *(f"  {label}: 3" for label in LABELS)]
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 10


def test_resume_after_a_kill(photos: Path, tmp_path: Path) -> None:
    output = run("resume_after_kill.py", photos, tmp_path / "work", "--kills", "2")
    assert "kill 2: " in output
    assert len(digests(output)) == 1


def test_train_on_s3(photos: Path, s3_server: S3Server) -> None:
    bucket = s3_server.new_bucket_url()
    store = open_store(f"{bucket}/photos", s3_server.storage_options)
    for photo in photos.rglob("*.jpg"):
        store.put(photo.relative_to(photos).as_posix(), photo.read_bytes())
    store.close()
    output = run(
        "train_on_s3.py",
        f"{bucket}/photos",
        f"{bucket}/session",
        f"{bucket}/model.safetensors",
        environment=s3_server.environment,
    )
    assert f": {bucket}/session/log/" in output
    assert f"wrote {bucket}/model.safetensors" in output


def test_watch_and_stop_from_another_process(tmp_path: Path) -> None:
    session = tmp_path / "session"
    training = start(str(session), "--batches", "100000", "--checkpoint-interval", "20", "--pause", "0.01")
    try:
        while not (session / "log" / "0000000002.json").exists():
            assert training.poll() is None, training.communicate()
        output = run("watch_job.py", session, "--stop-after", "3")
        assert f"process {training.pid} on " in output
        assert "checkpoint 4: " in output
        assert "stopped: another process asked this job to stop: enough for today" in output
        assert training.wait(SECONDS) != 0
    finally:
        training.kill()
        training.communicate()


def test_a_stopping_rule_from_events(photos: Path, tmp_path: Path) -> None:
    output = run("stopping_rule.py", photos, tmp_path / "session", "--patience", "2")
    assert "the job ended: no progress since iteration" in output
    assert len(digests(output)) == 1


def test_extend(photos: Path, tmp_path: Path) -> None:
    output = run("extend.py", photos, tmp_path / "work")
    assert len(digests(output)) == 2, "5 iterations, and 10 however they were reached"


def test_reuse_features_for_other_heads(photos: Path, tmp_path: Path) -> None:
    output = run("reuse_features.py", photos, tmp_path / "work")
    assert output.count("15 features taken over") == 2


def test_augmentation(photos: Path, tmp_path: Path) -> None:
    output = run("augmentation.py", photos, tmp_path / "session")
    assert "6 views of each training photo" in output
    assert "validation accuracy" in output
