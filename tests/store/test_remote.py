"""What only a bucket, an archive or a web server can do, or do wrong."""

from __future__ import annotations

import socket
import threading
import traceback
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import fsspec
import pytest

from mlsession.errors import (
    CredentialsExpired,
    InvalidParameter,
    KeyExists,
    KeyMissing,
    StoreDenied,
    StoreError,
    StoreUnavailable,
)
from mlsession.store import FsspecStore, open_store, probe_exclusive
from mlsession.store.buckets.listing import entry_version
from mlsession.store.buckets.remote import MAX_CREATE_BYTES
from mlsession.store.keys import temporary_name
from tests.servers.refusing import refusing_server
from tests.servers.s3 import S3Server

IMPATIENT: dict[str, Any] = {"config_kwargs": {"retries": {"max_attempts": 0}, "connect_timeout": 1, "read_timeout": 1}}


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.new_bucket_url()


def test_a_missing_bucket_is_named_with_the_cure(s3_server: S3Server) -> None:
    store = open_store("s3://nowhere/sessions", s3_server.storage_options)
    for call in (
        lambda: store.put("log/0", b"x"),
        lambda: store.put_if_absent("log/0", b"x"),
        lambda: store.get("log/0"),
        lambda: list(store.list()),
        lambda: list(store.list("log")),
    ):
        with pytest.raises(StoreError, match=r"bucket 'nowhere' does not exist; create it") as caught:
            call()
        assert type(caught.value) is StoreError
    store.close()


def test_opening_creates_nothing(s3_server: S3Server, bucket: str) -> None:
    open_store(f"{bucket}/sessions/animals", s3_server.storage_options).close()
    store = open_store(bucket, s3_server.storage_options)
    assert list(store.list()) == []
    store.put("key", b"x")
    assert [entry.key for entry in store.list()] == ["key"]
    assert probe_exclusive(store, "token")


def test_what_other_programs_put_there_is_read(s3_server: S3Server, bucket: str) -> None:
    other = open_store(bucket, s3_server.storage_options)
    assert isinstance(other, FsspecStore)
    filesystem = other._open
    name = bucket.removeprefix("s3://")
    names = ("Größe 1.JPG", "a+b%20c.png", "con", "what?.jpg", "star*[1].jpg")
    for file in names:
        filesystem.pipe_file(f"{name}/data/{file}", file.encode())
    # Web consoles mark folders by empty keys that end in a slash.
    filesystem.call_s3("put_object", Bucket=name, Key="data/folder/", Body=b"")
    filesystem.pipe_file(f"{name}/data/{temporary_name(1)}", b"half")
    store = open_store(f"{bucket}/data/", s3_server.storage_options)
    assert {entry.key for entry in store.list()} == set(names)
    assert all(store.get(file) == file.encode() for file in names)
    assert store.url == f"{bucket}/data"


def test_what_is_too_large_to_be_created_at_once_is_refused(s3_server: S3Server, bucket: str) -> None:
    store = open_store(bucket, s3_server.storage_options)
    with pytest.raises(StoreError, match="write large data with put"):
        store.put_if_absent("key", bytes(MAX_CREATE_BYTES + 1))
    store.put_if_absent("key", bytes(MAX_CREATE_BYTES))
    with pytest.raises(KeyExists):
        store.put_if_absent("key", bytes(MAX_CREATE_BYTES))
    assert len(store.get("key")) == MAX_CREATE_BYTES


def test_a_closed_store_says_so(s3_server: S3Server, bucket: str) -> None:
    store = open_store(bucket, s3_server.storage_options)
    store.close()
    with pytest.raises(StoreError, match="was closed"):
        store.get("key")


def test_a_server_that_is_gone_is_worth_another_try() -> None:
    with S3Server() as server:
        url, options = server.new_bucket_url(), {**server.storage_options, **IMPATIENT}
        store = open_store(url, options)
        store.put("key", b"x")
    with pytest.raises(StoreUnavailable) as caught:
        store.put_if_absent("other", b"x")
    assert caught.value.__cause__ is not None
    assert server.storage_options["secret"] not in str(caught.value)
    with pytest.raises(StoreUnavailable):
        store.list()


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (409, "ConditionalRequestConflict", StoreUnavailable),
        (500, "InternalError", StoreUnavailable),
        (503, "ServiceUnavailable", StoreUnavailable),
        (403, "AccessDenied", StoreDenied),
        (400, "ExpiredToken", CredentialsExpired),
        (400, "Unheard", StoreError),
    ],
)
def test_refusals_say_who_must_act_and_no_secret(status: int, code: str, kind: type[StoreError]) -> None:
    secret = "very/secret+value"
    with refusing_server(status, code, f"refused {secret} for http://me:{secret}@host/?sig=1234") as endpoint:
        options = {"key": "an-access-key", "secret": secret, "endpoint_url": endpoint, **IMPATIENT}
        store = open_store("s3://bucket/sessions", options)
        for call in (lambda: store.put_if_absent("log/0", b"x"), lambda: store.get("log/0"), store.list):
            with pytest.raises(StoreError) as caught:
                call()
            assert type(caught.value) is kind
            # What a traceback shows, causes included: one that tells a secret is left out.
            text = f"{''.join(traceback.format_exception(caught.value))} {store.url} {store!r}"
            assert "s3://bucket/sessions" in text
            assert secret not in text
            assert "1234" not in text
            assert "an-access-key" not in text
        store.close()


def test_a_server_that_never_answers_is_given_up() -> None:
    # Nothing more than the listening socket: the system completes the connection, and nobody reads it.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        filesystem = fsspec.filesystem("s3", key="k", secret="s", endpoint_url=endpoint, skip_instance_cache=True)
        store = FsspecStore(
            filesystem, "bucket/k", scheme="s3", url="s3://bucket/k", scrub=lambda text: text, patience_seconds=0.5
        )
        for write in (store.put, store.put_if_absent):
            with pytest.raises(StoreUnavailable, match="s3://bucket/k/log/0: no usable answer"):
                write("log/0", b"x")
        store.close()


def test_missing_credentials_are_denied(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    with refusing_server(403, "AccessDenied", "no") as endpoint:
        store = open_store("s3://bucket", {"endpoint_url": endpoint, **IMPATIENT})
        with pytest.raises(StoreDenied, match="check the credentials"):
            store.put("key", b"x")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "all.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("photos/cats/1.jpg", b"one")
        file.writestr("photos/dogs/2.jpg", b"two2")
        file.writestr("readme", b"r")
    return path


def test_an_archive_is_read(archive: Path) -> None:
    for url in (f"zip://photos::{archive}", f"zip://photos::file://{archive}"):
        store = open_store(url)
        assert {entry.key: entry.size for entry in store.list()} == {"cats/1.jpg": 3, "dogs/2.jpg": 4}
        assert [entry.key for entry in store.list("dogs")] == ["dogs/2.jpg"]
        assert list(store.list("birds")) == []
        assert store.get("cats/1.jpg") == b"one"
        assert store.get_range("dogs/2.jpg", 1, 9) == b"wo2"
        with pytest.raises(KeyMissing):
            store.get("cats/2.jpg")
        with pytest.raises(StoreError):
            store.put("cats/3.jpg", b"x")
        assert not probe_exclusive(store, "token")
        store.close()
    whole = open_store(f"zip://::{archive}")
    assert {entry.key for entry in whole.list()} == {"photos/cats/1.jpg", "photos/dogs/2.jpg", "readme"}
    versions = {entry.version for entry in whole.list()}
    assert len(versions) == 3


def test_an_archive_in_a_bucket_is_read(s3_server: S3Server, bucket: str, archive: Path) -> None:
    with_archive = open_store(bucket, s3_server.storage_options)
    with_archive.put("all.zip", archive.read_bytes())
    store = open_store(f"zip://photos::{bucket}/all.zip", {"s3": s3_server.storage_options})
    assert store.get("cats/1.jpg") == b"one"
    assert {entry.key for entry in store.list()} == {"cats/1.jpg", "dogs/2.jpg"}
    with pytest.raises(StoreError, match="there is nothing here"):
        open_store(f"zip://photos::{bucket}/none.zip", {"s3": s3_server.storage_options})
    with pytest.raises(InvalidParameter, match="storage_options"):
        open_store(f"zip://photos::{bucket}/all.zip", {"s3": "not options"})


@pytest.fixture
def web_url(tmp_path: Path) -> Iterator[str]:
    """A web server of files that shows folders as lists of links, and ignores ranges."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, format: str, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(tmp_path)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_web_server_is_read(web_url: str, tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.jpg").write_bytes(b"one")
    (tmp_path / "2.jpg").write_bytes(b"two2")
    store = open_store(web_url)
    assert {entry.key: entry.size for entry in store.list()} == {"cats/1.jpg": 3, "2.jpg": 4}
    assert list(store.list("birds")) == []
    assert store.get("cats/1.jpg") == b"one"
    assert store.get_range("2.jpg", 1, 3) == b"wo"
    with pytest.raises(KeyMissing):
        store.get("cats/2.jpg")
    assert not probe_exclusive(store, "token")
    store.close()


def test_a_web_server_that_is_down_is_no_empty_folder() -> None:
    with refusing_server(503, "Down", "no") as endpoint:
        store = open_store(endpoint)
        with pytest.raises(StoreUnavailable):
            store.list()
    with pytest.raises(StoreUnavailable):
        store.list()
    store.close()


def test_versions_prefer_tags() -> None:
    assert entry_version({"ETag": '"abc"', "size": 3, "mtime": 1.5}) == '"abc"'
    assert entry_version({"size": 3, "mtime": 1.5}) == "3:1.5"
    assert entry_version({"size": 3}) == "3"
