"""A world of real process groups: what its ranks tell each other, and what they see of one that is gone."""

from __future__ import annotations

import gc
import threading

import pytest
import torch

from mlsession.devices.group import SHORT_BYTES, Group
from mlsession.devices.messages import decode_message, encode_message
from mlsession.errors import Interrupted, WorkerLost
from tests.devices.worlds import gloo_groups, in_world, in_worlds


@pytest.mark.parametrize("size", [1, 2, 3])
def test_all_agree_on_what_rank_0_gives(size: int) -> None:
    border = [f"{'x' * (SHORT_BYTES + more)}" for more in range(-40, 2)]
    values = [None, True, {"do": "phase", "commit": 7}, "é\ud800" * SHORT_BYTES, *border]

    def agree(group: Group) -> list[object]:
        return [group.agree(value if group.rank == 0 else "not looked at") for value in values]  # type: ignore[arg-type]

    assert [outcome.result() for outcome in in_world(size, agree)] == [values] * size


def test_sums_have_the_same_bits_everywhere_and_again() -> None:
    parts = torch.randn(3, 10_000, generator=torch.Generator().manual_seed(0)) * torch.logspace(-8, 8, 10_000)

    def add(group: Group) -> bytes:
        values = parts[group.rank].clone()
        group.sum(values)
        return values.numpy().tobytes()

    first, again = ([outcome.result() for outcome in in_world(3, add)] for _ in range(2))
    assert len({*first, *again}) == 1
    total = torch.frombuffer(bytearray(first[0]), dtype=torch.float32)
    assert ((total.double() - parts.double().sum(0)).abs() <= 1e-6 * parts.double().abs().sum(0)).all()


def test_messages_go_from_one_to_another() -> None:
    def talk(group: Group) -> list[bytes]:
        if group.rank:
            group.send(bytes([group.rank]) * 100_000, to=0)
            return [group.receive(0)]
        heard = [group.receive(1), group.receive(2)]
        for rank in (1, 2):
            group.send(b"", to=rank)
        return heard

    outcomes = [outcome.result() for outcome in in_world(3, talk)]
    assert outcomes == [[b"\x01" * 100_000, b"\x02" * 100_000], [b""], [b""]]


@pytest.mark.parametrize("what", ["agree", "sum", "receive"])
def test_who_waits_for_a_rank_that_ends_is_told(what: str) -> None:
    groups = gloo_groups(2)
    left = Group(groups[0])
    threading.Timer(0.2, groups.clear).start()  # Its connections close with it.

    def wait() -> None:
        match what:
            case "agree":
                for _ in range(3):  # What is sent to it may still be taken by the system.
                    left.agree("x" * 10_000_000)
            case "sum":
                left.sum(torch.ones(10))
            case _:
                left.receive(1)

    def drop() -> None:
        while groups:
            threading.Event().wait(0.01)
        gc.collect()

    outcome, _ = in_worlds([wait, drop])
    with pytest.raises(WorkerLost, match="another of the 2 processes"):
        outcome.result()
    with pytest.raises(WorkerLost):
        left.agree(None)


def test_who_is_asked_to_stop_does_not_wait_any_more() -> None:
    asked = threading.Event()

    def heed() -> None:
        if asked.is_set():
            raise Interrupted("signal SIGTERM")

    first, second = (Group(group, heed=heed) for group in gloo_groups(2))
    threading.Timer(0.2, asked.set).start()
    with pytest.raises(Interrupted, match="SIGTERM"):
        first.receive(1)
    with pytest.raises(WorkerLost):
        first.agree(None)
    assert second.rank == 1  # It has not been closed meanwhile.


def test_messages_hold_json_and_bytes() -> None:
    head, body = {"a": [1, None, "\ud800"], "b": float("inf")}, bytes(range(256))
    assert decode_message(encode_message(head, body)) == (head, body)  # type: ignore[arg-type]
