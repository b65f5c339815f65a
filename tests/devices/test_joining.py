"""Joining a world whose other rank has come, and then does not connect: it was killed in between."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta

import pytest
import torch.distributed as distributed

from mlsession.devices import group, joining
from mlsession.devices.meeting import Keys, met
from mlsession.devices.placement import Placement
from mlsession.devices.waiting import Waiter
from mlsession.errors import Interrupted, WorkerLost


@pytest.fixture
def met_only(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[int, threading.Event]]:
    """The port of a rank 0 that meets another one and does no more, and whether it has."""
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
    server = distributed.TCPStore("127.0.0.1", 0, is_master=True)  # type: ignore[attr-defined]
    has_met = threading.Event()
    threading.Thread(target=meet, args=(server, has_met), daemon=True).start()
    yield server.port, has_met
    del server  # It closes: torch waits for no key of it any more.


def meet(server: Keys, has_met: threading.Event) -> None:
    met(server, 0, 2, timedelta(seconds=60))
    has_met.set()


def join(port: int, check: Callable[[], None]) -> None:
    with joining.joined(Placement(rank=1, size=2, address="127.0.0.1", port=port), check=check):
        pass


def test_who_does_not_connect_is_given_up(
    met_only: tuple[int, threading.Event], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group, "TO_CONNECT", timedelta(seconds=0.3))
    with pytest.raises(WorkerLost, match="not come within"):
        join(met_only[0], lambda: None)


def test_that_rank_0_is_gone_is_noticed_where_torch_is_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    """As it is, now and then, where rank 0 ends while others connect: they wait in gloo for a call that never comes."""
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
    server, has_met = [distributed.TCPStore("127.0.0.1", 0, is_master=True)], threading.Event()  # type: ignore[attr-defined]
    port = server[0].port
    threading.Thread(target=meet, args=(server[0], has_met), daemon=True).start()

    def connect(*_: object, **__: object) -> None:
        assert has_met.wait(60)
        server.clear()
        threading.Event().wait()

    monkeypatch.setattr(distributed, "init_process_group", connect)
    with pytest.raises(WorkerLost, match=f"could not join the others at 127.0.0.1:{port}"):
        join(port, lambda: None)


def test_who_is_asked_to_stop_does_not_wait_for_others_to_connect(met_only: tuple[int, threading.Event]) -> None:
    port, has_met = met_only

    def check() -> None:
        if has_met.is_set():
            raise Interrupted("signal SIGTERM")

    with pytest.raises(Interrupted, match="SIGTERM"):
        join(port, check)


def test_who_is_asked_to_stop_does_not_wait_for_rank_0(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
    monkeypatch.setattr(joining, "_TO_COME", timedelta(seconds=20))  # Of a thread that is left behind.
    looks: list[None] = []

    def check() -> None:
        looks.append(None)
        if len(looks) == 2:
            raise Interrupted("signal SIGTERM")

    with closing(socket.create_server(("127.0.0.1", 0))) as silent, pytest.raises(Interrupted, match="SIGTERM"):
        join(silent.getsockname()[1], check)


def test_a_call_may_run_out_of_time_itself() -> None:
    def call() -> None:
        raise TimeoutError("the store is silent")

    with pytest.raises(TimeoutError, match="silent"):
        Waiter().wait(call, lambda: None)


def test_waiting_ends_with_what_a_look_raises() -> None:
    def look() -> None:
        raise WorkerLost("rank 0 is gone")

    with pytest.raises(WorkerLost, match="rank 0"):
        Waiter().wait(threading.Event().wait, look)
