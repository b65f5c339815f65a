"""Fine-tuning by real processes that share the network, one of them killed: the same bits; alone nearly the same."""

from __future__ import annotations

import re
import secrets
import shutil
import signal
import sys
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
AT_THE_END = f"reached finetuning {TURNS}"


def body_of(session: Path) -> dict[str, Any]:
    record = newest_record(LocalStore(session))
    return {} if record is None else dict(record.body)


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


def check_shards(session: Path, number: int, size: int) -> None:
    """They are as chapter 12 of docs/format.md says, by the document's own reader."""
    reader = SessionFolder(session)
    folded = reader.fold(number, set())
    arrays, _ = reader.state(folded, "finetuning")
    assert not arrays
    shards = reader.shards(folded, "finetuning")
    vectors = {"point", "first_moments", "second_moments", "average"}
    assert [shard.keys() for shard in shards] == [vectors | {"places"}] * size
    for shard in shards:
        assert {shard[name].dtype.name for name in vectors} == {"float32"}
        assert {len(shard[name]) for name in vectors} == {shard["places"][:, 1].sum()}
    ranges = sorted((int(start), int(count)) for shard in shards for start, count in shard["places"])
    ends = [start + count for start, count in ranges]
    assert [start for start, _ in ranges] == [0, *ends[:-1]]


@pytest.fixture(scope="module")
def photos(trainers: Nursery, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Few of them."""
    trainers.load("torch.distributed.fsdp", "torch._dynamo")
    folder = tmp_path_factory.mktemp("photos")
    copy_photos(folder / "test", "test", 1, LABELS)
    return copy_photos(folder / "train", "train", 4, LABELS).parent


def about_to_be_tuned(trainers: Nursery, photos: Path, session: Path, *options: str) -> Path:
    """A session that has trained its head on 9 photos, with 3 to validate on, and is about to be fine-tuned."""
    words = [
        *("--validation", "0.25", "--iterations", "2"),
        *("--fine-tune", "--epochs", "1", "--batch-size", "3", "--unfreeze", "1"),
        *("--fine-tune-option", "mixup=0.2", "--fine-tune-option", "ema=0.9", "--fine-tune-option", "keep=always"),
    ]
    training = Training(trainers, photos, session, *words, *options, cache=str(photos / "cache"))
    child = training.start(halt="reached training 2")
    child.until_halted()
    end([child])
    return session


@pytest.fixture(scope="module")
def prepared(trainers: Nursery, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such a session."""
    return about_to_be_tuned(trainers, photos, tmp_path_factory.mktemp("prepared") / "session")


@pytest.mark.parametrize("size", [2, 3])
@pytest.mark.sampled(0.5)
def test_processes_that_share_the_network_lose_nothing(
    trainers: Nursery, prepared: Path, tmp_path: Path, size: int
) -> None:
    seed = secrets.randbits(31)
    sys.stdout.write(f"seed {seed}\n")
    generator = Random(seed)
    unbroken, broken = (shutil.copytree(prepared, tmp_path / name) for name in ("unbroken", "broken"))

    workers = start(trainers, unbroken, size, "--strategy", "fsdp", halt=AT_THE_END)
    workers[0].until_halted()
    end(workers)
    entries = tuned(unbroken)
    assert [len(each.shards) for each in entries] == [size] * (TURNS - 1) + [0]
    check_shards(unbroken, entries[0].number, size)

    step = generator.randrange(1, TURNS)
    workers = start(trainers, broken, size, "--strategy", "fsdp", halt=f"reached finetuning {step}")
    workers[0].until_halted()
    victim = workers[generator.randrange(size)]
    victim.send(signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    others = [worker for worker in workers if worker is not victim]
    others[0].send(signal.SIGCONT)
    for worker in others:
        assert worker.wait() == 75, worker.err
    alone = shutil.copytree(broken, tmp_path / "alone")

    workers = start(trainers, broken, size, "--strategy", "fsdp", halt=AT_THE_END)
    workers[0].until_halted()
    end(workers)
    check_session(LocalStore(broken))
    assert bits(broken) == bits(unbroken)

    (worker,) = start(trainers, alone, 1, halt=AT_THE_END)
    worker.until_halted()
    end([worker])
    check_session(LocalStore(alone))
    for one, other in zip(tuned(alone), entries, strict=True):
        assert (one.iteration, one.item_count) == (other.iteration, other.item_count)
        assert dict(one.metrics) == pytest.approx(dict(other.metrics), rel=1e-3)


@pytest.fixture(scope="module")
def in_small_parts(trainers: Nursery, photos: Path, tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """What two processes save that share the network, and take one image at a time from the start."""
    folder = tmp_path_factory.mktemp("small") / "session"
    about_to_be_tuned(trainers, photos, folder, "--fine-tune-option", "gradient_accumulation=2")
    workers = start(trainers, folder, 2, "--strategy", "fsdp", halt=AT_THE_END)
    workers[0].until_halted()
    end(workers)
    return bits(folder)


def parts(session: Path) -> list[Any]:
    """Images of a part, as each state of fine-tuning says."""
    reader = SessionFolder(session)
    states = [reader.state(reader.fold(each.number, set()), "finetuning") for each in tuned(session)]
    return [data["micro_batch"] for _, data in states]


@pytest.mark.parametrize("where", ["forward", "backward"])
@pytest.mark.sampled(0.5)
def test_one_without_memory_has_all_take_smaller_parts(
    trainers: Nursery, prepared: Path, in_small_parts: list[object], tmp_path: Path, where: str
) -> None:
    """The same bits as if the parts had been so small from the start; and whoever goes on begins with those."""
    session = shutil.copytree(prepared, tmp_path / "session")
    # Nothing but what was found out is worth a checkpoint.
    words, halt = ("--strategy", "fsdp", "--checkpoint-interval", "1000"), "reached finetuning 1"
    workers = start(trainers, session, 2, *words, cramped={1: f"1 {where}"}, halt=halt)
    workers[0].until_halted()
    end(workers)
    assert (parts(session)[0], tuned(session)[0].iteration) == (1, 1)
    assert "out of memory (another device is out of memory)" in workers[0].err

    workers = start(trainers, session, 2, "--strategy", "fsdp", halt=AT_THE_END)
    workers[0].until_halted()
    end(workers)
    assert "out of memory" not in workers[0].err
    check_session(LocalStore(session))
    assert bits(session)[-1] == in_small_parts[-1]


@pytest.mark.sampled(0.5)
def test_without_memory_to_look_at_photos_the_parts_are_halved_as_well(
    trainers: Nursery, prepared: Path, tmp_path: Path
) -> None:
    session = shutil.copytree(prepared, tmp_path / "session")
    workers = start(trainers, session, 2, "--strategy", "fsdp", cramped={1: "1 check"}, halt=AT_THE_END)
    workers[0].until_halted()
    end(workers)
    assert "out of memory" in workers[0].err
    assert parts(session) == [2] * (TURNS - 1) + [1]
    check_session(LocalStore(session))


@pytest.mark.sampled(0.5)
def test_without_memory_for_another_network_all_end_with_that(
    trainers: Nursery, prepared: Path, tmp_path: Path
) -> None:
    """While the average is looked at, so neither the newest weights nor a network are there; what was saved stays."""
    session = shutil.copytree(prepared, tmp_path / "session")
    workers = start(trainers, session, 2, "--strategy", "fsdp", cramped={1: "1 rebuild"})
    assert [worker.wait() for worker in workers] == [1, 0]
    told = workers[0].err.splitlines()[-1]
    assert re.match(r"error: rank 1 on .*: finetuning: there is not enough memory to build the network anew", told)
    assert "take a smaller network, or a machine with more of it" in told
    assert "Traceback" not in workers[0].err + workers[1].err
    assert body_of(session)["outcome"] == "failed"
    check_session(LocalStore(session))
    assert [each.iteration for each in tuned(session)] == list(range(1, TURNS))


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("strategy", ["ddp", "fsdp"])
def test_one_that_is_killed_while_it_makes_the_network_is_missed(
    trainers: Nursery, prepared: Path, tmp_path: Path, strategy: str
) -> None:
    """By all others, whatever they wait for; and each has its launcher start all again."""
    session = shutil.copytree(prepared, tmp_path / "session")
    workers = start(trainers, session, 3, "--strategy", strategy, cramped={1: "0 killed"})
    assert [worker.wait() for worker in workers] == [75, -signal.SIGKILL, 75]
    assert all("is gone, as rank" in worker.err for worker in workers[::2])
    body = body_of(session)
    assert (body["outcome"], body["lost"]) == ("interrupted", True)


@pytest.mark.sampled(0.5)
def test_processes_that_begin_to_share_the_network_take_small_parts(
    trainers: Nursery, prepared: Path, tmp_path: Path
) -> None:
    """One process alone takes a step in one part; of those that share the network each takes its share of it."""
    session = shutil.copytree(prepared, tmp_path / "session")
    (worker,) = start(trainers, session, 1, halt="reached finetuning 1")
    worker.until_halted()
    end([worker])
    assert set(parts(session)) == {3}
    done = len(parts(session))
    workers = start(trainers, session, 2, "--strategy", "fsdp", halt=AT_THE_END)
    workers[0].until_halted()
    end(workers)
    assert set(parts(session)[done:]) == {2}
