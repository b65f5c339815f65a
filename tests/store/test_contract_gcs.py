"""Google Cloud Storage, held to the contract on two servers; what only it does, or does otherwise."""

from __future__ import annotations

import socket
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import fsspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from mlsession.errors import StoreDenied, StoreError, StoreUnavailable
from mlsession.session.log.layout import record_key
from mlsession.store import FsspecStore, Store, open_store
from mlsession.store.buckets.clients import SILENCE_SECONDS
from mlsession.store.buckets.remote import MAX_CREATE_BYTES
from mlsession.store.failures import Failure, classify
from mlsession.testing.gcs import LOSE_REPLY, GcsDouble, Refused, Reply, Request, read_json, read_multipart
from mlsession.testing.invariants import check_session
from mlsession.testing.store_contract import OpenHandle, StoreContract
from mlsession.testing.store_machine import StoreMachine
from mlsession.testing.walk import Walk
from tests.servers.gcs import FakeGcsServer, GcsServer
from tests.session.attempts import Attempt, unbroken

CHUNKED_BYTES = 50 * 2**20
"""From this size on gcsfs sends an object in chunks."""


class TestGcs(StoreContract):
    num_rounds = 6

    @pytest.fixture
    def open_handle(self, gcs_server: GcsServer) -> OpenHandle:
        url = f"{gcs_server.new_bucket_url()}/some/root"
        return lambda: open_store(url, gcs_server.storage_options)


class TestFakeGcs(StoreContract):
    num_rounds = 6

    @pytest.fixture
    def open_handle(self, fake_gcs_server: FakeGcsServer) -> OpenHandle:
        url = f"{fake_gcs_server.new_bucket_url()}/some/root"
        return lambda: open_store(url, fake_gcs_server.storage_options)


def test_gcs_behaves_like_a_dictionary(gcs_server: GcsServer) -> None:
    bucket = gcs_server.new_bucket_url()

    class GcsMachine(StoreMachine):
        def open_space(self) -> Callable[[], Store]:
            url = f"{bucket}/{uuid.uuid4()}"
            return lambda: open_store(url, gcs_server.storage_options)

    run_state_machine_as_test(
        GcsMachine,
        settings=settings(max_examples=5, stateful_step_count=15, suppress_health_check=list(HealthCheck)),
    )


def options_of(double: GcsDouble) -> dict[str, Any]:
    return {"endpoint_url": double.url, "token": "anon"}


def filled(double: GcsDouble, bucket: str = "bucket") -> str:
    """The URL of a new bucket of a double."""
    fsspec.filesystem("gs", **options_of(double), skip_instance_cache=True).mkdir(bucket)
    return f"gs://{bucket}"


class Interference:
    """What a double is to answer in the service's place, changed while it runs; and what it was asked to write."""

    def __init__(self) -> None:
        self.answer: Callable[[str], Reply | None] = lambda name: None
        self.written: list[tuple[str, str]] = []
        """Name and kind of each upload that was begun."""

    def __call__(self, request: Request) -> Reply | None:
        name = request.query.get("name", "")
        kind = request.query.get("uploadType", "")
        if kind == "multipart":
            name = str(read_json(read_multipart(request.headers["content-type"], request.body)[0].content)["name"])
        if kind and "upload_id" not in request.query:
            self.written.append((name, kind if "ifGenerationMatch" in request.query else f"{kind} without condition"))
        return self.answer(name)


@pytest.fixture
def interference() -> Interference:
    return Interference()


@pytest.fixture
def double(interference: Interference) -> Iterator[GcsDouble]:
    with GcsDouble(intervene=interference, max_page=3) as double:
        yield double


def test_a_session_sends_each_record_in_one_request(double: GcsDouble, interference: Interference) -> None:
    url = filled(double)
    result = Attempt(open_store=lambda: open_store(f"{url}/session", options_of(double))).walk(Walk())
    assert result == unbroken(Walk())
    with closing(open_store(f"{url}/session", options_of(double))) as store:
        facts = check_session(store)
    assert facts is not None
    records = [f"session/{record_key(number)}" for number in range(len(facts.records))]
    assert [upload for upload in interference.written if upload[0].startswith("session/log/")] == [
        (record, "multipart") for record in records
    ]


def test_what_may_be_created_at_once_is_one_request(double: GcsDouble, interference: Interference) -> None:
    with closing(open_store(filled(double), options_of(double))) as store:
        store.put_if_absent("key", bytes(MAX_CREATE_BYTES))
        assert len(store.get("key")) == MAX_CREATE_BYTES
    assert interference.written == [("key", "multipart")]


def test_large_values_travel_in_chunks(double: GcsDouble, interference: Interference) -> None:
    value = bytes(range(256)) * (CHUNKED_BYTES // 256) + b"and some more"
    with closing(open_store(filled(double), options_of(double))) as store:
        store.put("key", value)
        assert store.get("key") == value
        assert store.get_range("key", CHUNKED_BYTES - 1, CHUNKED_BYTES + 3) == b"\xffand"
    assert interference.written == [("key", "resumable without condition")]


def test_a_client_that_retried_meets_its_own_record(double: GcsDouble, interference: Interference) -> None:
    url, lost = f"{filled(double)}/session", set[str]()

    def lose_once(name: str) -> Reply | None:
        if not name.endswith(record_key(4)) or name in lost:
            return None
        lost.add(name)
        return LOSE_REPLY

    interference.answer = lose_once
    assert Attempt(open_store=lambda: open_store(url, options_of(double))).walk(Walk()) == unbroken(Walk())
    assert interference.written.count((f"session/{record_key(4)}", "multipart")) == 2
    with closing(open_store(url, options_of(double))) as store:
        check_session(store)


def test_an_empty_value_is_read_without_a_word(gcs_server: GcsServer, caplog: pytest.LogCaptureFixture) -> None:
    with closing(open_store(gcs_server.new_bucket_url(), gcs_server.storage_options)) as store:
        store.put("key", b"")
        assert store.get("key") == b""
    assert caplog.messages == []


def test_a_missing_bucket_is_named_with_the_cure(gcs_server: GcsServer) -> None:
    with closing(open_store("gs://nowhere/sessions", gcs_server.storage_options)) as store:
        for call in (
            lambda: store.put("log/0", b"x"),
            lambda: store.put_if_absent("log/0", b"x"),
            lambda: list(store.list()),
            lambda: list(store.list("log")),
        ):
            with pytest.raises(StoreError, match=r"bucket 'nowhere' does not exist; create it") as caught:
                call()
            assert type(caught.value) is StoreError


@pytest.mark.parametrize(
    ("status", "reason", "message", "kind"),
    [
        (403, "forbidden", "me@x does not have storage.objects.create access", StoreDenied),
        (401, "required", "Anonymous caller does not have storage.objects.get access", StoreDenied),
        (400, "invalid", "Something is invalid", StoreError),
        (409, "conflict", "Try again", StoreUnavailable),
    ],
)
def test_refusals_say_who_must_act(
    double: GcsDouble, interference: Interference, status: int, reason: str, message: str, kind: type[StoreError]
) -> None:
    with closing(open_store(f"{filled(double)}/sessions", options_of(double))) as store:
        interference.answer = lambda name: Refused(status, reason, message).reply
        for call in (
            lambda: store.put("log/0", b"x"),
            lambda: store.put_if_absent("log/0", b"x"),
            lambda: store.get("log/0"),
            lambda: list(store.list()),
        ):
            with pytest.raises(StoreError) as caught:
                call()
            assert type(caught.value) is kind
            assert "gs://bucket/sessions" in str(caught.value)


@pytest.mark.parametrize(
    ("status", "message", "failure"),
    [
        (401, "Invalid Credentials", Failure.EXPIRED),
        (401, "Anonymous caller does not have storage.objects.get access", Failure.DENIED),
        (429, "The rate of requests to the bucket exceeds the limit.", Failure.TRANSIENT),
        (503, "We encountered an internal error. Please try again.", Failure.TRANSIENT),
    ],
)
def test_what_the_client_raises_once_it_is_out_of_tries(status: int, message: str, failure: Failure) -> None:
    # Built by hand: gcsfs itself would try for half a minute first.
    from gcsfs.retry import HttpError

    assert classify(HttpError({"code": status, "message": message})) is failure


def test_a_server_that_says_nothing_is_given_up() -> None:
    # Nothing more than the listening socket: the system completes the connection, and nobody reads it.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        options = {"endpoint_url": endpoint, "token": "anon"}
        with closing(open_store("gs://bucket/k", options)) as store:
            assert isinstance(store, FsspecStore)
            assert store._open.requests_timeout.sock_read == SILENCE_SECONDS
        with closing(open_store("gs://bucket/k", {**options, "requests_timeout": 0.2})) as store:
            for read in (lambda: store.get("log/0"), lambda: list(store.list())):
                with pytest.raises(StoreUnavailable, match="no usable answer"):
                    read()
