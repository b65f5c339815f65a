from __future__ import annotations

from pathlib import Path

import pytest

from mlsession.errors import InvalidParameter
from mlsession.loggers import bound
from mlsession.loggers.bound import check_installed
from mlsession.loggers.held import HeldFigures, is_of_phase
from mlsession.loggers.run import directory_of, name_of, run_of
from mlsession.session.identity import Identity
from mlsession.session.loggers import LoggerName
from mlsession.session.opening import OpenOptions, create_session, open_session, require_session
from mlsession.store.memory import MemoryStore
from mlsession.testing.clock import FakeClock


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("animals.mlsession", "animals"),
        ("s3://bucket/my animals é.mlsession", "my_animals_é"),
        ("gs://bucket", "bucket"),
        ("/", "session"),
        ("x/...", "session"),
    ],
)
def test_a_run_is_called_as_the_session(url: str, name: str) -> None:
    assert name_of(url) == name


def test_logs_lie_beside_a_local_session_and_else_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    here = str(tmp_path / "lightning_logs")
    assert directory_of("animals.mlsession", False) == here
    assert directory_of("/data/animals.mlsession", False) == str(Path("/data/lightning_logs"))
    assert directory_of("/tmp/temporary", True) == here
    assert directory_of("s3://bucket/animals.mlsession", False) == here


def test_the_run_is_the_same_in_each_attempt_and_another_in_another_session() -> None:
    ids = []
    for _ in range(2):
        store, clock = MemoryStore(), FakeClock()
        state = create_session(store, clock, Identity(task="walk", parameters={"seed": 1}), {}, lambda event: None)
        first = run_of(state, "memory://s/a", False)
        open_session(store, clock, OpenOptions(take_over=True), lambda event: None)
        second = run_of(require_session(store), "memory://s/a", False)
        assert first == second
        assert first.parameters == {"seed": 1}
        ids.append(first.id)
    assert ids[0] != ids[1]
    assert all(len(each) == 16 for each in ids)


def test_a_figure_is_the_same_within_what_a_logger_keeps_of_it() -> None:
    held = HeldFigures({("training/loss", 3): 0.10000000149, ("training/loss", 4): float("nan")}, 2.0**-23)
    assert held.has("training/loss", 3, 0.1)
    assert not held.has("training/loss", 3, 0.1001)
    assert not held.has("training/loss", 2, 0.1)
    assert held.has("training/loss", 4, float("nan"))
    held.add("training/loss", 5, 0.5)
    assert held.has("training/loss", 5, 0.5)
    assert is_of_phase("training/loss", "training")
    assert is_of_phase("mine-training/loss", "training")
    assert not is_of_phase("training_loss", "training")
    assert not is_of_phase("pretraining/loss", "training")


def test_what_is_not_installed_is_said_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bound, "find_spec", lambda name: None if name == "wandb" else object())
    check_installed(LoggerName(kind="csv"))
    with pytest.raises(InvalidParameter, match=r"logger='wandb:x': wandb is not installed: pip install wandb"):
        check_installed(LoggerName(kind="wandb", directory="x"))
