"""`mlsession checkpoints verify`, `repair` and `gc`, as people and programs see them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlsession.cli.__main__ import run
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace
from mlsession.testing.invariants import stored_bytes
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on
from tests.session.log.values import blob


@pytest.fixture
def walked(tmp_path: Path) -> Path:
    """A session with checkpoints 2 to 6 of walking, 7 of summing."""
    folder = tmp_path / "walked"
    attempt = attempt_on(MemorySpace(), 2)
    attempt.open_store = lambda: LocalStore(folder)
    attempt.walk(Walk(limit=10))
    return folder


def flip(folder: Path, number: int, place: int = 0) -> str:
    """Damages a blob of a record, keeping its size; states and rows come in no known order."""
    file = sorted((folder / "blobs" / "0000000001").glob(f"{number:010d}-*"), key=lambda file: file.stat().st_size)[
        place
    ]
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    return file.relative_to(folder).as_posix()


def state_of(folder: Path, number: int) -> int:
    """Which of a record's blobs, by size, is the state."""
    record = json.loads((folder / "log" / f"{number:010d}.json").read_bytes())
    return int(record["body"]["state"]["size"] > record["body"]["adds"][0]["size"])


def test_deep_reads_what_plain_only_measures(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored_bytes(LocalStore(walked))
    key = flip(walked, 4, state_of(walked, 4))
    assert run(["checkpoints", "verify", str(walked)]) == 0
    assert "sizes compared, all whole" in capsys.readouterr().out
    assert run(["checkpoints", "verify", str(walked), "--deep"]) == 1
    out = capsys.readouterr().out
    assert "every byte read, 1 place damaged" in out
    assert f"record 4: {key}: its hash differs from the one recorded (repair takes the checkpoint off the list)" in out
    assert f"cure: mlsession checkpoints repair {walked}" in out
    assert "goes on from checkpoint 7 (summing 2)" in out
    assert run(["checkpoints", "verify", str(walked), "--deep", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert (found["deep"], found["problems"][0]["cure"], found["resumes_from"]["number"]) == (True, "remove", 7)
    (walked / key).write_bytes(before[key])
    assert stored_bytes(LocalStore(walked)) == before


def test_verify_tells_what_is_foreign_and_what_is_left_over(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LocalStore(walked).put(blob(1, 3, "x").key, b"12345")
    (walked / "notes.txt").write_text("mine")
    assert run(["checkpoints", "verify", str(walked)]) == 0
    out = capsys.readouterr().out
    assert "unreferenced: 1 blob, 5 bytes; `checkpoints gc` deletes them" in out
    assert "foreign: 1 file, such as notes.txt" in out


def test_repair_says_what_it_did(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["checkpoints", "repair", str(walked)]) == 0
    assert capsys.readouterr().out == f"nothing of {walked} is damaged\n"
    flip(walked, 4, state_of(walked, 4))
    assert run(["checkpoints", "repair", str(walked)]) == 0
    assert capsys.readouterr().out == "removed 1 damaged checkpoint: 4\n"
    assert run(["checkpoints", "verify", str(walked), "--deep"]) == 0


def test_paths_are_told_in_full(
    walked: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(walked.parent)
    for command in ("verify", "repair", "gc"):
        assert run(["checkpoints", command, walked.name]) == 0
        assert f"of {walked}" in capsys.readouterr().out


def test_a_record_that_only_a_copy_has_is_no_matter_for_repair(
    walked: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    walk_on = attempt_on(MemorySpace(), 1)
    walk_on.open_store = lambda: LocalStore(walked)
    walk_on.walk(Walk(limit=90))
    (walked / "log" / "0000000001.json").write_bytes(b"{}")
    assert run(["checkpoints", "verify", str(walked)]) == 1
    out = capsys.readouterr().out
    assert "record 1: log/0000000001.json" in out
    assert "only a copy of the folder has it" in out
    assert "cure:" not in out


def test_repair_says_what_it_could_not(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = flip(walked, 3, 1 - state_of(walked, 3))
    capsys.readouterr()
    assert run(["checkpoints", "repair", str(walked)]) == 1
    first, second = capsys.readouterr().out.splitlines()
    assert first == f"still damaged in {walked}; a run that needs it goes on from checkpoint 2 (walking 2):"
    assert key in second
    assert "what makes it again cannot be had" in second
    assert "the session does not say where its data are" in second
    assert run(["checkpoints", "repair", str(walked), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["left"][0]["cure"] == "remake"


def test_gc(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = stored_bytes(LocalStore(walked))
    garbage = blob(1, 3, "x").key
    LocalStore(walked).put(garbage, b"12345")
    assert run(["checkpoints", "gc", str(walked), "--dry-run"]) == 0
    assert capsys.readouterr().out == f"would delete 1 unreferenced blob of {walked}, 5 bytes\n"
    assert (walked / garbage).exists()
    assert run(["checkpoints", "gc", str(walked), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == {"keys": [garbage], "size_bytes": 5, "temporary_files": 0, "dry_run": False}
    assert not (walked / garbage).exists()
    assert before.items() <= stored_bytes(LocalStore(walked)).items()
    assert run(["checkpoints", "gc", str(walked)]) == 0
    assert "deleted 0 unreferenced blobs" in capsys.readouterr().out


def test_gc_refuses_where_damage_may_hide_what_is_needed(walked: Path, capsys: pytest.CaptureFixture[str]) -> None:
    LocalStore(walked).put(blob(1, 3, "x").key, b"12345")
    (walked / "log" / "0000000007.json").write_bytes(b"{}")
    before = stored_bytes(LocalStore(walked))
    assert run(["checkpoints", "gc", str(walked)]) == 1
    said = capsys.readouterr().err
    assert "nothing was deleted" in said
    assert "mlsession checkpoints repair" in said
    assert stored_bytes(LocalStore(walked)) == before


@pytest.mark.parametrize("command", ["repair", "gc"])
def test_where_there_is_no_session(tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert run(["checkpoints", command, str(tmp_path / "nothing")]) == 1
    assert "there is no session at" in capsys.readouterr().err
