"""Processes to fork commands from, for the modules that ask."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.recovery.nursery import Nursery


@pytest.fixture(scope="module")
def walkers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Forks torch-free walkers."""
    with Nursery(tmp_path_factory.mktemp("walkers")) as nursery:
        yield nursery


@pytest.fixture(scope="session")
def clients(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    """Forks scripts that talk to servers of every kind."""
    with Nursery(tmp_path_factory.mktemp("clients"), "clients") as nursery:
        yield nursery
