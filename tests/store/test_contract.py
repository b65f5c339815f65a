"""Every store that ships, held to the public contract, and compared with a dictionary."""

from __future__ import annotations

import shutil
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from mlsession.store import LocalStore, MemorySpace, MemoryStore, Store, open_store
from mlsession.testing.store_contract import OpenHandle, StoreContract
from mlsession.testing.store_machine import StoreMachine
from tests.servers.s3 import S3Server


class TestMemoryStore(StoreContract):
    num_rounds = 100

    @pytest.fixture
    def open_handle(self) -> OpenHandle:
        space = MemorySpace()
        return lambda: MemoryStore(space)


class TestLocalStore(StoreContract):
    num_rounds = 40

    @pytest.fixture
    def open_handle(self, tmp_path: Path) -> OpenHandle:
        return lambda: LocalStore(tmp_path / "new" / "root")


class TestLocalStoreWithoutHardLinks(StoreContract):
    num_rounds = 40

    @pytest.fixture
    def open_handle(self, tmp_path: Path) -> OpenHandle:
        return lambda: LocalStore(tmp_path / "root", hard_links=False)


class TestSharedMemoryStore(StoreContract):
    num_rounds = 600

    @pytest.fixture
    def open_handle(self) -> Iterator[OpenHandle]:
        url = f"memory://{uuid.uuid4()}/root"
        interval = sys.getswitchinterval()
        # Between looking and writing there are a few microseconds: let another thread run in them.
        sys.setswitchinterval(1e-6)
        yield lambda: open_store(url)
        sys.setswitchinterval(interval)


class TestS3(StoreContract):
    num_rounds = 6

    @pytest.fixture
    def open_handle(self, s3_server: S3Server) -> OpenHandle:
        url = f"{s3_server.new_bucket_url()}/some/root"
        return lambda: open_store(url, s3_server.storage_options)


class MemoryMachine(StoreMachine):
    def open_space(self) -> Callable[[], Store]:
        space = MemorySpace()
        return lambda: MemoryStore(space)


class SharedMemoryMachine(StoreMachine):
    def open_space(self) -> Callable[[], Store]:
        url = f"memory://{uuid.uuid4()}"
        return lambda: open_store(url)


class LocalMachine(StoreMachine):
    hard_links = True

    def open_space(self) -> Callable[[], Store]:
        self.folder = tempfile.mkdtemp()
        return lambda: LocalStore(self.folder, hard_links=self.hard_links)

    def teardown(self) -> None:
        super().teardown()
        shutil.rmtree(self.folder)


class LinklessMachine(LocalMachine):
    hard_links = False


@pytest.mark.parametrize("machine", [MemoryMachine, SharedMemoryMachine, LocalMachine, LinklessMachine])
def test_behaves_like_a_dictionary(machine: type[StoreMachine]) -> None:
    run_state_machine_as_test(machine, settings=_settings(max_examples=25, stateful_step_count=20))


@pytest.fixture(scope="module")
def bucket(s3_server: S3Server) -> str:
    return s3_server.new_bucket_url()


def test_s3_behaves_like_a_dictionary(s3_server: S3Server, bucket: str) -> None:
    class S3Machine(StoreMachine):
        def open_space(self) -> Callable[[], Store]:
            url = f"{bucket}/{uuid.uuid4()}"
            return lambda: open_store(url, s3_server.storage_options)

    run_state_machine_as_test(S3Machine, settings=_settings(max_examples=3, stateful_step_count=12))


def _settings(*, max_examples: int, stateful_step_count: int) -> settings:
    return settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        suppress_health_check=list(HealthCheck),
    )
