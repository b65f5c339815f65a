"""Every command on a bucket, with options on the command line; nothing that is said holds the secret."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from mlsession.store import join_url, open_store
from mlsession.testing.gcs import GcsDouble, Refused
from tests.cli.commands import mlsession
from tests.cli.conftest import LABELS, Trained
from tests.servers.ftp import FtpServer
from tests.servers.gcs import GcsServer
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.sampled(0.67)


def test_a_life_in_a_bucket(trained: Trained, s3_server: S3Server, capsys: pytest.CaptureFixture[str]) -> None:
    bucket = s3_server.new_bucket_url()
    options = ["--storage-option", 'client_kwargs={"endpoint_url":"' + s3_server.endpoint_url + '"}']
    for name in ("key", "secret"):
        options += ["--storage-option", f"{name}={s3_server.storage_options[name]}"]
    secret = str(s3_server.storage_options["secret"])

    def said(*words: str, code: int = 0) -> str:
        assert run([*words, *options]) == code
        found = capsys.readouterr()
        assert secret not in found.out + found.err
        return found.out

    store = open_store(bucket, s3_server.storage_options)
    for path in sorted((trained.folder / "train").rglob("*.jpg")):
        store.put(str(path.relative_to(trained.folder)), path.read_bytes())
    session, model = join_url(bucket, "sessions/fruits"), join_url(bucket, "models/fruits.safetensors")
    cache = ["--cache", str(trained.folder / ".mlsession-cache")]
    out = said("train", join_url(bucket, "train"), "--session", session, *cache, "--export", model)
    assert f"session: {session}" in out
    assert f"mlsession status {session} --storage-option=client_kwargs=***" in out

    found = json.loads(said("status", session, "--json"))
    assert (found["status"], found["url"], found["classes"]) == ("finished", session, list(LABELS))
    checkpoint = found["checkpoints"][-1]["url"]
    photo = next(entry.key for entry in store.list("train/Lemon"))
    assert secret.encode() not in store.get("models/fruits.safetensors")
    for source in (session, model, checkpoint):
        assert json.loads(said("predict", source, join_url(bucket, photo), "--json"))["label"] == "Lemon"
    assert json.loads(said("evaluate", model, join_url(bucket, "train"), "--json"))["accuracy"] == 1.0

    said("delete", session, "--yes")
    assert list(store.list("sessions")) == []
    assert said("status", session, "--json", code=1) == ""
    store.close()


def test_a_password_in_a_url_is_never_said(
    trained: Trained, ftp_server: FtpServer, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place = ftp_server.new_url()
    session, model, photo = (f"{place}/{name}" for name in ("session", "model.safetensors", "photos/1.jpg"))
    with closing(open_store(place)) as store, closing(open_store(str(trained.session))) as original:
        store.put("photos/1.jpg", next((trained.folder / "train" / "Lemon").glob("*.jpg")).read_bytes())
        for entry in original.list():
            store.put(f"session/{entry.key}", original.get(entry.key))
    monkeypatch.chdir(trained.folder)
    train = ["train", "train", "--test", "test", "--session", session]
    for words, code in (
        ([*train, "--export", model], 0),
        (["status", session], 0),
        (["status", session, "--json"], 0),
        (["checkpoints", "list", session], 0),
        (["predict", model, photo, f"{photo}-none"], 1),
        (["stop", session], 0),
        (["stop", session, "--json"], 0),
        (["status", f"{session}-none"], 1),
        (["status", session.replace("me:password", "me:other-password")], 1),
        (["delete", session, "--yes"], 0),
    ):
        assert run(words) == code, (words, capsys.readouterr())
        found = capsys.readouterr()
        assert found.out + found.err, words
        assert "password" not in found.out + found.err, words


def test_a_refusal_is_one_line(gcs_server: GcsServer, tmp_path: Path) -> None:
    # gcsfs would show its own traceback as well.
    refusal = Refused(401, "required", "Anonymous caller does not have storage.objects.list access").reply
    with GcsDouble(intervene=lambda request: refusal) as double:
        environment = {**gcs_server.environment, "FSSPEC_GS_ENDPOINT_URL": double.url}
        outcome = mlsession("status", "gs://bucket/session", folder=tmp_path, **environment)
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("error: gs://bucket/session")
    assert outcome.err.count("\n") == 1
