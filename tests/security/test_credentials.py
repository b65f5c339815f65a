"""What opens a store is told to nobody: a real training over S3 is searched to the last byte, and its failures are.

What commands print in the usual course, and a saved model, are looked at in tests/cli/test_remote.py.
"""

from __future__ import annotations

import base64
import json
import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

import mlsession as ml
from mlsession.cli.__main__ import run
from mlsession.errors import MLSessionError
from mlsession.session.parameters import SessionParameters
from mlsession.store import join_url, open_store
from mlsession.store.retrying import Backoff
from tests.photos import copy_photos
from tests.servers.refusing import refusing_server
from tests.servers.s3 import S3Server

pytestmark = pytest.mark.sampled(0.5)

SECRETS = ("loopback/secret+value", "hunter2-password")
"""That of the server, and one to be put into URLs."""
ONCE = {"retries": {"total_max_attempts": 1}}


def leaks(text: str | bytes) -> list[str]:
    """Where a secret stands in a text or in bytes, in whatever spelling, with some of what is around it."""
    shown = text if isinstance(text, str) else text.decode("latin-1")
    spellings = [
        spelling
        for secret in SECRETS
        for spelling in (secret, quote(secret, safe=""), json.dumps(secret)[1:-1], secret.replace("/", "\\/"))
    ]
    spellings += [base64.b64encode(secret.encode()).decode() for secret in SECRETS]
    return [
        shown[max(match.start() - 60, 0) : match.end() + 20]
        for spelling in spellings
        for match in re.finditer(re.escape(spelling), shown)
    ]


def test_what_is_searched_for_is_found() -> None:
    for secret in SECRETS:
        for spelling in (f"key={secret}", secret.encode(), quote(secret, safe=""), base64.b64encode(secret.encode())):
            assert leaks(spelling)
    assert leaks("s3://bucket/x") == []


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return copy_photos(tmp_path_factory.mktemp("photos") / "train", "train", 3, ("Kiwi", "Lemon"))


@pytest.fixture
def bucket(s3_server: S3Server, photos: Path) -> Iterator[str]:
    """A bucket with the photos in it; looked through to the last byte when the test is over."""
    url = s3_server.new_bucket_url()
    with closing(open_store(url, s3_server.storage_options)) as store:
        for path in sorted(photos.rglob("*.jpg")):
            store.put(f"photos/{path.relative_to(photos).as_posix()}", path.read_bytes())
        yield url
        found = {entry.key: leaks(store.get(entry.key)) for entry in store.list()}
    assert [key for key in found if key.startswith("session/log/")]
    assert [key for key in found if key.startswith(".mlsession-cache/")]
    assert not {key: where for key, where in found.items() if where}


def values_of(job: ml.Job[ml.Classifier]) -> Iterator[tuple[str, object]]:
    """Everything public that such a training gives, by name."""
    classifier = job.result()
    yield "job", job
    yield "classifier", classifier
    for event in job.events():
        yield f"event {type(event).__name__}", event
        yield "its JSON", event.to_json()
    yield "metrics", classifier.training_metrics
    yield "results", classifier.results("training")
    yield "parameters", classifier.model_parameters


def shown(value: object) -> Iterator[str]:
    """What a value shows of itself, on a terminal and in a notebook."""
    yield repr(value)
    yield str(value)
    as_html = getattr(value, "_repr_html_", None)
    if callable(as_html):
        yield str(as_html())


def test_nothing_that_a_training_leaves_or_shows_holds_the_secret(
    bucket: str, s3_server: S3Server, capfd: pytest.CaptureFixture[str]
) -> None:
    options = s3_server.storage_options
    source = ml.DataSource.labeled_directories(join_url(bucket, "photos"), storage_options=options)
    where = ml.SessionParameters(join_url(bucket, "session"), iterations=2, storage_options=options)
    parameters = ml.ModelParameters(validation=ml.Validation.data(source))
    job = ml.Classifier.train(source, None, where)
    for name, value in (("source", source), ("where", where), ("parameters", parameters), *values_of(job)):
        assert not [leak for text in shown(value) for leak in leaks(text)], name
    with ml.Classifier.restore_training_session(where) as session:
        for value in (session, session.identity, session.settings, session.verify(deep=True), *session.checkpoints):
            assert not [leak for text in shown(value) for leak in leaks(text)]
    printed = capfd.readouterr()
    assert leaks(printed.out + printed.err) == []
    _check_commands(bucket, options, capfd)


def _check_commands(bucket: str, storage_options: Mapping[str, object], capfd: pytest.CaptureFixture[str]) -> None:
    """What is printed of the same session, above all where something is wrong."""
    session, photos = join_url(bucket, "session"), join_url(bucket, "photos")
    options = [f"--storage-option={name}={value}" for name, value in storage_options.items()]
    for words, code in (
        (["watch", session, "--json"], 0),
        (["status", "s3://no-such-bucket/session", "--debug"], 1),
        (["predict", session, f"{photos}/none.jpg", "--debug"], 1),
        (["train", photos, "--session", session, "--seed", "1"], 1),
        (["train", "--session", session], 2),
    ):
        assert run([*words, *options]) == code, words
        printed = capfd.readouterr()
        assert printed.out + printed.err
        assert leaks(printed.out + printed.err) == [], words


def failure(url: str, options: Mapping[str, Any]) -> MLSessionError:
    """What opening a session there raises."""
    with pytest.raises(MLSessionError) as caught:
        ml.Classifier.restore_training_session(ml.SessionParameters(url, storage_options=options, store_patience=0))
    return caught.value


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "SignatureDoesNotMatch"), (403, "InvalidAccessKeyId"), (400, "ExpiredToken"), (503, "SlowDown"), (418, "X")],
)
def test_a_server_that_repeats_the_secret_is_not_repeated(status: int, code: str) -> None:
    with refusing_server(status, code, f"your secret {SECRETS[0]} is wrong") as endpoint:
        options = {"key": "me", "secret": SECRETS[0], "endpoint_url": endpoint, "config_kwargs": ONCE}
        error = failure("s3://bucket/session", options)
    assert str(error)
    assert leaks(f"{error} {error!r} {error.__dict__} {error.args}") == []


@pytest.mark.parametrize(
    "url",
    [
        f"ftp://me:{SECRETS[1]}@127.0.0.1:1/session",
        f"s3://me:{SECRETS[1]}@127.0.0.1/session",
        f"http://me:{SECRETS[1]}@127.0.0.1:1/session",
        f"sftp://me:{SECRETS[1]}@127.0.0.1:1/session",
        f"nonsense://me:{SECRETS[1]}@host/session",
        f"zip://session::ftp://me:{SECRETS[1]}@127.0.0.1:1/all.zip",
        f"http://127.0.0.1:1/session?token={SECRETS[1]}",
        f"ftp://me:{SECRETS[1]}@127.0.0.1:not-a-port/session",
    ],
)
def test_what_fails_at_once_hides_what_stands_in_its_url(
    url: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SessionParameters, "backoff", property(lambda self: Backoff(give_up_after=1)))
    options = {"config_kwargs": ONCE} if url.startswith("s3") else {}
    error = failure(url, options)
    assert leaks(f"{error} {error!r} {error.__dict__}") == []
    said = "".join(traceback.format_exception(error))
    assert leaks(said) == []
    for words in (["status", url, "--debug"], ["train", url, "--session", url]):
        assert run(words) in (1, 2)
    printed = capfd.readouterr()
    assert leaks(printed.out + printed.err) == []
