"""Folding a log, with and without an index in between."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import DamagedData
from mlsession.session.log.canonical import canonical_json, parse_object, sha256
from mlsession.session.log.layout import blob_key
from mlsession.session.log.pages import (
    PAGE,
    TAIL,
    additive_blobs,
    live_checkpoints,
    needs_roll,
    read_summary,
    referenced_blobs,
    roll,
)
from mlsession.session.log.records import BlobRef, CheckpointEntry, Kind, Record
from mlsession.session.log.timeline import PageRef, Summary, Timeline, advance, begin, body_of, entry_of
from mlsession.session.phase import Json
from tests.session.log.values import DATE, blob


@dataclass
class Blobs:
    """Where the index's pages go."""

    kept: dict[str, bytes] = field(default_factory=dict)

    def write(self, data: bytes) -> BlobRef:
        digest = sha256(data)
        key = blob_key(1, 1, digest)
        self.kept[key] = data
        return BlobRef(key=key, size=len(data), sha256=digest)

    def read(self, ref: BlobRef) -> bytes:
        return self.kept[ref.key]


def record(number: int, kind: Kind, **body: Json) -> Record:
    return Record(
        number=number,
        kind=kind,
        parent=number - 1 if number else None,
        previous="",
        opening=number if kind in (Kind.CREATED, Kind.OPENED) else 1,
        writer="w",
        session="s",
        date=DATE,
        body=body,
    )


def checkpoint(number: int, phase: str, num_adds: int = 0, fresh: bool = False, ended: bool = False) -> Record:
    entry = CheckpointEntry(
        number=number,
        parent=number - 1,
        phase=phase,
        iteration=number,
        item_count=number,
        date=DATE,
        metrics={"loss": 1.0 / (number + 1)},
        state=blob(1, number, "state"),
        adds=tuple(blob(1, number, f"rows {index}") for index in range(num_adds)),
        fresh=fresh,
        ended=ended,
        inputs="i",
        run=number,
    )
    return record(number, Kind.CHECKPOINT, **body_of(entry))


def fold(log: list[Record], rolls: frozenset[int], blobs: Blobs, page: int = PAGE) -> Timeline:
    """Folds a log as a writer does, moving the past into pages just before each record of `rolls`."""
    timeline = begin(log[0], log[0], Summary())
    for item in log[1:]:
        if item.number in rolls and item.kind is Kind.CHECKPOINT:
            ref, summary = roll(timeline, item.number, blobs.read, blobs.write, page)
            assert read_summary(ref, blobs.read) == summary
            item = replace(item, index=ref)
            timeline = replace(begin(item, timeline.opened, summary), closed=timeline.closed)
        else:
            timeline = advance(timeline, replace(item, index=timeline.tip.index))
    return timeline


@st.composite
def logs(draw: st.DrawFn) -> list[Record]:
    log = [record(0, Kind.CREATED), record(1, Kind.OPENED)]
    live: list[int] = []
    for number in range(2, draw(st.integers(3, 40))):
        kind = draw(st.sampled_from([Kind.CHECKPOINT] * 6 + [Kind.OPENED, Kind.CLOSED, Kind.REMOVED]))
        if kind is Kind.CHECKPOINT:
            phase = draw(st.sampled_from(["extracting", "training"]))
            log.append(checkpoint(number, phase, draw(st.integers(0, 3)), draw(st.sampled_from([False] * 5 + [True]))))
            live.append(number)
        elif kind is Kind.REMOVED:
            gone = draw(st.lists(st.sampled_from(live), unique=True, max_size=4)) if live else []
            live = [item for item in live if item not in gone]
            log.append(record(number, kind, checkpoints=list(gone)))
        elif kind is Kind.CLOSED:
            log.append(record(number, kind, outcome="paused", reason=""))
        elif draw(st.booleans()) and live:
            # An opening that leaves a branch on which checkpoints were removed.
            gone = draw(st.lists(st.sampled_from(live), unique=True, min_size=1, max_size=4))
            live = [item for item in live if item not in gone]
            log.append(record(number, kind, removed=list(gone)))
        else:
            log.append(record(number, kind))
    return log


def by_hand(log: list[Record], phase: str) -> tuple[BlobRef, ...]:
    """The additive output of a phase, by its definition."""
    refs: tuple[BlobRef, ...] = ()
    for item in log:
        if item.kind is Kind.CHECKPOINT and (entry := entry_of(item, {})).phase == phase:
            refs = entry.adds if entry.fresh else refs + entry.adds
    return refs


@settings(max_examples=100, deadline=None)
@given(logs(), st.data())
def test_rolls_at_any_points_change_nothing(log: list[Record], data: st.DataObject) -> None:
    rolls = data.draw(st.frozensets(st.integers(2, len(log))))
    size = data.draw(st.sampled_from([1, 2, 3, 1_000]))
    blobs = Blobs()
    # Small pages make every shape of a list of pages in a log that is short enough to be shrunk.
    rolled = fold(log, rolls, blobs, size)
    plain = fold(log, frozenset(), blobs)
    assert rolled.newest == plain.newest
    assert live_checkpoints(rolled, blobs.read) == live_checkpoints(plain, blobs.read)
    for phase in ("extracting", "training", "other"):
        assert additive_blobs(rolled, phase, blobs.read) == additive_blobs(plain, phase, blobs.read)
        assert additive_blobs(plain, phase, blobs.read) == by_hand(log, phase)
    assert rolled.opened.number == plain.opened.number
    assert (rolled.closed is None) == (plain.closed is None)
    assert rolled.last_commit == plain.last_commit
    assert rolled.removal == plain.removal == max((r.number for r in log if r.kind is Kind.REMOVED), default=None)
    gone = {number for item in log for name in ("checkpoints", "removed") for number in _list(item.body.get(name, []))}
    commits = [item.number for item in log if item.kind is Kind.CHECKPOINT and item.number not in gone]
    left = live_checkpoints(plain, blobs.read)
    assert [entry.number for entry in left] == commits
    assert [entry.run for entry in left] == [run_by_hand(log, number) for number in commits]
    # What pages show is what is left: a roll drops what was removed before it.
    paged = [entry.number for page in rolled.checkpoint_pages for entry in entries_of(page, blobs)]
    assert set(paged) - rolled.removed == set(paged) & set(commits)
    assert all(number in commits or number in rolled.removed for number in paged)


def run_by_hand(log: list[Record], number: int) -> int:
    """The commit that began the run of its phase that a commit belongs to, by its definition."""
    phase, commits = log[number].body["phase"], [item for item in log[: number + 1] if item.kind is Kind.CHECKPOINT]
    own = [item for item in commits if item.body["phase"] == phase]
    return max([item.number for item in own if item.body["fresh"]], default=own[0].number)


def entries_of(page: PageRef, blobs: Blobs) -> list[CheckpointEntry]:
    items = _list(parse_object(blobs.read(page.blob), "page")["items"])
    assert len(items) == page.count
    return [CheckpointEntry.from_json(item) for item in items]


def _list(value: Json) -> list[Json]:
    assert isinstance(value, list)
    return value


def test_a_long_log_has_full_pages_and_a_short_tail() -> None:
    blobs = Blobs()
    timeline = begin(record(0, Kind.CREATED), record(0, Kind.CREATED), Summary())
    timeline = advance(timeline, record(1, Kind.OPENED))
    for number in range(2, 2_100):
        item = checkpoint(number, "extracting", 1)
        if needs_roll(timeline):
            ref, summary = roll(timeline, number, blobs.read, blobs.write)
            timeline = begin(replace(item, index=ref), timeline.opened, summary)
        else:
            timeline = advance(timeline, item)
        assert timeline.tail_length <= TAIL
    counts = [page.count for page in timeline.checkpoint_pages]
    assert counts[:-1] == [1_000] * (len(counts) - 1)
    assert sum(counts) + len(timeline.recent) == 2_098
    assert [entry.number for entry in live_checkpoints(timeline, blobs.read)] == list(range(2, 2_100))
    assert len(additive_blobs(timeline, "extracting", blobs.read)) == 2_098
    assert all(len(data) < 1_000_000 for data in blobs.kept.values())


def test_a_roll_is_due_after_a_full_tail() -> None:
    timeline = begin(record(0, Kind.CREATED), record(0, Kind.CREATED), Summary())
    for number in range(1, TAIL):
        assert not needs_roll(timeline)
        timeline = advance(timeline, record(number, Kind.OPENED))
    assert needs_roll(timeline)


def test_a_roll_with_little_new_writes_little() -> None:
    log = [record(0, Kind.CREATED), *(checkpoint(number, "training", 1) for number in range(1, 2_002))]
    blobs = Blobs()
    timeline = fold(log, frozenset({2_001}), blobs)
    before = len(blobs.kept)
    roll(timeline, 2_002, blobs.read, blobs.write)
    # The last page of checkpoints, the last page of blobs, and the summary.
    assert len(blobs.kept) == before + 3


def test_opened_and_closed_follow_each_other() -> None:
    timeline = begin(record(0, Kind.CREATED), record(0, Kind.CREATED), Summary())
    assert timeline.opened.kind is Kind.CREATED
    opened = record(1, Kind.OPENED)
    timeline = advance(timeline, opened)
    assert (timeline.opened, timeline.closed) == (opened, None)
    closed = record(2, Kind.CLOSED, outcome="paused")
    timeline = advance(timeline, closed)
    assert (timeline.opened, timeline.closed) == (opened, closed)
    again = record(3, Kind.OPENED)
    timeline = advance(timeline, again)
    assert (timeline.opened, timeline.closed, timeline.tip) == (again, None, again)


def test_the_last_commit_is_the_newest_of_any_phase() -> None:
    blobs = Blobs()
    log = [record(0, Kind.CREATED)]
    assert fold(log, frozenset(), blobs).last_commit is None
    log += [checkpoint(1, "training"), checkpoint(2, "extracting")]
    last = fold(log, frozenset(), blobs).last_commit
    assert last is not None
    assert (last.number, last.phase, last.date) == (2, "extracting", DATE)


def test_referenced_blobs_are_what_going_on_needs() -> None:
    blobs = Blobs()
    log = [record(0, Kind.CREATED), *(checkpoint(number, "training", 1) for number in range(1, 6))]
    timeline = fold(log, frozenset({4}), blobs)
    keys = {ref.key for ref in referenced_blobs(timeline, blobs.read)}
    assert timeline.tip.index is not None
    assert timeline.tip.index.key in keys
    assert {page.blob.key for page in timeline.checkpoint_pages} <= keys
    assert {blob(1, number, "rows 0").key for number in range(1, 6)} <= keys
    assert blob(1, 5, "state").key in keys
    assert blob(1, 4, "state").key not in keys


@pytest.mark.parametrize("body", [{}, {"phase": "x"}, {"checkpoints": 1}])
def test_a_body_of_another_kind_is_damage(body: dict[str, Json]) -> None:
    timeline = begin(record(0, Kind.CREATED), record(0, Kind.CREATED), Summary())
    for kind in (Kind.CHECKPOINT, Kind.REMOVED):
        with pytest.raises(DamagedData, match=r"log/0000000001\.json"):
            advance(timeline, record(1, kind, **body))


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"start": 0, "newest": {}, "checkpoints": [], "adds": {}},
        {"start": "0", "newest": {}, "checkpoints": [], "adds": {}, "removal": None},
        {"start": 0, "newest": [], "checkpoints": [], "adds": {}, "removal": None},
        {"start": 0, "newest": {"x": {}}, "checkpoints": [], "adds": {}, "removal": None},
        {"start": 0, "newest": {}, "checkpoints": [1], "adds": {}, "removal": None},
        {"start": 0, "newest": {}, "checkpoints": [{"count": 1}], "adds": {}, "removal": None},
        {"start": 0, "newest": {}, "checkpoints": [], "adds": {"x": [{"count": "1"}]}, "removal": None},
        {"start": 0, "newest": {}, "checkpoints": [], "adds": {}, "removal": "7"},
    ],
)
def test_a_wrong_summary_is_damage(value: Json) -> None:
    blobs = Blobs()
    ref = blobs.write(canonical_json(value))
    with pytest.raises(DamagedData, match="not an index"):
        read_summary(ref, blobs.read)


def test_a_wrong_page_is_damage() -> None:
    blobs = Blobs()
    log = [record(0, Kind.CREATED), checkpoint(1, "training", 1), checkpoint(2, "training", 1)]
    timeline = fold(log, frozenset({2}), blobs)
    for wrong in (b"{}", b'{"items":[1]}', b'{"items":[{}]}', b'{"items":1}', b"[]"):
        for page in (*timeline.checkpoint_pages, *timeline.adds["training"].pages):
            blobs.kept[page.blob.key] = wrong
        with pytest.raises(DamagedData, match="blobs/"):
            live_checkpoints(timeline, blobs.read)
        with pytest.raises(DamagedData, match="blobs/"):
            additive_blobs(timeline, "training", blobs.read)
