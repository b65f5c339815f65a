"""Fine-tuning by real processes that share the network, one of them killed: the same bits; alone nearly the same."""

from __future__ import annotations

import secrets
import shutil
import signal
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from random import Random
from typing import Any

import pytest

from mlsession.session.log.journal import Journal
from mlsession.session.log.records import CheckpointEntry
from mlsession.store import LocalStore
from mlsession.testing.invariants import check_session
from tests.docs.reader import SessionFolder
from tests.photos import copy_photos
from tests.recovery.nursery import Forked, Nursery
from tests.recovery.test_workers import start
from tests.recovery.trainings import LABELS, Training, newest_record

TURNS = 3 + 1
"""Optimiser steps, and a look at the validation photos."""


def body_of(session: Path) -> dict[str, Any]:
    record = newest_record(LocalStore(session))
    return {} if record is None else dict(record.body)


def reached(session: Path, phase: str, iteration: int) -> Callable[[], bool]:
    """Whether the newest record is of a phase, at that iteration or beyond."""

    def is_reached() -> bool:
        body = body_of(session)
        return body.get("phase") == phase and body["iteration"] >= iteration

    return is_reached


def end(workers: list[Forked]) -> None:
    for worker in workers:
        worker.send(signal.SIGKILL)
        worker.wait()


def tuned(session: Path) -> list[CheckpointEntry]:
    """The checkpoints of fine-tuning."""
    with closing(LocalStore(session)) as store:
        journal = Journal(store)
        state = journal.load()
        assert state is not None
        return [entry for entry in journal.checkpoints(state.timeline) if entry.phase == "finetuning"]


def bits(session: Path) -> list[object]:
    """All that fine-tuning has saved, without what names the attempt."""
    return [(each.iteration, dict(each.metrics), [ref.sha256 for ref in each.states]) for each in tuned(session)]


def check_shards(session: Path, number: int) -> None:
    """They are as chapter 12 of docs/format.md says, by the document's own reader."""
    reader = SessionFolder(session)
    folded = reader.fold(number, set())
    arrays, _ = reader.state(folded, "finetuning")
    assert not arrays
    shards = reader.shards(folded, "finetuning")
    vectors = {"point", "first_moments", "second_moments", "average"}
    assert [shard.keys() for shard in shards] == [vectors | {"places"}] * 2
    for shard in shards:
        assert {shard[name].dtype.name for name in vectors} == {"float32"}
        assert {len(shard[name]) for name in vectors} == {shard["places"][:, 1].sum()}
    ranges = sorted((int(start), int(count)) for shard in shards for start, count in shard["places"])
    ends = [start + count for start, count in ranges]
    assert [start for start, _ in ranges] == [0, *ends[:-1]]


@pytest.fixture(scope="module")
def prepared(trainers: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A session that has trained its head on 9 photos, with 3 to validate on, and is about to be fine-tuned."""
    trainers.load("torch.distributed.fsdp", "torch._dynamo")
    folder = tmp_path_factory.mktemp("prepared")
    photos = copy_photos(folder / "train", "train", 4, LABELS).parent
    copy_photos(folder / "test", "test", 1, LABELS)
    words = [
        *("--validation", "0.25", "--iterations", "2"),
        *("--fine-tune", "--epochs", "1", "--batch-size", "3", "--unfreeze", "1"),
        *("--fine-tune-option", "mixup=0.2", "--fine-tune-option", "ema=0.9", "--fine-tune-option", "keep=always"),
    ]
    child = Training(trainers, photos, folder / "session", *words).start()
    child.until(reached(folder / "session", "training", 2))
    end([child])
    return folder / "session"


def test_processes_that_share_the_network_lose_nothing(trainers: Nursery, prepared: Path, tmp_path: Path) -> None:
    seed = secrets.randbits(31)
    sys.stdout.write(f"seed {seed}\n")
    generator = Random(seed)
    unbroken, broken = (shutil.copytree(prepared, tmp_path / name) for name in ("unbroken", "broken"))

    workers = start(trainers, unbroken, 2, "--strategy", "fsdp")
    workers[0].until(reached(unbroken, "finetuning", TURNS))
    end(workers)
    entries = tuned(unbroken)
    assert [len(each.shards) for each in entries] == [2] * (TURNS - 1) + [0]
    check_shards(unbroken, entries[0].number)

    workers, step = start(trainers, broken, 2, "--strategy", "fsdp"), generator.randrange(1, TURNS)
    workers[0].until(reached(broken, "finetuning", step))
    victim = generator.randrange(2)
    workers[victim].send(signal.SIGKILL)
    assert workers[victim].wait() == -signal.SIGKILL
    assert workers[1 - victim].wait() == 75, workers[1 - victim].err
    alone = shutil.copytree(broken, tmp_path / "alone")

    workers = start(trainers, broken, 2, "--strategy", "fsdp")
    workers[0].until(reached(broken, "finetuning", TURNS))
    end(workers)
    check_session(LocalStore(broken))
    assert bits(broken) == bits(unbroken)

    (worker,) = start(trainers, alone, 1)
    worker.until(reached(alone, "finetuning", TURNS))
    end([worker])
    check_session(LocalStore(alone))
    for one, other in zip(tuned(alone), entries, strict=True):
        assert (one.iteration, one.item_count) == (other.iteration, other.item_count)
        assert dict(one.metrics) == pytest.approx(dict(other.metrics), rel=1e-3)
