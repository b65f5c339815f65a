from __future__ import annotations

import platform
import resource
import threading
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from mlsession.errors import InvalidParameter
from mlsession.extractors.numerics import torch_numerics, training_numerics
from mlsession.extractors.running.allocator import give_back_freed_memory, keep_freed_memory


def test_what_training_records() -> None:
    found = training_numerics(3)
    assert found["threads"] == 3
    assert found["backend"] == f"torch {version('torch')} cpu"


def test_threads_are_set_and_put_back() -> None:
    before = torch.get_num_threads()
    with torch_numerics(before + 1):
        assert torch.get_num_threads() == before + 1
        with torch_numerics(before + 1):
            assert torch.get_num_threads() == before + 1
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before


def test_threads_are_put_back_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), torch_numerics(before + 2):
        raise KeyError
    assert torch.get_num_threads() == before


def test_they_hold_in_the_thread_that_set_them() -> None:
    found: list[int] = []

    def job() -> None:
        with torch_numerics(3):
            found.append(torch.get_num_threads())

    thread = threading.Thread(target=job)
    thread.start()
    thread.join()
    assert found == [3]


def test_fewer_than_one_is_refused() -> None:
    with pytest.raises(InvalidParameter, match="threads=0"), torch_numerics(0):
        pass


def test_memory_is_kept_where_glibc_is() -> None:
    assert keep_freed_memory() is (platform.system() == "Linux" and platform.libc_ver()[0] == "glibc")


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other C libraries are left as they are")
def test_freed_memory_is_given_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    # Small blocks, of which the last stays: without being told, the allocator keeps those before it.
    blocks = [b"x" * 16_384 for _ in range(4_000)]
    kept = blocks[-1]
    full = resident()
    del blocks
    assert give_back_freed_memory()
    assert full - resident() > 32 * 2**20
    assert kept == b"x" * 16_384
