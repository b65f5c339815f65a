"""A real FTP server: folders, no exclusive creation, and a store that knows it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest

from mlsession.errors import StoreDenied, StoreUnavailable
from mlsession.store import Store, open_store
from mlsession.testing.store_contract import OpenHandle, StoreContract
from tests.servers.ftp import FtpServer


@pytest.fixture
def ftp_server(tmp_path: Path) -> Iterator[FtpServer]:
    with FtpServer(tmp_path) as server:
        yield server


class TestFtp(StoreContract):
    creates_exclusively: ClassVar[bool] = False
    num_rounds = 10

    @pytest.fixture
    def open_handle(self, ftp_server: FtpServer) -> OpenHandle:
        return lambda: open_store(f"{ftp_server.url}/new/root")

    def test_a_version_changes_with_the_bytes(self, store: Store) -> None:
        # FTP gives times in whole seconds, so within one second only another size is sure to show.
        versions = set()
        for data in (b"a", b"bb", b"ccc"):
            store.put("key", data)
            (entry,) = store.list()
            versions.add(entry.version)
            assert list(store.list()) == [entry]
        assert len(versions) == 3


def test_writes_leave_nothing_else_behind(ftp_server: FtpServer, tmp_path: Path) -> None:
    store = open_store(f"{ftp_server.url}/root")
    store.put("log/0", b"first")
    store.put("log/0", b"second")
    store.put_if_absent("log/1", b"x")
    store.close()
    files = {path.relative_to(tmp_path).as_posix(): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert files == {"root/log/0": b"second", "root/log/1": b"x"}


def test_a_wrong_password_is_denied_and_not_shown(ftp_server: FtpServer) -> None:
    with pytest.raises(StoreDenied) as caught:
        open_store(ftp_server.url.replace("password", "other-password"))
    assert "other-password" not in str(caught.value)


def test_a_server_that_went_away_is_no_empty_folder(ftp_server: FtpServer) -> None:
    store = open_store(ftp_server.url)
    store.put("log/0", b"x")
    ftp_server.close()
    with pytest.raises(StoreUnavailable):
        store.list()
    with pytest.raises(StoreUnavailable):
        store.get("log/0")
    with pytest.raises(StoreUnavailable):
        store.put_if_absent("log/1", b"x")
