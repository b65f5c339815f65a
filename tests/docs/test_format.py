"""docs/format.md is enough to read a session: a reader written from it alone sees what the library sees."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlsession.errors import Cancelled, DamagedData, Interrupted, NewerFormat
from mlsession.session.log.canonical import canonical_json
from mlsession.session.log.layout import record_key
from mlsession.session.phase import Json
from mlsession.session.stop import StopKind
from mlsession.session.watching.status import derive_status
from mlsession.store.local import LocalStore
from mlsession.store.memory import MemorySpace
from mlsession.testing.invariants import check_session
from mlsession.testing.walk import Walk
from tests.session.attempts import attempt_on, unbroken
from tests.session.log.values import values
from tests.session.test_removal import two_runs

from .comparing import check_whole, compare, library
from .reader import Folded, SessionFolder, TooNew
from .sessions import on_folder, remove_checkpoints, walked, write_folder
from .stored import Damaged, Object, bytes_of, parse, sealed, sha256, spelled


def damages(path: Path) -> Iterator[str]:
    """A file as it is gone, cut short, and with one bit changed; whole again at the end."""
    data = path.read_bytes()
    path.unlink()
    yield "gone"
    path.write_bytes(data[: len(data) // 2])
    yield "cut"
    path.write_bytes(bytes([*data[: len(data) // 2], data[len(data) // 2] ^ 1, *data[len(data) // 2 + 1 :]]))
    yield "changed"
    path.write_bytes(data)


# Chapter 3


@given(values)
def test_canonical_json_is_spelled_as_the_document_says(value: Json) -> None:
    assert spelled(value).encode() == canonical_json(value)


@given(st.floats() | st.integers(-30, 30).map(lambda power: 10.0**power) | st.integers(-(2**54), 2**54).map(float))
def test_floats_are_spelled_as_the_document_says(value: float) -> None:
    assert spelled(value).encode() == canonical_json(value)


# Chapters 4 to 8


def test_a_finished_session(tmp_path: Path) -> None:
    folded = check_whole(walked(tmp_path, limit=10, interval=3))
    assert sorted(folded.newest) == ["summing", "walking"]


def test_a_long_session_has_an_index(tmp_path: Path) -> None:
    folded = check_whole(walked(tmp_path, limit=100))
    assert folded.tip["index"] is not None
    assert len(folded.checkpoint_pages) == 1
    assert len(folded.checkpoints) < 64


def test_more_checkpoints_than_a_page_holds(tmp_path: Path) -> None:
    folded = check_whole(walked(tmp_path, limit=920))
    first, second = (page["count"] for page in folded.checkpoint_pages)
    assert (first, second > 0) == (1_000, True)


def test_a_phase_that_starts_over_forgets_its_rows(tmp_path: Path) -> None:
    space = MemorySpace()
    attempt_on(space, 1).walk(Walk(limit=70))
    attempt_on(space, 1).walk(Walk(limit=70, salt="other"))
    folded = check_whole(write_folder(space, tmp_path))
    assert folded.newest["summing"]["inputs"] == "other"


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("limit", [6, 70])
def test_any_damaged_file_is_passed_over_alike(tmp_path: Path, limit: int) -> None:
    space = MemorySpace()
    attempt_on(space, 2).walk(Walk(limit=2))
    attempt_on(space, 2 if limit < 64 else 1).walk(Walk(limit=limit))
    root = write_folder(space, tmp_path)
    whole = check_whole(root)
    records, blobs = (sorted((root / name).rglob("*")) for name in ("log", "blobs"))
    files = [path for path in (*records, *blobs) if path.is_file()]
    passed_over = 0
    # Of a long log the ends: the records of its middle fare like those beside them.
    for path in files if limit < 64 else [*records[:2], *records[64:68], *records[-2:], *_pages(root, whole)]:
        for _ in damages(path):
            passed_over += compare(root).tip["number"] < whole.tip["number"]
    assert compare(root).tip == whole.tip
    assert passed_over > 10


@pytest.mark.parametrize("cut", [1, 3])
def test_a_session_whose_making_was_cut_short(tmp_path: Path, cut: int) -> None:
    for number in range(cut):
        (tmp_path / record_key(number)).parent.mkdir(exist_ok=True)
        (tmp_path / record_key(number)).write_bytes(b'{"body":{"identity":{')
    on_folder(tmp_path).walk(Walk(limit=4))
    folded = compare(tmp_path)
    assert sorted(folded.newest) == ["summing", "walking"]
    first = parse((tmp_path / record_key(cut)).read_bytes(), "record")
    assert (first["kind"], first["parent"], first["session"]) == ("opened", 0, first["writer"])
    assert first["previous"] == sha256((tmp_path / record_key(cut - 1)).read_bytes())
    after = parse((tmp_path / record_key(cut + 1)).read_bytes(), "record")
    assert (after["kind"], after["body"]["outcome"]) == ("closed", "interrupted")


def _pages(root: Path, folded: Folded) -> list[Path]:
    pages = [*folded.checkpoint_pages, *(page for pages in folded.adds_pages.values() for page in pages)]
    return [root / page["blob"]["key"] for page in pages]


def test_without_its_index_a_log_says_the_same(tmp_path: Path) -> None:
    root = walked(tmp_path, limit=70)
    reader = SessionFolder(root)
    whole = check_whole(root)
    assert whole.checkpoint_pages
    listed, rows = reader.checkpoints(whole), reader.adds(whole, "walking")
    index = root / whole.tip["index"]["key"]
    for _ in damages(index):
        folded = compare(root)
        assert folded.tip == whole.tip
        assert (reader.checkpoints(folded), reader.adds(folded, "walking")) == (listed, rows)
        assert folded.checkpoint_pages == ()


def rewrite(root: Path, number: int, changes: Object) -> None:
    """A record with other members, and the digest that fits; a member that becomes `...` is left out."""
    members = {**parse((root / record_key(number)).read_bytes(), "record"), **changes}
    members.pop("digest")
    (root / record_key(number)).write_bytes(sealed({name: item for name, item in members.items() if item is not ...}))


@pytest.mark.parametrize(
    "changes",
    [
        {"format": 0},
        {"format": True},
        {"format": "2"},
        {"format": ...},
        {"software": ...},
        {"session": "another"},
        {"number": 3},
        {"kind": "merged"},
        {"parent": None},
        {"body": {"outcome": "splendid", "reason": ""}},
        {"body": {"reason": ""}},
        {"body": {"outcome": "paused", "reason": "half a pair: \udc80"}},
        {"body": {"outcome": "paused", "reason": "", "ends": {"$date": "2031-01-01"}}},
        {"body": {"outcome": "paused", "reason": "", "ends": {"$float": "nan", "more": 1}}},
        {"body": {"outcome": "paused", "reason": "", "ends": {"$float": "huge"}}},
    ],
)
def test_a_right_digest_alone_makes_no_record(tmp_path: Path, changes: Object) -> None:
    root = walked(tmp_path, limit=4)
    last = check_whole(root).tip["number"]
    rewrite(root, last, changes)
    assert compare(root).tip["number"] == last - 1


@pytest.mark.parametrize("number", [0, 1, 3, 6])
@pytest.mark.parametrize("changes", [{"date": "2031-01-01T00:00:00+00:00"}, {"session": "another"}])
def test_a_record_that_was_exchanged_is_passed_over(tmp_path: Path, number: int, changes: Object) -> None:
    root = walked(tmp_path, limit=5)
    last = check_whole(root).tip["number"]
    assert last > 6
    rewrite(root, number, changes)
    # Every opening repeats what record 0 says.
    assert compare(root).tip["number"] == (number - 1 if number else last)


def test_the_library_goes_on_past_an_exchanged_record(tmp_path: Path) -> None:
    root = walked(tmp_path, limit=5)
    rewrite(root, 4, {"date": "2031-01-01T00:00:00+00:00"})
    assert on_folder(root).walk(Walk(limit=5)) == unbroken(Walk(limit=5))
    folded = check_whole(root)
    reader = SessionFolder(root)
    assert reader.record(folded.opened["number"])["parent"] == 3


def test_damage_everywhere(tmp_path: Path) -> None:
    root = walked(tmp_path, limit=4)
    for path in (root / "log").iterdir():
        path.write_bytes(b"{}")
    with pytest.raises(Damaged):
        SessionFolder(root).newest()
    with pytest.raises(DamagedData):
        library(root)


@pytest.mark.sampled(0.5)
@pytest.mark.parametrize("limit", [10, 90])
def test_a_writer_steps_back_past_a_damaged_state(tmp_path: Path, limit: int) -> None:
    def fail_before_the_end(turn: int) -> None:
        if turn == limit - 3:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        on_folder(tmp_path).walk(Walk(limit=limit, on_step=fail_before_the_end))
    reader = SessionFolder(tmp_path)
    lost = reader.newest()[0].newest["walking"]
    damaged = tmp_path / lost["state"]["key"]
    damaged.write_bytes(damaged.read_bytes()[:-1])
    usable, steps = reader.usable()
    assert (usable.tip["number"], steps) == (lost["parent"], 1)

    assert on_folder(tmp_path).walk(Walk(limit=limit)) == unbroken(Walk(limit=limit))
    folded = check_whole(tmp_path)
    numbers = [entry["number"] for entry in reader.checkpoints(folded)]
    assert lost["number"] not in numbers
    assert lost["parent"] in numbers
    # Opened at the end of the log, and then again behind the damage: a branch.
    again = reader.record(folded.opened["number"])
    assert again["parent"] == usable.tip["number"] < again["number"] - 1
    assert reader.record(again["number"] - 1)["kind"] == "opened"


def test_removed_checkpoints_are_not_listed(tmp_path: Path) -> None:
    root = walked(tmp_path, limit=30)
    remove_checkpoints(root, [3, 5, 8])
    folded = check_whole(root)
    assert folded.removed == {3, 5, 8}

    on_folder(root, interval=2).walk(Walk(limit=130))
    reader = SessionFolder(root)
    folded = check_whole(root)
    assert folded.checkpoint_pages
    paged = [entry["number"] for entry in reader.checkpoints(folded)][:20]
    remove_checkpoints(root, paged[10:])
    folded = check_whole(root)
    numbers = [entry["number"] for entry in reader.checkpoints(folded)]
    assert numbers[:10] == paged[:10]
    assert not {3, 5, 8, *paged[10:]} & set(numbers)
    assert folded.removal is not None
    assert folded.removal == folded.tip["number"] - 1
    assert not any((root / key).exists() for key in reader.record(folded.removal)["body"]["keys"])


def test_rows_go_with_the_last_checkpoint_of_an_earlier_run(tmp_path: Path) -> None:
    root = write_folder(two_runs(), tmp_path)
    folded = check_whole(root, ("training",))
    reader = SessionFolder(root)
    runs = {entry["number"]: entry["run"] for entry in reader.checkpoints(folded)}
    assert runs == {2: 2, 3: 2, 4: 2, 5: 2, 6: 6, 7: 6, 8: 6}
    for numbers, rows_left in (([2, 4], {2, 3, 4, 5}), ([5], {2, 3}), ([3], set[int]())):
        earlier = [ref["key"] for ref in reader.adds(reader.fold_without_index(5), "training")]
        remove_checkpoints(root, numbers)
        check_whole(root, ("training",))
        assert {number for number, key in enumerate(earlier, start=2) if (root / key).exists()} == rows_left


def test_what_a_dead_branch_has_removed_is_not_listed(tmp_path: Path) -> None:
    root = walked(tmp_path, limit=10)
    remove_checkpoints(root, [2, 3, 4, 7, 8, 9])
    reader = SessionFolder(root)
    lost = reader.newest()[0].newest["walking"]
    (root / lost["state"]["key"]).unlink()
    assert on_folder(root).walk(Walk(limit=10)) == unbroken(Walk(limit=10))
    folded = check_whole(root)
    # Going back to record 10 it found the state of 10 whole: 7 to 9 are off the list by the opening, not by a removal.
    branch = reader.record(folded.opened["number"])
    assert (branch["parent"], branch["body"]["removed"]) == (10, [2, 3, 4, 7, 8, 9])
    assert [entry["number"] for entry in reader.checkpoints(folded)][:3] == [5, 6, 10]


@pytest.mark.parametrize("outcome", ["finished", "paused", "interrupted", "failed"])
def test_how_a_session_ended(tmp_path: Path, outcome: str) -> None:
    attempt = on_folder(tmp_path)
    kinds = {"paused": StopKind.CANCELLED, "interrupted": StopKind.INTERRUPTED}

    def disturb(turn: int) -> None:
        if turn == 3 and outcome in kinds:
            attempt.stop.ask(kinds[outcome], "asked", attempt.clock.monotonic())
        if turn == 3 and outcome == "failed":
            raise RuntimeError("it broke")

    with suppress(Cancelled, Interrupted, RuntimeError):
        attempt.walk(Walk(limit=6, on_step=disturb))
    folded = check_whole(tmp_path)
    reader = SessionFolder(tmp_path)
    assert reader.status(folded) == derive_status(library(tmp_path)[0], None, True, 20.0) == outcome
    assert folded.closed is not None
    if outcome == "failed":
        assert folded.closed["body"]["reason"] == "RuntimeError: it broke"

    # A process that is killed leaves no `closed` record, and the session counts as interrupted.
    (tmp_path / record_key(folded.closed["number"])).unlink()
    folded = check_whole(tmp_path)
    assert reader.status(folded) == "no outcome"
    assert derive_status(library(tmp_path)[0], None, True, 20.0) == "interrupted"


def test_a_session_that_was_only_created(tmp_path: Path) -> None:
    root = walked(tmp_path, limit=4)
    for path in sorted((root / "log").iterdir())[1:]:
        path.unlink()
    folded = check_whole(root)
    assert SessionFolder(root).status(folded) == "new"


# Chapters 9 and 11


def test_a_record_of_a_later_format_is_refused_by_both(tmp_path: Path) -> None:
    root = walked(tmp_path, limit=4)
    reader = SessionFolder(root)
    folded, _ = reader.newest()
    body = {"more": "than we know", "ends": {"$date": "2031-01-01"}, "$float": ["exotic"]}
    changes = {"format": 2, "kind": "merged", "body": body, "writer": ..., "software": "mlsession 9"}
    rewrite(root, folded.tip["number"], changes)
    with pytest.raises(TooNew, match="mlsession 9"):
        reader.newest()
    with pytest.raises(NewerFormat, match="mlsession 9"):
        library(root)


def test_unknown_members_are_ignored_by_both(tmp_path: Path) -> None:
    root = walked(tmp_path, limit=4)
    reader = SessionFolder(root)
    folded, _ = reader.newest()
    changes = {"body": {**folded.tip["body"], "seconds": 1e-5}, "zone": {"digest": "none"}}
    rewrite(root, folded.tip["number"], changes)
    assert compare(root).tip["zone"] == {"digest": "none"}


def test_the_library_copies_what_it_does_not_know_of_an_identity(tmp_path: Path) -> None:
    root = walked(tmp_path, limit=4)
    reader = SessionFolder(root)
    body = dict(reader.newest()[0].opened["body"])
    identity = {**body["identity"], "phases": ["walking", "summing"], "licence": {"of": ["data"], "rate": float("inf")}}
    _write(reader, root, "opened", {**body, "identity": identity})
    on_folder(root).walk(Walk(limit=6))
    folded = check_whole(root)
    assert spelled(folded.opened["body"]["identity"]) == spelled(identity)
    assert reader.counting(folded, {}) == ["walking", "summing"]
    assert reader.counting(folded, {"summing": "other"}) == ["walking"]


def test_a_writer_of_the_document_is_read_by_the_library(tmp_path: Path) -> None:
    """Opens a session, commits a state of the first phase, and closes; then the library goes on from it."""
    root = walked(tmp_path, limit=4)
    reader = SessionFolder(root)
    vector = np.array([0.1, 1e-5, 5e-324, 0.75])
    data = {"total": 1e16, "odd": [-0.0, float("inf")]}
    opening = _write(reader, root, "opened", dict(reader.newest()[0].opened["body"]))
    number = opening + 1
    state = bytes_of({"done": np.array(3.0), "vector": vector}, {"state": spelled(data)})
    key = f"blobs/{opening:010d}/{number:010d}-{sha256(state)}"
    (root / key).parent.mkdir()
    (root / key).write_bytes(state)
    ref = {"key": key, "size": len(state), "sha256": sha256(state)}
    about = {"phase": "walking", "iteration": 3, "item_count": 6, "metrics": {"total": 1e16}, "inputs": ""}
    _write(reader, root, "checkpoint", {**about, "state": ref, "adds": [], "fresh": True, "ended": False})
    _write(reader, root, "closed", {"outcome": "paused", "reason": "é\n\U0001f600"})

    facts = check_session(LocalStore(root))
    assert facts is not None
    assert [record.kind for record in facts.records[-3:]] == ["opened", "checkpoint", "closed"]
    check_whole(root)
    restored = library(root)[1].state("walking")
    assert restored.arrays["vector"].tobytes() == vector.tobytes()
    assert canonical_json(restored.data) == canonical_json(data)
    assert on_folder(root).walk(Walk(limit=6))[0] == 6
    check_whole(root)


def _write(reader: SessionFolder, root: Path, kind: str, body: Object) -> int:
    folded, _ = reader.newest()
    end = reader.end()
    assert end is not None
    members = {
        "format": 1,
        "number": end + 1,
        "kind": kind,
        "parent": folded.tip["number"],
        "previous": sha256(reader.record_bytes(end)),
        "opening": end + 1 if kind == "opened" else folded.opened["number"],
        "writer": "c0ffee",
        "session": folded.tip["session"],
        "software": "a writer of the document",
        "date": "2026-01-01T12:00:00+00:00",
        "index": folded.tip["index"],
        "body": body,
    }
    with (root / f"log/{end + 1:010d}.json").open("xb") as file:
        file.write(sealed(members))
    return end + 1
