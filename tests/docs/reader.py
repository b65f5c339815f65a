"""A second reader of sessions, written from docs/format.md alone: the standard library, and numpy to view arrays.

Chapter numbers in comments are those of the document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from .stored import Array, Damaged, Object, arrays_of, decoded, is_sealed, parse, parse_spelled, sha256

FORMAT = 1
RECORD = re.compile(r"([0-9]{10})\.json")
BLOB = re.compile(r"blobs/[0-9]{10}/([0-9]{10})-([0-9a-f]{64})")
MEMBERS = {"number", "kind", "parent", "previous", "opening", "writer", "session", "software", "date", "index", "body"}
OUTCOMES = ("finished", "paused", "interrupted", "failed")


class TooNew(Exception):
    """A record of a later format."""


@dataclass(frozen=True, kw_only=True)
class Folded:
    """The state of a session as of one record (chapter 5)."""

    tip: Object
    opened: Object
    closed: Object | None = None
    newest: Mapping[str, Object] = field(default_factory=dict)
    checkpoint_pages: tuple[Object, ...] = ()
    checkpoints: tuple[Object, ...] = ()
    removed: frozenset[int] = frozenset()
    removal: int | None = None
    adds_pages: Mapping[str, tuple[Object, ...]] = field(default_factory=dict)
    adds: Mapping[str, tuple[Object, ...]] = field(default_factory=dict)


class SessionFolder:
    """A session in a local folder."""

    def __init__(self, root: Path) -> None:
        self._root = root

    # Chapters 4 and 8: one record, one blob

    def record_bytes(self, number: int) -> bytes:
        return self._bytes(f"log/{number:010d}.json")

    def record(self, number: int) -> Object:
        key, data = f"log/{number:010d}.json", self.record_bytes(number)
        if len(data) >= 1_000_000:
            raise Damaged(key, "no record is as long")
        if not is_sealed(data):
            raise Damaged(key, "its digest is not that of its content")
        stated: Object = parse_spelled(data, key)
        version = stated.get("format")
        if type(version) is not int or version < 1:
            raise Damaged(key, "it has no format")
        if version > FORMAT:
            raise TooNew(f"{key} was written by {stated.get('software')} in format {version}")
        record: Object = decoded(stated, key)
        if not record.keys() >= MEMBERS or record["number"] != number:
            raise Damaged(key, f"it is not record {number}")
        return record

    def blob(self, ref: Object) -> bytes:
        name = BLOB.fullmatch(ref["key"])
        if name is None or name[2] != ref["sha256"]:
            raise Damaged(ref["key"], "no blob has this name")
        data = self._bytes(ref["key"])
        if len(data) != ref["size"] or sha256(data) != ref["sha256"]:
            raise Damaged(ref["key"], "other bytes than were written")
        return data

    def _bytes(self, key: str) -> bytes:
        try:
            return (self._root / key).read_bytes()
        except FileNotFoundError as error:
            raise Damaged(key, "missing") from error

    # Chapters 5 to 7: folding, with and without the index, and past damage

    def end(self) -> int | None:
        """The largest number that has a record, damaged or not."""
        numbers = (RECORD.fullmatch(path.name) for path in (self._root / "log").glob("*"))
        return max((int(match[1]) for match in numbers if match), default=None)

    def newest(self, at_most: int | None = None) -> tuple[Folded, frozenset[str]]:
        """The newest valid state, and the keys of what was passed over on the way to it."""
        end, damaged = self.end(), set[str]()
        assert end is not None
        for number in range(end if at_most is None else min(end, at_most), -1, -1):
            if f"log/{number:010d}.json" in damaged:
                continue
            try:
                return self.fold(number, damaged), frozenset(damaged)
            except Damaged as damage:
                damaged.add(damage.key)
        raise Damaged("log/0000000000.json", "no record gives a valid state")

    def fold(self, number: int, damaged: set[str]) -> Folded:
        tip = self.record(number)
        summary = self._summary(tip, damaged)
        first, *rest = reversed(self._tail(tip, summary["start"], damaged))
        folded = Folded(
            tip=first,
            opened=self._opening_of(first, damaged),
            newest=summary.get("newest", {}),
            checkpoint_pages=tuple(summary.get("checkpoints", ())),
            adds_pages={phase: tuple(pages) for phase, pages in summary.get("adds", {}).items()},
            removal=summary.get("removal"),
        )
        for record in (first, *rest):
            folded = advanced(folded, record)
        return folded

    def fold_without_index(self, number: int) -> Folded:
        """What `fold` gives, out of the records alone."""
        first, *rest = reversed(list(self._records(number)))
        folded = Folded(tip=first, opened=first)
        for record in rest:
            folded = advanced(folded, record)
        return folded

    def _records(self, number: int) -> Iterator[Object]:
        """The records from a number back to record 0, each the one that its child was written after."""
        record = self.record(number)
        while record["parent"] is not None:
            yield record
            record = self._parent_of(record)
        yield record

    def _summary(self, tip: Object, damaged: set[str]) -> Object:
        """What the index says; of one that cannot be read nothing, as if there were none."""
        try:
            return parse(self.blob(tip["index"]), tip["index"]["key"]) if tip["index"] else {"start": 0}
        except Damaged as damage:
            damaged.add(damage.key)
            return {"start": 0}

    def _tail(self, tip: Object, start: int, damaged: set[str]) -> list[Object]:
        if start > tip["number"]:
            raise Damaged(f"log/{tip['number']:010d}.json", "its index begins after it")
        tail = [tip]
        while tail[-1]["number"] > start:
            child = tail[-1]
            if child["parent"] is None or not start <= child["parent"] < child["number"]:
                raise Damaged(f"log/{child['number']:010d}.json", "its parent does not lead back")
            try:
                tail.append(self._parent_of(child))
            except Damaged as damage:
                if child["parent"] > 0 or child["kind"] != "opened":
                    raise
                damaged.add(damage.key)
                break
        return tail

    def _parent_of(self, child: Object) -> Object:
        number: int = child["parent"]
        parent = self.record(number)
        if number == child["number"] - 1 and sha256(self.record_bytes(number)) != child["previous"]:
            raise Damaged(f"log/{number:010d}.json", "not the record that the next one was written after")
        if parent["session"] != child["session"]:
            raise Damaged(f"log/{child['number']:010d}.json", "its parent is a record of another session")
        return parent

    def _opening_of(self, first: Object, damaged: set[str]) -> Object:
        if first["opening"] == first["number"]:
            return first
        try:
            opening = self.record(first["opening"])
            if opening["session"] != first["session"]:
                raise Damaged(f"log/{first['opening']:010d}.json", "another session's")
            return opening
        except Damaged as damage:
            damaged.add(damage.key)
            # Who had opened the session is lost; what it is stands in record 0 as well.
            return {**self.record(0), "kind": "opened", "number": first["opening"], "opening": first["opening"]}

    # What a fold refers to

    def checkpoints(self, folded: Folded) -> list[Object]:
        """All checkpoints that were not removed, oldest first."""
        paged = [entry for page in folded.checkpoint_pages for entry in self._items(page)]
        return [*(entry for entry in paged if entry["number"] not in folded.removed), *folded.checkpoints]

    def adds(self, folded: Folded, phase: str) -> list[Object]:
        """The blobs of a phase's additive output, in order."""
        paged = [ref for page in folded.adds_pages.get(phase, ()) for ref in self._items(page)]
        return [*paged, *folded.adds.get(phase, ())]

    def adds_past_damage(self, folded: Folded, phase: str) -> list[Object]:
        """The same, without the index where a page of it is damaged; raises that where the records are, too."""
        try:
            return self.adds(folded, phase)
        except Damaged as page:
            try:
                return self.adds(self.fold_without_index(folded.tip["number"]), phase)
            except Damaged:
                raise page from None

    def rows(self, folded: Folded, phase: str) -> dict[str, Array]:
        """All of a phase's additive output, one array a column."""
        parts = [arrays_of(self.blob(ref))[0] for ref in self.adds_past_damage(folded, phase)]
        return {name: np.concatenate([part[name] for part in parts]) for name in (parts[0] if parts else ())}

    def state(self, folded: Folded, phase: str) -> tuple[dict[str, Array], Object]:
        """The arrays and the plain data of a phase's newest commit."""
        ref = folded.newest[phase]["state"]
        arrays, metadata = arrays_of(self.blob(ref))
        return arrays, parse(metadata["state"].encode("ascii"), ref["key"])

    def shards(self, folded: Folded, phase: str) -> list[dict[str, Array]]:
        """What several processes have written of a phase's newest state (chapter 8)."""
        return [arrays_of(self.blob(ref))[0] for ref in folded.newest[phase].get("shards", ())]

    def counting(self, folded: Folded, inputs: Mapping[str, str]) -> list[str]:
        """The phases whose newest commit counts, for the inputs of today ("" where none are given); chapter 5."""
        phases: list[str] = []
        last = 0
        for phase in folded.opened["body"]["identity"]["phases"]:
            entry = folded.newest.get(phase)
            if entry is None or entry["number"] < last or entry["inputs"] != inputs.get(phase, ""):
                break
            phases.append(phase)
            last = entry["number"]
            if not entry["ended"]:
                break
        return phases

    def status(self, folded: Folded) -> str:
        """How the newest opening ended; chapter 5."""
        if folded.opened["kind"] == "created":
            return "new"
        return "no outcome" if folded.closed is None else str(folded.closed["body"]["outcome"])

    def check(self, folded: Folded) -> Iterator[str]:
        """Checks every hash from the tip back to record 0, and of all blobs in reach; yields the keys checked."""
        for ref in self._references(folded):
            self.blob(ref)
            yield ref["key"]
        for record in self._records(folded.tip["number"]):
            yield f"log/{record['number']:010d}.json"

    def usable(self) -> tuple[Folded, int]:
        """Chapter 7: the state that a writer goes on from, past damaged blobs too; and how often that stepped back."""
        folded, _ = self.newest()
        for steps in range(folded.tip["number"] + 1):
            try:
                for phase, entry in folded.newest.items():
                    for ref in (*states_of(entry), *self.adds_past_damage(folded, phase)):
                        self.blob(ref)
                return folded, steps
            except Damaged as damage:
                name = BLOB.fullmatch(damage.key)
                assert name is not None
                folded, _ = self.newest(self._parent_number(int(name[1])))
        raise AssertionError("each step goes back by one record at least")

    def _parent_number(self, number: int) -> int:
        """Chapter 7: what a record that committed something damaged was built on, be it damaged itself."""
        try:
            return int(self.record(number)["parent"])
        except Damaged:
            return number - 1

    def _needed(self, folded: Folded) -> Iterator[Object]:
        for pages in (folded.checkpoint_pages, *folded.adds_pages.values()):
            yield from (page["blob"] for page in pages)
        for phase, entry in folded.newest.items():
            yield from states_of(entry)
            yield from self.adds(folded, phase)

    def _references(self, folded: Folded) -> Iterator[Object]:
        if folded.tip["index"]:
            yield folded.tip["index"]
        yield from self._needed(folded)
        for entry in self.checkpoints(folded):
            yield from states_of(entry)
            # What the run had put out by then; checkpoints in between may be off the list.
            if entry["run"] != folded.newest[entry["phase"]]["run"]:
                yield from self.adds(self.fold_without_index(entry["number"]), entry["phase"])
        body = folded.opened["body"]
        yield from (*body["identity"]["attachments"].values(), *body.get("attachments", {}).values())

    def _items(self, page: Object) -> list[Object]:
        items: list[Object] = parse(self.blob(page["blob"]), page["blob"]["key"])["items"]
        assert len(items) == page["count"]
        return items


def states_of(entry: Object) -> list[Object]:
    """The blobs that are a checkpoint's own (chapter 8)."""
    return [entry["state"], *entry.get("shards", ())]


def without(folded: Folded, numbers: list[int]) -> Folded:
    """Chapter 5: some checkpoints are off the list."""
    gone = frozenset(numbers)
    kept = tuple(entry for entry in folded.checkpoints if entry["number"] not in gone)
    return replace(folded, checkpoints=kept, removed=folded.removed | gone)


def advanced(folded: Folded, record: Object) -> Folded:
    """Chapter 5: the state after one more record."""
    body, after = record["body"], replace(folded, tip=record)
    match record["kind"]:
        case "created" | "opened":
            return without(replace(after, opened=record, closed=None), body.get("removed", []))
        case "closed":
            if body.get("outcome") not in OUTCOMES:
                raise Damaged(f"log/{record['number']:010d}.json", "an outcome that format 1 has not")
            return replace(after, closed=record)
        case "removed":
            return without(replace(after, removal=record["number"]), body["checkpoints"])
        case "checkpoint":
            entry = {**body, **{name: record[name] for name in ("number", "parent", "date")}}
            phase = entry["phase"]
            before = folded.newest.get(phase)
            entry["run"] = entry["number"] if entry["fresh"] or before is None else before["run"]
            if entry["fresh"]:
                after = replace(after, adds={**after.adds, phase: ()}, adds_pages={**after.adds_pages, phase: ()})
            return replace(
                after,
                newest={**after.newest, phase: entry},
                checkpoints=(*after.checkpoints, entry),
                adds={**after.adds, phase: (*after.adds.get(phase, ()), *entry["adds"])},
            )
    raise Damaged(f"log/{record['number']:010d}.json", "a kind that format 1 has not")
