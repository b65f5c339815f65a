"""A real SIGKILL while a perceptron is judged; then the same command, and the same model and choice."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

from mlsession.store import LocalStore
from mlsession.testing.invariants import check_session
from tests.photos import copy_photos
from tests.recovery.nursery import Forked, Nursery
from tests.recovery.trainings import LABELS


def test_killed_while_a_perceptron_is_judged_it_gives_the_same_model(trainers: Nursery, tmp_path: Path) -> None:
    photos, store = copy_photos(tmp_path / "photos", "train", 7, LABELS), LocalStore(tmp_path / "killed")

    def start(session: str, halt: str = "") -> Forked:
        return trainers.start(
            *("mlsession", "train", str(photos), "--session", str(tmp_path / session), "--validation", "none"),
            *("--cache", str(tmp_path / "cache"), "--classifier", "auto", "--iterations", "2", "--json"),
            *("--checkpoint-interval", "1"),
            halt=halt,
        )

    def finished(session: str) -> dict[str, Any]:
        child = start(session)
        assert child.wait() == 0, child.err
        found: dict[str, Any] = json.loads(child.out)
        return found

    child = start("killed", halt="judging")
    child.until_halted()
    child.send(signal.SIGKILL)
    assert child.wait() == -signal.SIGKILL, "it ended before it could be killed"
    check_session(store)
    told, unbroken = finished("killed"), finished("unbroken")
    check_session(store)
    assert told["model_digest"] == unbroken["model_digest"]
    assert told["selection"] == unbroken["selection"]
    assert told["selection"]["comparisons"][0]["judged"] == 21
