"""`mlsession train` from beginning to end, in processes of their own."""

from __future__ import annotations

import json
import shutil
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from mlsession.store.local import LocalStore
from mlsession.testing.invariants import check_session, stored_bytes
from tests.cli.conftest import Trained
from tests.photos import PHOTOS
from tests.recovery.nursery import Forked, Nursery


def test_a_training_reports_and_says_what_to_do_next(trained: Trained) -> None:
    done = trained.outcome
    assert done.code == 0
    assert "accuracy: training 100.0 % of 12, test " in done.out
    assert "test images by class:" in done.out
    assert "Kiwi" in done.out
    assert "exported new/folder/fruits.safetensors: mlsession classifier" in done.out
    assert "session: train.mlsession" in done.out
    assert "mlsession predict train.mlsession PHOTO.jpg" in done.out
    assert "mlsession export" not in done.out
    assert trained.model.stat().st_size > 0


def test_progress_is_on_standard_error_and_names_what_was_skipped(trained: Trained) -> None:
    lines = trained.outcome.err.splitlines()
    assert lines[0].startswith("session: created ")
    for phase in ("extracting", "training", "evaluating"):
        assert f"{phase}: started" in lines
        assert any(line.startswith(f"{phase}: done, ") for line in lines)
    assert any(line.startswith("skipped Kiwi/torn.jpg: ") for line in lines)
    said = "warning: 3 classes (Lemon 4, Tomato 4, Kiwi 5) have fewer than 10 images; add images"
    assert [line.startswith(said) for line in lines[: lines.index("extracting: started")]].count(True) == 1
    assert "\x1b" not in trained.outcome.err


def test_the_same_line_again_returns_at_once_and_exports_anew(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(trained.folder)
    session = Path(shutil.copytree(trained.session, tmp_path / "session"))
    before = stored_bytes(LocalStore(session))
    model = tmp_path / "stale.safetensors"
    model.write_bytes(b"stale")
    line = ["train", "train", "--test", "test", "--session", str(session), "--export", str(model), "--json"]
    assert run([*line, "--author", "A. Tester"]) == 0
    said = capsys.readouterr()
    done = "nothing to do: the session is finished, and neither its images nor its parameters are others\n"
    assert said.err == f"{done}exporting {model}\n"
    assert model.read_bytes() == trained.model.read_bytes()
    assert stored_bytes(LocalStore(session)) == before
    found = json.loads(said.out)
    assert (found["status"], found["classes"]) == ("finished", ["Kiwi", "Lemon", "Tomato"])
    assert found["counts"] == {"train": 12, "validation": 0, "test": 6, "skipped": 1}
    assert len(found["model_digest"]) == 64


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name)
def test_a_signal_saves_and_says_how_to_go_on(trainers: Nursery, tmp_path: Path, number: signal.Signals) -> None:
    line = ["train", str(PHOTOS / "train"), "--session", "my session", "--storage-option", "secret=hidden"]
    stopped = begun(trainers, *line, "--take-over", folder=tmp_path)
    stopped.send(number, signal.SIGCONT)
    assert (stopped.wait(), stopped.out) == (75, "")
    shown = f"{PHOTOS / 'train'} --session 'my session' --storage-option secret=***"
    assert stopped.err.splitlines()[-2:] == [
        f"stopped: signal {number.name}",
        f"to go on: mlsession train {shown}",
    ]
    assert "Traceback" not in stopped.err
    facts = check_session(LocalStore(tmp_path / "my session"))
    assert facts is not None
    assert facts.records[-1].body["outcome"] == "interrupted"


def test_a_second_signal_stops_at_once(trainers: Nursery, tmp_path: Path) -> None:
    stopped = begun(trainers, "train", str(PHOTOS / "train"), "--session", "my session", folder=tmp_path)
    stopped.send(signal.SIGTERM, signal.SIGINT, signal.SIGCONT)
    assert stopped.wait() == 75
    assert stopped.err.splitlines()[-1].startswith("to go on: ")
    assert check_session(LocalStore(tmp_path / "my session")) is not None


@pytest.mark.usefixtures("handlers_as_they_were")
def test_a_signal_that_a_library_swallows_ends_it_all_the_same(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As coremltools does, which takes it for a package of its own that cannot be imported."""

    def load(suffix: str) -> None:
        with suppress(BaseException):
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.chdir(trained.folder)
    monkeypatch.setattr("mlsession.cli.printing.exporting.load_deaf", load)
    session, model = str(shutil.copytree(trained.session, tmp_path / "session")), tmp_path / "model.safetensors"
    assert run(["train", "train", "--test", "test", "--session", session, "--export", str(model)]) == 75
    assert "stopped: signal SIGTERM\nto go on: " in capsys.readouterr().err
    assert not model.exists()


def begun(trainers: Nursery, *line: str, folder: Path) -> Forked:
    """A training whose job has opened its session, and stopped in its tracks."""
    child = trainers.start("mlsession", *line, folder=folder, halt="opened")
    child.until_halted()
    return child


def test_a_split_and_a_limit_are_obeyed_and_a_seed_is_kept(
    trained: Trained, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = ["train", str(trained.folder / "train"), "--session", str(tmp_path / "s"), "--validation", "0.25"]
    line += ["--iterations", "2", "--json", "--cache", str(trained.folder / ".mlsession-cache")]
    assert run([*line, "--seed", "1"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert found["counts"] == {"train": 9, "validation": 3, "test": 0, "skipped": 1}
    assert found["limit"] == 2
    assert len(found["history"]["loss"]) == 2
    assert "12 reused" in said.err
    assert run([*line, "--seed", "3"]) == 1
    refused = capsys.readouterr()
    assert refused.out == ""
    assert refused.err.startswith("error: --seed was 1 when this session was made and is 3 now; ")


NOBODY_LISTENS = """
import os, sys
reading, writing = os.pipe()
os.close(reading)
os.dup2(writing, 2)
sys.stdout.reconfigure(encoding="ascii")
sys.stderr = open(2, "w", encoding="ascii", errors="backslashreplace")
from mlsession.cli.__main__ import main
main()
"""


def test_progress_may_go_nowhere(trainers: Nursery, trained: Trained, tmp_path: Path) -> None:
    script = tmp_path / "mlsession"
    script.write_text(NOBODY_LISTENS)
    cache = str(trained.folder / ".mlsession-cache")
    line = ["train", str(trained.folder / "train"), "--session", "s", "--cache", cache, "--json"]
    child = trainers.start(str(script), *line, "--export", "m.safetensors", folder=tmp_path)
    assert (child.wait(), child.err) == (0, "")
    assert json.loads(child.out)["status"] == "finished"
    assert (tmp_path / "m.safetensors").exists()
