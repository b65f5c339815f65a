"""Credentials that expire while a store is in use, over a real S3 server that stops taking them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import fsspec.config
import pytest

from mlsession.errors import CredentialsExpired, StoreDenied, StoreError, StoreUnavailable
from mlsession.events import Event, StoreRetried
from mlsession.job.context import JobContext
from mlsession.job.run import SessionPlace, ensure_session
from mlsession.session.attempt import retry_teller
from mlsession.session.identity import Identity
from mlsession.session.parameters import SessionParameters
from mlsession.store import FreshOptions, open_store
from mlsession.store.buckets.credentials import Configuration, changed_options, configuration, present_options
from mlsession.store.retrying import Backoff, RetryingStore
from mlsession.testing.clock import FakeClock
from mlsession.testing.invariants import check_session
from mlsession.testing.walk import Walk
from tests.servers.gateway import Gate, gateway
from tests.servers.refusing import refusing_server
from tests.servers.s3 import S3Server
from tests.session.attempts import Attempt, unbroken

pytestmark = pytest.mark.sampled(0.5)

SECRET = "a/very+secret/value"


@pytest.fixture
def gate(s3_server: S3Server) -> Iterator[Gate]:
    with gateway(s3_server.endpoint_url, "key-one") as gate:
        yield gate


def access(gate: Gate, key: str, secret: str = SECRET) -> dict[str, Any]:
    return {"key": key, "secret": secret, "endpoint_url": gate.endpoint_url}


class TestRenewing:
    def test_each_try_asks_the_function_anew(self, gate: Gate, s3_server: S3Server) -> None:
        keys = ["key-one"]
        options = FreshOptions(lambda: access(gate, keys[-1]))
        with closing(open_store(s3_server.new_bucket_url(), options)) as store:
            store.put("key", b"before")
            gate.key = "key-two"
            for call in (lambda: store.get("key"), lambda: store.put("key", b"x"), store.list):
                with pytest.raises(
                    CredentialsExpired, match="have expired or this clock is wrong; renew them"
                ) as caught:
                    call()
                assert "key-one" not in str(caught.value)
            keys.append("key-two")
            # The call that failed last asked for the options of then; the next one asks for those of now.
            store.put_if_absent("log/0", b"after")
            assert (store.get("key"), store.get("log/0")) == (b"before", b"after")

    def test_fsspec_configuration_is_read_anew(
        self, gate: Gate, s3_server: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def configure(key: str) -> None:
            (tmp_path / "s3.json").write_text(json.dumps({"s3": access(gate, key)}), encoding="utf-8")

        configure("key-one")
        monkeypatch.setattr(fsspec.config, "conf_dir", str(tmp_path))
        monkeypatch.setitem(fsspec.config.conf, "s3", access(gate, "key-one"))
        with closing(open_store(s3_server.new_bucket_url())) as store:
            store.put("key", b"before")
            gate.key = "key-two"
            with pytest.raises(CredentialsExpired):
                store.get("key")
            (tmp_path / "s3.json").write_text('{"s3": {"key": "key-', encoding="utf-8")
            with pytest.raises(StoreUnavailable, match=r"configuration in .* cannot be read") as caught:
                store.get("key")
            assert "key-" not in str(caught.value).replace(str(tmp_path), "")
            configure("key-two")
            assert store.get("key") == b"before"

    def test_the_environment_is_read_anew(
        self, gate: Gate, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # As if these had been there when the program began.
        monkeypatch.setitem(fsspec.config.conf, "s3", {"key": "key-one", "secret": SECRET})
        with closing(open_store(s3_server.new_bucket_url(), {"endpoint_url": gate.endpoint_url})) as store:
            store.put("key", b"before")
            gate.key = "key-two"
            monkeypatch.setenv("FSSPEC_S3_KEY", "key-two")
            with pytest.raises(CredentialsExpired):
                store.get("key")
            assert store.get("key") == b"before"

    def test_secrets_of_before_and_now_stay_hidden(self) -> None:
        secrets = ["first/secret+value", "second/secret+value"]
        given = iter(secrets)
        with refusing_server(400, "ExpiredToken", f"expired: {' or '.join(secrets)}") as endpoint:
            options = FreshOptions(lambda: {"key": "key-id", "secret": next(given), "endpoint_url": endpoint})
            with closing(open_store("s3://bucket", options)) as store:
                for seen in (1, 2):
                    with pytest.raises(CredentialsExpired) as caught:
                        store.put("key", b"x")
                    assert not any(secret in str(caught.value) for secret in secrets[:seen])

    def test_a_function_that_fails_is_judged_like_the_store(self, gate: Gate, s3_server: S3Server) -> None:
        errors: list[Exception] = []

        def lease() -> dict[str, Any]:
            if errors:
                raise errors[0]
            return access(gate, "key-one")

        with closing(open_store(s3_server.new_bucket_url(), FreshOptions(lease))) as store:
            gate.key = "key-two"
            with pytest.raises(CredentialsExpired):
                store.get("key")
            errors.append(TimeoutError("the vault does not answer"))
            with pytest.raises(StoreUnavailable, match="the vault does not answer"):
                store.get("key")
            errors[:] = [ValueError("the vault is sealed")]
            with pytest.raises(StoreError, match="the vault is sealed") as caught:
                store.get("key")
            assert type(caught.value) is StoreError
            errors.clear()
            gate.key = "key-one"
            store.put("key", b"x")

    def test_what_was_never_allowed_is_denied_at_once(self) -> None:
        with (
            refusing_server(403, "AccessDenied", "no") as endpoint,
            closing(open_store("s3://bucket", {"key": "k", "secret": SECRET, "endpoint_url": endpoint})) as store,
            pytest.raises(StoreDenied),
        ):
            store.get("key")


def test_a_session_outlives_its_tokens(gate: Gate, s3_server: S3Server) -> None:
    url, keys, waits = s3_server.new_bucket_url(), ["key-one"], list[float]()
    fresh = FreshOptions(lambda: access(gate, keys[-1]))

    def attempt(on_sleep: Callable[[float], None], give_up_after: float) -> Attempt:
        clock, backoff = FakeClock(on_sleep=on_sleep), Backoff(give_up_after=give_up_after)
        return Attempt(open_store=lambda: open_store(url, fresh), clock=clock, backoff=backoff, beat_seconds=60.0)

    def expire(turn: int, last: int, key: str) -> None:
        if turn == last:
            gate.key = key

    # Nobody renews the first token: an error that says what to do, and nothing is lost.
    with pytest.raises(CredentialsExpired) as caught:
        attempt(waits.append, 3.0).walk(Walk(limit=8, on_step=lambda turn: expire(turn, 7, "key-two")))
    assert "has refused these credentials for" in str(caught.value)
    assert "renew them where they come from" in str(caught.value)
    assert str(caught.value).endswith("the session can be resumed when they are renewed")
    assert waits
    with closing(open_store(url, s3_server.storage_options)) as store:
        facts = check_session(store)
        assert facts is not None
        assert {entry.iteration for entry in facts.checkpoints} <= {3, 6}
        assert len(facts.checkpoints) >= 1

    # The second one is renewed while the attempt waits.
    keys.append("key-two")
    steps: list[int] = []

    def step(turn: int) -> None:
        steps.append(turn)
        expire(turn, 8, "key-three")

    again = attempt(lambda seconds: keys.append("key-three"), 900.0)
    assert again.walk(Walk(limit=8, on_step=step)) == unbroken(Walk(limit=8))
    assert min(steps) > 3
    retries = again.of(StoreRetried)
    assert retries
    assert all("credentials have expired" in event.reason for event in retries)
    with closing(open_store(url, s3_server.storage_options)) as store:
        check_session(store)


def test_a_session_that_begins_with_expired_tokens_says_so_soon(gate: Gate, s3_server: S3Server) -> None:
    given: list[str] = []

    def lease() -> dict[str, Any]:
        given.append(f"key-{len(given) + 2}")
        return access(gate, given[-1])

    place = SessionPlace(url=s3_server.new_bucket_url(), storage_options=FreshOptions(lease))
    clock, events = FakeClock(), list[Event]()
    with pytest.raises(
        CredentialsExpired, match=r"refuses these credentials.* renew them .* run the same command again"
    ):
        ensure_session(place, SessionParameters(), JobContext(emit=events.append, clock=clock), Identity(task="walk"))
    assert [type(event) for event in events] == [StoreRetried]
    assert clock.monotonic() < 1
    assert given == ["key-2", "key-3"], "they are asked for anew, once"
    gate.key = "key-4"
    ensure_session(place, SessionParameters(), JobContext(emit=events.append, clock=clock), Identity(task="walk"))


def test_retries_of_expired_credentials_are_said(gate: Gate, s3_server: S3Server) -> None:
    events: list[Event] = []
    keys = ["key-two"]
    url = s3_server.new_bucket_url()
    options = FreshOptions(lambda: access(gate, keys[0]))
    clock = FakeClock(on_sleep=lambda seconds: keys.insert(0, "key-one"))
    with closing(RetryingStore(open_store(url, options), clock, Backoff(), retry_teller(events.append))) as store:
        store.put("key", b"x")
    assert [event.attempt for event in events if isinstance(event, StoreRetried)] == [1]


def test_options_are_those_of_one_moment() -> None:
    counted: list[int] = []

    def read() -> dict[str, object]:
        counted.append(1)
        return {"key": len(counted), "token": len(counted)}

    assert present_options(FreshOptions(read)) == {"key": 1, "token": 1}
    assert present_options(None) == {}
    assert dict(FreshOptions(lambda: {"a": 1})) == {"a": 1}
    assert (len(FreshOptions(lambda: {"a": 1})), "a" in FreshOptions(lambda: {"a": 1})) == (1, True)


def test_only_what_changed_is_taken_from_the_configuration() -> None:
    before: Configuration = {"s3": {"key": "old", "endpoint_url": "e"}, "gs": {"token": "t"}}
    now: Configuration = {"s3": {"key": "new", "endpoint_url": "e"}, "gs": {"token": "t"}, "zip": {"a": 1}}
    assert changed_options(before, before, ("s3",)) == {}
    assert changed_options(before, now, ("s3",)) == {"key": "new"}
    assert changed_options(before, now, ("zip", "s3")) == {"a": 1, "s3": {"key": "new"}}
    assert changed_options({}, now, ("gs",)) == {"token": "t"}


def test_files_and_environment_make_the_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.ini").write_text("[s3]\nkey = from-file\n", encoding="utf-8")
    monkeypatch.setattr(fsspec.config, "conf_dir", str(tmp_path))
    monkeypatch.setenv("FSSPEC_S3_SECRET", "from-environment")
    assert configuration()["s3"] == {"key": "from-file", "secret": "from-environment"}
