"""Lightning trainings on sessions: killed, stopped, extended, refused; real processes, forked."""

from __future__ import annotations

import random
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.recovery.nursery import REPOSITORY, Forked, Nursery

EXAMPLE = str(REPOSITORY / "examples" / "lightning_module.py")
REFUSED = str(Path(__file__).parent / "refused.py")


@pytest.fixture(scope="module")
def nursery(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nursery]:
    with Nursery(tmp_path_factory.mktemp("lightning"), "lightning") as nursery:
        yield nursery


def records(session: Path) -> int:
    return len(list((session / "log").glob("*.json"))) if (session / "log").exists() else 0


def digest(nursery: Nursery, session: Path, epochs: int) -> str:
    code, out, err = nursery.run(EXAMPLE, session, "--epochs", str(epochs))
    assert code == 0, err
    return out.splitlines()[-1]


def begun(nursery: Nursery, session: Path, more: int) -> Forked:
    """A training that has written so many records more, and goes on."""
    before = records(session)
    child = nursery.start(EXAMPLE, session, "--epochs", "3")
    child.until(lambda: records(session) >= before + more)
    return child


@pytest.fixture(scope="module")
def unbroken(nursery: Nursery, tmp_path_factory: pytest.TempPathFactory) -> str:
    return digest(nursery, tmp_path_factory.mktemp("unbroken") / "session", 3)


def test_killed_at_random_it_trains_the_same_weights(nursery: Nursery, unbroken: str, tmp_path: Path) -> None:
    seed = random.SystemRandom().randrange(2**32)
    draw = random.Random(seed)
    for _ in range(3):
        child = begun(nursery, tmp_path / "session", draw.randint(2, 4))
        child.send(signal.SIGKILL)
        assert child.wait() == -signal.SIGKILL
    assert digest(nursery, tmp_path / "session", 3) == unbroken, f"seed {seed}"


def test_a_signal_saves_in_mid_epoch_and_stops(nursery: Nursery, unbroken: str, tmp_path: Path) -> None:
    child = begun(nursery, tmp_path / "session", 2)
    child.send(signal.SIGTERM)
    assert child.wait() == 75
    assert "signal SIGTERM" in child.err
    assert digest(nursery, tmp_path / "session", 3) == unbroken


def test_more_epochs_go_on_from_the_end(nursery: Nursery, unbroken: str, tmp_path: Path) -> None:
    digest(nursery, tmp_path / "session", 1)
    digest(nursery, tmp_path / "session", 2)
    count = records(tmp_path / "session")
    digest(nursery, tmp_path / "session", 2)
    assert records(tmp_path / "session") == count  # A finished training writes nothing.
    assert digest(nursery, tmp_path / "session", 3) == unbroken


def test_workers_change_nothing(nursery: Nursery, unbroken: str, tmp_path: Path) -> None:
    code, out, err = nursery.run(EXAMPLE, tmp_path / "session", "--epochs", "3", "--workers", "1")
    assert code == 0, err
    assert out.splitlines()[-1] == unbroken


def ranks(nursery: Nursery, session: Path) -> tuple[Forked, Forked]:
    """Two processes of one training, as torchrun starts them."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    common = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    first, second = (
        nursery.start(
            EXAMPLE,
            session,
            "--epochs",
            "2",
            environment={**common, "TORCHELASTIC_RUN_ID": "test", "RANK": rank, "LOCAL_RANK": rank, "GROUP_RANK": "0"},
        )
        for rank in ("0", "1")
    )
    return first, second


def test_several_processes_resume_exactly_too(nursery: Nursery, tmp_path: Path) -> None:
    """The first writes the session, all stop and go on together."""
    digests = []
    for name, is_killed in (("unbroken", False), ("killed", True)):
        if is_killed:
            both = ranks(nursery, tmp_path / name)
            both[0].until(lambda: records(tmp_path / "killed") >= 3)
            for child in both:
                child.send(signal.SIGKILL)
                child.wait()
        both = ranks(nursery, tmp_path / name)
        assert [child.wait() for child in both] == [0, 0], both[0].err
        digests.append(both[0].out.splitlines()[-1])
    assert digests[0] == digests[1]


def test_what_cannot_be_resumed_is_refused(nursery: Nursery, tmp_path: Path) -> None:
    """See the script: each line that it prints is an error as a user reads it."""
    code, out, err = nursery.run(REFUSED, tmp_path / "session")
    assert code == 0, err
    fresh, parameters, plugin, leaf, shards, failed, again = out.splitlines()
    assert "give Trainer.fit(ckpt_path=checkpoints.newest())" in fresh
    assert "rate was 1 when this session was made and is 2 now" in parameters
    assert "plugins=[checkpoints.io]" in plugin
    assert leaf.startswith("checkpoint['odd']='Odd': a session stores arrays and plain values")
    assert "Sharding writes checkpoints by itself" in shards
    assert failed == "failed: ValueError: a step that fails"
    assert again == "finished"
