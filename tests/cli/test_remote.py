"""Every command on a bucket, with options on the command line; nothing that is said holds the secret."""

from __future__ import annotations

import json

import pytest

from mlsession.cli.__main__ import run
from mlsession.store import join_url, open_store
from tests.cli.conftest import LABELS, Trained
from tests.servers.s3 import S3Server


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
    for source in (session, model, checkpoint):
        assert json.loads(said("predict", source, join_url(bucket, photo), "--json"))["label"] == "Lemon"
    assert json.loads(said("evaluate", model, join_url(bucket, "train"), "--json"))["accuracy"] == 1.0

    said("delete", session, "--yes")
    assert list(store.list("sessions")) == []
    assert said("status", session, "--json", code=1) == ""
    store.close()
