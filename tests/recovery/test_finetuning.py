"""Real SIGKILLs of a real fine-tuning at an optimiser step; then the same command, and the same model to the bit."""

from __future__ import annotations

import secrets
import signal
import sys
from pathlib import Path
from random import Random

from mlsession.testing.invariants import check_session
from tests.photos import copy_photos
from tests.recovery.nursery import Nursery
from tests.recovery.trainings import LABELS, Training

TURNS = 3 + 1
"""Optimiser steps, and a look at the validation photos."""


def test_killed_at_any_step_the_model_is_the_same(trainers: Nursery, tmp_path: Path) -> None:
    seed = secrets.randbits(31)
    sys.stdout.write(f"seed {seed}\n")
    photos = copy_photos(tmp_path / "train", "train", 8, LABELS).parent
    copy_photos(photos / "test", "test", 1, LABELS)
    words = [
        *("--validation", "0.25", "--iterations", "3"),
        *("--fine-tune", "--epochs", "1", "--batch-size", "6", "--unfreeze", "2"),
        *("--fine-tune-option", "mixup=0.2", "--fine-tune-option", "ema=0.9", "--fine-tune-option", "keep=always"),
    ]
    cache = str(tmp_path / "cache")
    unbroken = Training(trainers, photos, tmp_path / "unbroken", *words, cache=cache).finish()
    assert unbroken["finetuning"]["kept"] is True
    broken = Training(trainers, photos, tmp_path / "broken", *words, cache=cache)
    step = Random(seed).randrange(1, TURNS)
    child = broken.start(halt=f"reached finetuning {step}")
    child.until_halted()
    child.send(signal.SIGKILL)
    child.wait()
    resumed = broken.finish()
    check_session(broken.store)
    assert resumed["model_digest"] == unbroken["model_digest"]
    assert resumed["finetuning"] == unbroken["finetuning"]
