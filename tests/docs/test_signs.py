"""Chapter 10 of docs/format.md: heartbeats and requests to stop, read and written without the library."""

from __future__ import annotations

import math
import threading
from typing import Any

import pytest

from mlsession.events import Progressed
from mlsession.session.log.layout import heartbeat_key, stop_key
from mlsession.session.stop import request_stop, stop_requested
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on

from . import stored

SECONDS = 120


def check_beat(data: bytes) -> dict[str, Any]:
    """What a heartbeat says, held against the document."""
    beat = stored.parse(data, "heartbeat")
    assert stored.spelled(beat).encode() == data
    assert {"beat", "date", "pid"} <= beat.keys() <= {"beat", "date", "pid", "started", "progress", "saving"}
    if "started" in beat:
        assert beat["started"].keys() == {"phase", "iteration"}
    if "saving" in beat:
        assert beat["saving"].keys() == {"elapsed", "waited", "stored"}
        assert all(type(seconds) is float for seconds in beat["saving"].values())
    if "progress" in beat:
        progress = beat["progress"]
        assert progress.keys() == {
            "phase", "iteration", "total", "item_count", "total_items", "elapsed", "metrics",
        }  # fmt: skip
        assert progress["phase"] == beat["started"]["phase"]
        assert all(type(progress[name]) is int for name in ("iteration", "item_count"))
        assert all(progress[name] is None or type(progress[name]) is int for name in ("total", "total_items"))
        assert all(type(value) is float for value in (progress["elapsed"], *progress["metrics"].values()))
    assert isinstance(beat, dict)
    return beat


def test_a_heartbeat_says_what_the_document_says() -> None:
    space, seen = MemorySpace(), threading.Event()
    beats: list[dict[str, Any]] = []

    def on_step(turn: int) -> None:
        # The job waits until its heartbeat has told of the turn before.
        for _ in range(60_000 if turn == 7 else 0):
            data = MemoryStore(space).get(heartbeat_key(1))
            beats.append(check_beat(data))
            if beats[-1].get("progress", {}).get("iteration") == turn - 1:
                seen.set()
                return
            threading.Event().wait(0.002)

    attempt = attempt_on(space)
    attempt.report_interval = 1
    attempt.walk(Walk(limit=10, on_step=on_step))
    assert seen.is_set()
    newest = beats[-1]
    (reported,) = (event for event in attempt.of(Progressed) if (event.phase, event.iteration) == ("walking", 6))
    assert newest["started"] == {"phase": "walking", "iteration": 0}
    assert newest["beat"] >= 1
    progress = newest["progress"]
    assert (progress["total"], progress["item_count"], progress["total_items"]) == (10, 12, 20)
    assert progress["elapsed"] == reported.elapsed
    assert progress["metrics"]["total"] == reported.metrics["total"]
    assert math.isnan(progress["metrics"]["nothing"])


def test_a_request_to_stop_is_what_the_document_says() -> None:
    store = MemoryStore()
    request_stop(store, 3, "lunch \ud800 " + 3_000 * "x")
    request = stored.parse(store.get(stop_key(3)), "stop")
    assert request.keys() == {"reason"}
    assert request["reason"].startswith("lunch \\ud800 x")
    assert len(request["reason"]) == 2_000


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (stored.spelled({"reason": "lunch"}).encode(), "lunch"),
        (stored.spelled({"reason": 7}).encode(), ""),
        (stored.spelled({"reason": 3_000 * "\u2028"}).encode(), 2_000 * "\u2028"),
        (b"{}", ""),
        (b"[]", ""),
        (b"stop", ""),
        (b"\xff", ""),
        (b"", ""),
        (200_000 * b" ", ""),
    ],
)
def test_whatever_is_there_asks_to_stop(data: bytes, reason: str) -> None:
    store = MemoryStore()
    assert stop_requested(store, 3) is None
    store.put(stop_key(3), data)
    assert stop_requested(store, 3) == reason
    assert stop_requested(store, 4) is None
