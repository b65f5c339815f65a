"""Every example runs as its first lines say, and does what they promise."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from mlsession.store import open_store
from tests.photos import copy_photos
from tests.recovery.nursery import Nursery
from tests.servers.s3 import S3Server

from .runs import REPOSITORY, SECONDS, start

pytestmark = pytest.mark.sampled(0.5)

LABELS = ("Banana", "Kiwi", "Lemon")


Run = Callable[..., str]


@pytest.fixture
def run(trainers: Nursery) -> Run:
    """Gives what an example prints; it must end well."""

    def printed(name: str, *arguments: str | Path, environment: Mapping[str, str] | None = None) -> str:
        script = str(REPOSITORY / "examples" / name)
        code, output, errors = trainers.run(script, *arguments, environment=environment)
        assert code == 0, errors
        return output

    return printed


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """5 photos of each of three kinds."""
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", 5, LABELS)


def digests(output: str) -> set[str]:
    return {word for word in output.split() if len(word) == 64}


def test_train_a_folder(run: Run, photos: Path, tmp_path: Path) -> None:
    test = copy_photos(tmp_path / "test", "test", 3, LABELS)
    output = run("train_folder.py", photos, test, tmp_path / "Fruit.safetensors")
    assert "training: 100.0% of 15" in output
    assert "test: 100.0% of 9" in output
    assert f"wrote {tmp_path / 'Fruit.safetensors'}, whose answers differ by " in output
    assert (tmp_path / "Fruit.safetensors").exists()
    output = run("predict_folder.py", tmp_path / "Fruit.mlsession", test, tmp_path / "table.csv")
    assert output.splitlines() == ["predicted 9 images, 0 cannot be read", *(f"  {label}: 3" for label in LABELS)]
    assert len((tmp_path / "table.csv").read_text().splitlines()) == 10


def test_resume_after_a_kill(run: Run, photos: Path, tmp_path: Path) -> None:
    output = run("resume_after_kill.py", photos, tmp_path / "work", "--kills", "1")
    assert "kill 1: " in output
    assert len(digests(output)) == 1


def test_train_on_s3(run: Run, photos: Path, s3_server: S3Server) -> None:
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


def test_watch_and_stop_from_another_process(run: Run, tmp_path: Path) -> None:
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


def test_a_stopping_rule_from_events(run: Run, photos: Path, tmp_path: Path) -> None:
    output = run("stopping_rule.py", photos, tmp_path / "session", "--patience", "2")
    assert "the job ended: no progress since iteration" in output
    assert len(digests(output)) == 1


def test_extend(run: Run, photos: Path, tmp_path: Path) -> None:
    output = run("extend.py", photos, tmp_path / "work")
    assert len(digests(output)) == 2, "5 iterations, and 10 however they were reached"


def test_reuse_features_for_other_heads(run: Run, photos: Path, tmp_path: Path) -> None:
    output = run("reuse_features.py", photos, tmp_path / "work")
    assert output.count("15 features taken over") == 2


def test_augmentation(run: Run, photos: Path, tmp_path: Path) -> None:
    output = run("augmentation.py", photos, tmp_path / "session")
    assert "6 views of each training photo" in output
    assert "validation accuracy" in output
