"""Azure Blob Storage, held to the contract; what only it does, or does otherwise."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from azure.core.exceptions import HttpResponseError
from azure.storage.blob import BlobClient, ContainerSasPermissions, StorageErrorCode, generate_container_sas
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from mlsession.errors import CredentialsExpired, KeyExists, StoreDenied, StoreError
from mlsession.store import Store, open_store
from mlsession.store.buckets.remote import MAX_CREATE_BYTES
from mlsession.store.failures import Failure, classify
from mlsession.testing.store_contract import OpenHandle, StoreContract
from mlsession.testing.store_machine import StoreMachine
from tests.servers.azure import ACCOUNT, ACCOUNT_KEY, CONTAINER, AzureServer, connection_string, need_azurite
from tests.servers.refusing import refusing_server


class TestAzure(StoreContract):
    num_rounds = 6

    @pytest.fixture
    def open_handle(self, azure_server: AzureServer) -> OpenHandle:
        url = azure_server.new_url()
        return lambda: open_store(url, azure_server.storage_options)


@pytest.mark.parametrize(("ci", "outcome"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)])
def test_without_node_a_run_must_say_so(
    ci: str, outcome: type[BaseException], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("CI", ci)
    with pytest.raises(outcome, match=r"Node\.js"):
        need_azurite()


def test_azure_behaves_like_a_dictionary(azure_server: AzureServer) -> None:
    place = azure_server.new_url()

    class AzureMachine(StoreMachine):
        def open_space(self) -> Callable[[], Store]:
            url = f"{place}/{uuid.uuid4()}"
            return lambda: open_store(url, azure_server.storage_options)

    run_state_machine_as_test(
        AzureMachine,
        settings=settings(max_examples=3, stateful_step_count=10, suppress_health_check=list(HealthCheck)),
    )


def calls(store: Store) -> tuple[Callable[[], object], ...]:
    """One of each kind."""
    return (
        lambda: store.put("log/0", b"x"),
        lambda: store.put_if_absent("log/0", b"x"),
        lambda: store.get("log/0"),
        lambda: store.get_range("log/0", 0, 3),
        lambda: store.delete("log/0"),
        lambda: list(store.list()),
        lambda: list(store.list("log")),
    )


def refuses(store: Store, call: Callable[[], object], kind: type[StoreError], words: str) -> None:
    with pytest.raises(StoreError, match=words) as caught:
        call()
    assert type(caught.value) is kind
    assert store.url in str(caught.value)
    assert ACCOUNT_KEY not in str(caught.value)


def test_a_missing_container_is_named_with_the_cure(azure_server: AzureServer) -> None:
    with closing(open_store("abfs://nowhere/sessions", azure_server.storage_options)) as store:
        for call in calls(store):
            refuses(store, call, StoreError, "container 'nowhere' does not exist; create it")


def test_a_wrong_key_is_denied_and_not_shown(azure_server: AzureServer) -> None:
    options = {"connection_string": connection_string(azure_server.endpoint_url, "d3Jvbmc=")}
    with closing(open_store(azure_server.new_url(), options)) as store:
        for call in calls(store):
            refuses(store, call, StoreDenied, "check the credentials")


def signed(azure_server: AzureServer, permissions: str, hours: int) -> dict[str, Any]:
    """Options with a shared access signature that holds for so many hours from now (if negative: no more)."""
    now = datetime.now(UTC)
    signature = generate_container_sas(
        ACCOUNT,
        CONTAINER,
        ACCOUNT_KEY,
        permission=ContainerSasPermissions.from_string(permissions),
        start=now - timedelta(days=3),
        expiry=now + timedelta(hours=hours),
    )
    return {"connection_string": f"BlobEndpoint={azure_server.endpoint_url};SharedAccessSignature={signature}"}


def test_a_signature_gives_what_it_permits(azure_server: AzureServer) -> None:
    url = azure_server.new_url()
    with closing(open_store(url, signed(azure_server, "racwdl", 1))) as store:
        for call in (calls(store)[0], *calls(store)[2:]):
            call()
        store.put("log/0", b"kept")
    with closing(open_store(url, signed(azure_server, "rl", 1))) as store:
        assert store.get("log/0") == b"kept"
        # Whoever may list need not be allowed to ask about the container.
        assert list(store.list("nothing")) == []
        for call in (calls(store)[0], calls(store)[1], calls(store)[4]):
            refuses(store, call, StoreDenied, "check the credentials")
    with closing(open_store(url, signed(azure_server, "racwdl", -1))) as store:
        for call in calls(store):
            refuses(store, call, StoreDenied, "check the credentials")


@pytest.mark.parametrize(
    ("status", "code", "details", "kind", "words"),
    [
        # What the service itself says of an old signature; azurite does not.
        (
            *(403, "AuthenticationFailed"),
            "<AuthenticationErrorDetail>Signature not valid in the specified time frame: Start [...] - Expiry [...]"
            "</AuthenticationErrorDetail>",
            *(CredentialsExpired, "credentials have expired"),
        ),
        (401, "InvalidAuthenticationInfo", "<D>The token is expired.</D>", CredentialsExpired, "have expired"),
        (403, "AuthorizationPermissionMismatch", "", StoreDenied, "check the credentials"),
        (409, "ContainerBeingDeleted", "", StoreError, "container 'sessions' does not exist"),
        (409, "BlobAlreadyExists", "", KeyExists, "exists already"),
    ],
)
def test_refusals_say_who_must_act(status: int, code: str, details: str, kind: type[StoreError], words: str) -> None:
    with refusing_server(status, code, "Server failed.", details) as endpoint:
        options = {"connection_string": connection_string(f"{endpoint}/{ACCOUNT}")}
        with closing(open_store("abfs://sessions/place", options)) as store:
            refuses(store, lambda: store.put_if_absent("log/0", b"x"), kind, words)


class Refusal(HttpResponseError):
    """What the client makes of a refusal: its code is no attribute of the class, but of each."""

    def __init__(self, code: StorageErrorCode) -> None:
        super().__init__("no")
        self.error_code = code


@pytest.mark.parametrize(
    ("code", "failure"),
    [
        (StorageErrorCode.SERVER_BUSY, Failure.TRANSIENT),
        (StorageErrorCode.OPERATION_TIMED_OUT, Failure.TRANSIENT),
        (StorageErrorCode.CONTAINER_NOT_FOUND, Failure.CONTAINER_MISSING),
        (StorageErrorCode.INVALID_HEADER_VALUE, Failure.OTHER),
    ],
)
def test_codes_are_understood(code: StorageErrorCode, failure: Failure) -> None:
    # Built by hand: the client itself would try for a minute first where that may help.
    assert classify(Refusal(code)) is failure


def test_what_may_be_created_at_once_is_one_request(azure_server: AzureServer) -> None:
    url = azure_server.new_url()
    with closing(open_store(url, azure_server.storage_options)) as store:
        store.put_if_absent("key", bytes(MAX_CREATE_BYTES))
    name = f"{url.removeprefix(f'abfs://{CONTAINER}/')}/key"
    with BlobClient.from_connection_string(connection_string(azure_server.endpoint_url), CONTAINER, name) as blob:
        # What came in parts is made of blocks.
        assert blob.get_block_list("all") == ([], [])
        assert blob.get_blob_properties().size == MAX_CREATE_BYTES


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts the sockets that Linux shows")
def test_a_closed_store_keeps_no_connections(azure_server: AzureServer) -> None:
    def num_sockets() -> int:
        links = [link.readlink() for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
        return sum(str(link).startswith("socket:") for link in links)

    url, counts = azure_server.new_url(), list[int]()
    for _ in range(3):
        store = open_store(url, azure_server.storage_options)
        store.put("key", b"x")
        store.close()
        counts.append(num_sockets())
    assert counts[0] == counts[-1]
