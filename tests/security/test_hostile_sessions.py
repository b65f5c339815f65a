"""Sessions from somebody who means harm: each hash is right, and what it covers is not what we ever wrote.

Whatever is done with one either works or ends in an error of ours; no code runs, nothing outside the folder is touched.
"""

from __future__ import annotations

import json
import pickle
import re
import tracemalloc
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlsession.clock import SystemClock
from mlsession.errors import DamagedData, MLSessionError, StoreError
from mlsession.randomness import keyed_generator
from mlsession.session.log.blobs import encode_arrays
from mlsession.session.log.canonical import canonical_json
from mlsession.session.log.journal import Journal
from mlsession.session.log.layout import blob_digest, heartbeat_key, record_key, stop_key
from mlsession.session.parameters import SessionParameters
from mlsession.session.phase import Json
from mlsession.session.session import TrainingSession
from mlsession.session.stop import stop_requested
from mlsession.session.upkeep.deletion import delete_session
from mlsession.session.watching.tail import SessionTail
from mlsession.store import LocalStore
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.store.protocol import Store
from mlsession.testing.walk import Walk
from tests.security.forging import Members, append, forge, forge_blob, forge_one, numbers, record, sealed
from tests.session.attempts import Attempt, attempt_on, unbroken
from tests.session.stores import CountingStore, HookedStore

pytestmark = pytest.mark.sampled(0.5)

CHECKPOINT, OPENED, CREATED = 3, 1, 0
SEED = 0
LIMIT = 6


@pytest.fixture
def space() -> MemorySpace:
    """A finished walk: created, opened, two checkpoints of walking, one of summing, closed."""
    space = MemorySpace()
    attempt_on(space).walk(Walk(limit=LIMIT))
    return space


def look(open_store: Callable[[], Store]) -> None:
    """All that only reads."""
    with TrainingSession(open_store, SessionParameters()) as session:
        _ = session.status, session.phase, session.iteration, session.date, session.heartbeat_age, session.settings
        for question in (
            lambda: session.checkpoints,
            lambda: session.identity,
            lambda: session.attachments,
            lambda: session.creation_date,
            lambda: [list(session.past.rows(phase)) for phase in session.timeline.newest],
            lambda: [session.past.state(phase) for phase in session.timeline.newest],
            lambda: session._repr_html_() + repr(session),
            lambda: session.verify(deep=True),
            lambda: session.at_checkpoint(CHECKPOINT),
        ):
            with suppress(MLSessionError):
                question()


def follow(open_store: Callable[[], Store]) -> None:
    store = open_store()
    SessionTail(store, lambda event: None).read_records()


def survives(space: MemorySpace, *, goes_on: bool = True) -> None:
    """Reading, following and going on end well or in an error of ours.

    What comes out is what the forger wanted: who can write to a session's folder decides what is in it.
    """
    for use in (look, follow):
        with suppress(MLSessionError):
            use(lambda: MemoryStore(space))
    if goes_on:
        with suppress(MLSessionError):
            attempt_on(space).walk(Walk(limit=LIMIT + 2))


ODD: tuple[object, ...] = (
    *(None, True, False, -1, 1.5, 1e300, 2**53, 2**63, 10**400, "", "x", "1", [], [1], {}, {"a": 1}, [[]], [None]),
    *({"$float": "nan"}, {"$float": "inf"}, "\x1b[31m\u202e", "../../etc/passwd", "C:\\windows", "\\\\host\\share"),
)
"""What may stand where something else belongs."""


def sample(values: Sequence[object], name: str, number: int) -> list[object]:
    """Every sixth, begun elsewhere for each place: all of them would take a minute."""
    first = int(keyed_generator(SEED, name, number).integers(6))
    return list(values[first::6])


def restore(space: MemorySpace, values: dict[str, Any]) -> None:
    space.values.clear()
    space.values.update(values)


def _with(path: tuple[str, ...], value: object) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        holder = members
        for name in path[:-1]:
            holder = holder[name]
        holder[path[-1]] = value

    return change


RECORD_MEMBERS = ("number", "kind", "parent", "previous", "opening", "writer", "session", "software", "date", "index")


@pytest.mark.parametrize("member", [*RECORD_MEMBERS, "format", "body"])
def test_any_member_of_any_record_may_be_anything(space: MemorySpace, member: str) -> None:
    original = dict(space.values)
    for number in (CREATED, OPENED, CHECKPOINT):
        for place, odd in enumerate(sample(ODD, member, number)):
            restore(space, original)
            forge_one(MemoryStore(space), number, _with((member,), odd))
            survives(space, goes_on=place == 0)


@pytest.mark.parametrize("number", [CREATED, OPENED, CHECKPOINT])
def test_any_member_of_a_body_may_be_anything(space: MemorySpace, number: int) -> None:
    original = dict(space.values)
    body = record(MemoryStore(space), number)["body"]
    paths: list[tuple[str, ...]] = [(name,) for name in body]
    paths += [(outer, name) for outer in ("identity", "state", "process") for name in body.get(outer, {})]
    for path in paths:
        for place, odd in enumerate(sample(ODD, ".".join(path), number)):
            restore(space, original)
            forge_one(MemoryStore(space), number, _with(("body", *path), odd))
            survives(space, goes_on=place == 0)


@pytest.mark.parametrize("size", [0, 1, 2**31, 2**53 - 1, 2**53, 2**63, 2**64, 10**30])
def test_a_lying_size_allocates_nothing(space: MemorySpace, tmp_path: Path, size: int) -> None:
    for key, value in space.values.items():
        LocalStore(tmp_path).put(key, value[0] if isinstance(value, tuple) else bytes(value))
    store = LocalStore(tmp_path)
    forge_one(store, CHECKPOINT, lambda members: members["body"]["state"].update(size=size))
    tracemalloc.start()
    look(lambda: LocalStore(tmp_path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000


OTHERS = re.compile(r"log/[0-9]{10,11}\.json|heartbeat/[0-9]{10}|control/[0-9]{10}/stop")
KEYS = (
    "../secret",
    "/etc/passwd",
    "blobs/../../secret",
    "blobs/0000000001/../../../x",
    "blobs\\0000000001\\x",
    "C:\\secret",
    "\\\\host\\share\\secret",
    "file:///etc/passwd",
    "s3://other/secret",
    "log/0000000000.json",
    "heartbeat/0000000001",
    "blobs/0000000001/0000000003-{digest}/../../../secret",
    "blobs/0000000001/0000000003-{digest}\x00",
    "",
)


@pytest.mark.parametrize("place", ["state", "adds", "index", "attachment", "identity"])
def test_no_name_leads_out_of_the_folder(space: MemorySpace, place: str) -> None:
    """No store is even asked for it: what would follow a name out of the folder never sees one."""
    original = dict(space.values)
    for key in KEYS:
        restore(space, original)
        ref = forge_blob(MemoryStore(space), 1, CHECKPOINT, b"secret")
        ref["key"] = key.format(digest=ref["sha256"])
        forge(MemoryStore(space), _naming(place, ref))
        asked: list[str] = []

        def watched(asked: list[str] = asked) -> Store:
            return HookedStore(MemoryStore(space), lambda _, asked_for: asked.append(asked_for))

        with suppress(MLSessionError):
            look(watched)
        with suppress(MLSessionError, KeyError), TrainingSession(watched, SessionParameters()) as session:
            session.attachment("x")
        with suppress(MLSessionError):
            Attempt(open_store=watched).walk(Walk(limit=LIMIT + 2))
        assert asked
        assert all(blob_digest(one) or one in ("", "log", "blobs") or OTHERS.fullmatch(one) for one in asked)


def _naming(place: str, ref: dict[str, Json]) -> Callable[[Members], None]:
    def change(members: Members) -> None:
        body = members["body"]
        match place:
            case "index":
                members["index"] = ref
            case "state" if "state" in body:
                body["state"] = ref
            case "adds" if "adds" in body:
                body["adds"] = [ref]
            case "attachment" if members["kind"] == "opened":
                body["attachments"] = {"x": ref}
            case "identity" if "identity" in body:
                body["identity"]["attachments"] = {"x": ref}

    return change


def test_a_removal_cannot_name_files_outside(tmp_path: Path) -> None:
    folder, victim = tmp_path / "session", tmp_path / "victim"
    attempt = Attempt(open_store=lambda: LocalStore(folder))
    attempt.walk(Walk(limit=LIMIT))
    victim.write_text("mine")
    store = LocalStore(folder)
    (folder / "notes.txt").write_text("mine")
    keys = ["../victim", str(victim), "notes.txt", "log/0000000002.json", "blobs/../../victim", "log/../notes.txt"]
    append(store, kind="removed", body={"checkpoints": [2], "keys": list[Json](keys)})
    with suppress(MLSessionError), TrainingSession(lambda: LocalStore(folder), SessionParameters()) as session:
        # Whoever removes next deletes what the newest removal names and a kill may have left.
        session.remove_checkpoints(lambda checkpoint: True)
    assert victim.read_text() == (folder / "notes.txt").read_text() == "mine"
    assert (folder / "log" / "0000000002.json").exists()


def test_a_giant_record_is_refused_before_it_is_read(space: MemorySpace, tmp_path: Path) -> None:
    folder = tmp_path / "session"
    Attempt(open_store=lambda: LocalStore(folder)).walk(Walk(limit=LIMIT))
    number = numbers(LocalStore(folder))[-1] + 1
    (folder / record_key(number)).write_bytes(sealed({"format": 1, "text": "x" * 50_000_000}))
    tracemalloc.start()
    state = Journal(LocalStore(folder)).load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    assert state is not None
    assert (state.end, state.end_digest, state.timeline.tip.number) == (number, "", number - 1)
    assert "1,000,000 bytes or more" in state.damaged[0].reason
    task = Walk(limit=LIMIT + 2)
    assert Attempt(open_store=lambda: LocalStore(folder)).walk(task) == unbroken(task)


def test_a_giant_index_is_refused_before_it_is_read(
    space: MemorySpace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("pages", "reading"):
        monkeypatch.setattr(f"mlsession.session.log.{module}.MOST_INDEX_BYTES", 1_000_000)
    store = LocalStore(tmp_path)
    for entry in MemoryStore(space).list():
        store.put(entry.key, MemoryStore(space).get(entry.key))
    named = forge_blob(store, OPENED, CHECKPOINT, b"{}")
    with (tmp_path / str(named["key"])).open("rb+") as file:
        file.truncate(50_000_000)
    forge_one(store, numbers(store)[-1], lambda members: members.update(index={**named, "size": 50_000_000}))
    tracemalloc.start()
    state = Journal(store).load()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 5_000_000
    assert state is not None
    assert [(damage.key, damage.reason) for damage in state.damaged] == [
        (named["key"], "it has 50,000,000 bytes, and no part of an index has more than 1,000,000")
    ]


@pytest.mark.parametrize("data", [b"[" * 100_000, b'{"a":' * 100_000, b"[" * 100_000 + b"]" * 100_000, b"9" * 900_000])
def test_deep_and_long_json_is_damage_wherever_it_lies(space: MemorySpace, data: bytes) -> None:
    for number in numbers(MemoryStore(space)):
        mine = MemorySpace()
        mine.values.update(space.values)
        MemoryStore(mine).put(record_key(number), data)
        survives(mine)
    store = MemoryStore(space)
    index = forge_blob(store, 1, CHECKPOINT, data)
    forge_one(store, numbers(store)[-1], lambda members: members.update(index=index))
    survives(space)


def test_a_number_far_away_costs_no_more_requests(space: MemorySpace) -> None:
    MemoryStore(space).put(record_key(9_999_999_999), b"nothing")
    store = CountingStore(MemoryStore(space))
    state = Journal(store).load()
    assert state is not None
    assert state.timeline.tip.number == 5
    assert sum(store.calls.values()) < 30
    with pytest.raises(DamagedData, match="last record that a log can hold"):
        attempt_on(space).walk(Walk(limit=LIMIT + 2))


def test_signs_of_life_may_be_anything(space: MemorySpace) -> None:
    store = MemoryStore(space)
    store.delete(record_key(numbers(store)[-1]))  # Not closed, so that signs of life are looked at.
    for data in (b"", b"\xff" * 100, b"[" * 100_000, b'{"beat":1}', b"x" * 5_000_000, pickle.dumps(open)):
        store.put(heartbeat_key(OPENED), data)
        store.put(stop_key(OPENED), data)
        look(lambda: MemoryStore(space))
        follow(lambda: MemoryStore(space))
        assert stop_requested(store, OPENED) == ""


SUMMARIES: tuple[dict[str, object], ...] = (
    {"start": 10**12},
    {"start": -1},
    {"start": 4, "checkpoints": [{"blob": {"key": "../x", "sha256": "0" * 64, "size": 1}, "count": 1}]},
    {"start": 4, "checkpoints": [{"count": -1}]},
    {"start": 4, "newest": {"walking": {}}},
    {"start": 4, "newest": {"walking": None, "a": 1}},
    {"start": 4, "adds": {"walking": 1}},
    {"start": 4, "removal": "x"},
    {"start": 1.0},
)


@pytest.mark.parametrize("summary", SUMMARIES, ids=str)
def test_an_index_may_say_anything(space: MemorySpace, summary: dict[str, object]) -> None:
    store = MemoryStore(space)
    whole: dict[str, object] = {"start": 0, "removal": None, "newest": {}, "checkpoints": [], "adds": {}, **summary}
    ref = forge_blob(store, 1, CHECKPOINT, canonical_json(whole))
    forge_one(store, numbers(store)[-1], lambda members: members.update(index=ref))
    survives(space)


@pytest.mark.parametrize("items", [None, {}, [None], [{}], [[]], [{"key": "x"}], "text", 10**6])
def test_a_page_may_hold_anything(space: MemorySpace, items: object) -> None:
    store = MemoryStore(space)
    page = forge_blob(store, 1, CHECKPOINT, canonical_json({"items": items}))
    pages = [{"blob": page, "count": 1}]
    summary: dict[str, object] = {"start": 4, "removal": None, "newest": {}, "checkpoints": pages}
    summary["adds"] = {"walking": pages}
    ref = forge_blob(store, 1, CHECKPOINT, canonical_json(summary))
    forge_one(store, numbers(store)[-1], lambda members: members.update(index=ref))
    survives(space)


def _shard(**arrays: Any) -> bytes:
    return encode_arrays({name: np.array(values) for name, values in arrays.items()})


@pytest.mark.parametrize(
    "data",
    [
        _shard(),
        _shard(values=1.0, turn=2),
        _shard(values=[1.0], turn=[1, 2]),
        _shard(values=[[1.0]], turn=[1]),
        _shard(other=[1.0]),
        b"",
        pickle.dumps([1]),
    ],
)
def test_rows_of_another_form_are_damage(space: MemorySpace, data: bytes) -> None:
    store = MemoryStore(space)
    ref = forge_blob(store, 1, CHECKPOINT, data)
    forge_one(store, CHECKPOINT, lambda members: members["body"].update(adds=[ref]))
    with (
        TrainingSession(lambda: MemoryStore(space), SessionParameters()) as session,
        pytest.raises(DamagedData, match=str(ref["key"])),
    ):
        list(session.past.rows("walking"))


class TestLinks:
    """A folder from somebody else may hold links.

    Reading follows them, as a person's own links want it, and hashes tell whether what is there is the session's. A
    file that is a link is replaced, not written through. Nothing is deleted behind one.
    """

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        folder = tmp_path / "session"
        Attempt(open_store=lambda: LocalStore(folder)).walk(Walk(limit=LIMIT))
        return folder

    def test_a_session_behind_a_link_is_a_session(self, folder: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(folder)
        task = Walk(limit=LIMIT + 2)
        assert Attempt(open_store=lambda: LocalStore(tmp_path / "link")).walk(task) == unbroken(task)
        delete_session(LocalStore(tmp_path / "link"), SystemClock(), 0.0, lambda event: None)
        assert not any(folder.rglob("*.json"))

    def test_what_a_link_shows_is_never_quoted(self, folder: Path, tmp_path: Path) -> None:
        secret = tmp_path / "secret"
        secret.write_text("root:hunter2:0:0")
        for path in (folder / record_key(CHECKPOINT), max(folder.glob("blobs/*/*"))):
            path.unlink()
            path.symlink_to(secret)
        attempt = Attempt(open_store=lambda: LocalStore(folder))
        task = Walk(limit=LIMIT + 2)
        assert attempt.walk(task) == unbroken(task)
        assert "hunter2" not in str([event.to_json() for event in attempt.events])
        assert secret.read_text() == "root:hunter2:0:0"

    def test_nothing_is_written_through_a_link(self, folder: Path, tmp_path: Path) -> None:
        victim = tmp_path / "victim"
        victim.write_text("mine")
        store = LocalStore(folder)
        (folder / heartbeat_key(6)).symlink_to(victim)
        store.put(heartbeat_key(6), b"beat")
        (folder / record_key(6)).symlink_to(tmp_path / "nothing")
        with pytest.raises(StoreError):
            store.put_if_absent(record_key(6), b"record")
        assert victim.read_text() == "mine"
        assert not (tmp_path / "nothing").exists()

    def test_nothing_is_deleted_behind_a_link(self, folder: Path, tmp_path: Path) -> None:
        """A session's layout has room for any name below blobs/: a link there could name a person's own folder."""
        photos = tmp_path / "photos"
        photos.mkdir()
        (photos / "mine.jpg").write_text("mine")
        (folder / "blobs" / "0000000009").symlink_to(photos)
        with pytest.raises(StoreError, match="is a link, and what lies behind links is never deleted"):
            delete_session(LocalStore(folder), SystemClock(), 0.0, lambda event: None)
        assert (photos / "mine.jpg").read_text() == "mine"
        (folder / "blobs" / "0000000009").unlink()
        delete_session(LocalStore(folder), SystemClock(), 0.0, lambda event: None)
        assert not folder.exists()

    def test_a_link_to_the_folder_itself_ends(self, folder: Path) -> None:
        (folder / "blobs" / "0000000009").symlink_to(folder)
        look(lambda: LocalStore(folder))


def test_the_forged_are_forged_well(space: MemorySpace) -> None:
    """A session that is written anew without a change is as good as before: what is found above is what was changed."""
    store = MemoryStore(space)
    before = json.dumps({key: len(store.get(key)) for key in sorted(space.values)})
    forge_one(store, CHECKPOINT, lambda members: None)
    assert json.dumps({key: len(store.get(key)) for key in sorted(space.values)}) == before
    task = Walk(limit=LIMIT)
    attempt = attempt_on(space)
    assert attempt.walk(task) == unbroken(task)
    assert attempt.events == []
