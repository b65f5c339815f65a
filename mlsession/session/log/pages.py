"""The index of a long log: immutable pages that sum up the past, so that a session opens in bounded time.

Once the tail has `TAIL` records, the writer moves what they hold into pages of up to `PAGE` items and writes a
summary that names the pages; the next record carries the summary's blob, and the tail starts anew with that record.
Only the last page of a list is ever rewritten (as a new blob), so a roll costs a bounded number of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from mlsession.errors import DamagedData
from mlsession.session.log.canonical import canonical_json, parse_object
from mlsession.session.log.records import MOST_BYTES, BlobRef, CheckpointEntry
from mlsession.session.log.timeline import PageRef, Summary, Timeline
from mlsession.session.phase import Json

TAIL = 64
"""Records after which the writer rolls the tail into pages."""
PAGE = 1_000
"""The most items of a page."""

MOST_INDEX_BYTES = PAGE * MOST_BYTES
"""Of an index, or a page of it: what is longer is damage, and not read."""

ReadBlob = Callable[[BlobRef], bytes]
WriteBlob = Callable[[bytes], BlobRef]
Item = TypeVar("Item", CheckpointEntry, BlobRef)


def needs_roll(timeline: Timeline) -> bool:
    """Whether the next record should carry a new index."""
    return timeline.tail_length >= TAIL


def roll(timeline: Timeline, start: int, read: ReadBlob, write: WriteBlob, page: int = PAGE) -> tuple[BlobRef, Summary]:
    """Writes pages of up to `page` items and a summary of all before record `start`; returns it and its blob."""
    pager = _Pager(read, write, page)
    adds = {phase: pager.extend(seq.pages, seq.recent, _refs) for phase, seq in timeline.adds.items()}
    summary = Summary(
        start=start,
        newest=timeline.newest,
        checkpoints=pager.extend(pager.without_removed(timeline), timeline.recent, _entries),
        adds=adds,
        removal=timeline.removal,
    )
    return write(canonical_json(summary.to_json())), summary


def read_summary(ref: BlobRef, read: ReadBlob) -> Summary:
    """Reads a summary back. Raises `DamagedData`."""
    try:
        return Summary.from_json(parse_object(_read_index(ref, read), ref.key))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedData(ref.key, f"not an index ({error})") from error


def live_checkpoints(timeline: Timeline, read: ReadBlob) -> tuple[CheckpointEntry, ...]:
    """All checkpoints that have not been removed, oldest first; reads the pages."""
    paged = (entry for page in timeline.checkpoint_pages for entry in _read_page(page, _entries, read))
    return (*(entry for entry in paged if entry.number not in timeline.removed), *timeline.recent)


def additive_blobs(timeline: Timeline, phase: str, read: ReadBlob) -> tuple[BlobRef, ...]:
    """The blobs of a phase's additive output, in order; reads the pages."""
    if phase not in timeline.adds:
        return ()
    sequence = timeline.adds[phase]
    return (*(ref for page in sequence.pages for ref in _read_page(page, _refs, read)), *sequence.recent)


def referenced_blobs(timeline: Timeline, read: ReadBlob) -> Iterator[BlobRef]:
    """Every blob that the timeline needs in order to go on: index, pages, newest states, additive output."""
    yield from named_blobs(timeline)
    for phase in timeline.adds:
        yield from additive_blobs(timeline, phase, read)


def named_blobs(timeline: Timeline) -> Iterator[BlobRef]:
    """Those of them that are known without reading a page: all but additive output."""
    if timeline.tip.index is not None:
        yield timeline.tip.index
    for page in (*timeline.checkpoint_pages, *(page for adds in timeline.adds.values() for page in adds.pages)):
        yield page.blob
    for entry in timeline.newest.values():
        yield from entry.states


@dataclass(frozen=True, slots=True)
class _Pager:
    """Turns long lists into pages of up to `size` items."""

    read: ReadBlob
    write: WriteBlob
    size: int

    def extend(
        self, pages: tuple[PageRef, ...], items: Sequence[Item], decode: Callable[[Json], list[Item]]
    ) -> tuple[PageRef, ...]:
        """The pages with `items` after them; only a last page that is not full is written anew."""
        if not items:
            return pages
        full: tuple[PageRef, ...] = pages
        rest: list[Item] = list(items)
        if pages and pages[-1].count < self.size:
            full = pages[:-1]
            rest = _read_page(pages[-1], decode, self.read) + rest
        chunks: list[list[Item]] = [rest[at : at + self.size] for at in range(0, len(rest), self.size)]
        return (*full, *(self._write(chunk) for chunk in chunks))

    def without_removed(self, timeline: Timeline) -> tuple[PageRef, ...]:
        """The pages of checkpoints as they are after the tail's removals."""
        if not timeline.removed:
            return timeline.checkpoint_pages
        kept: list[PageRef] = []
        for page in timeline.checkpoint_pages:
            entries = _read_page(page, _entries, self.read)
            live = [entry for entry in entries if entry.number not in timeline.removed]
            if len(live) == len(entries):
                kept.append(page)
            elif live:
                kept.append(self._write(live))
        return tuple(kept)

    def _write(self, items: Sequence[CheckpointEntry | BlobRef]) -> PageRef:
        encoded = [item.to_json() for item in items]
        return PageRef(blob=self.write(canonical_json({"items": encoded})), count=len(encoded))


def _read_page(page: PageRef, decode: Callable[[Json], list[Item]], read: ReadBlob) -> list[Item]:
    content: Mapping[str, Json] = parse_object(_read_index(page.blob, read), page.blob.key)
    try:
        return decode(content["items"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedData(page.blob.key, f"not a page of the index ({error})") from error


def _read_index(ref: BlobRef, read: ReadBlob) -> bytes:
    if ref.size > MOST_INDEX_BYTES:
        raise DamagedData(
            ref.key, f"it has {ref.size:,} bytes, and no part of an index has more than {MOST_INDEX_BYTES:,}"
        )
    return read(ref)


def _entries(value: Json) -> list[CheckpointEntry]:
    return [CheckpointEntry.from_json(item) for item in _items(value)]


def _refs(value: Json) -> list[BlobRef]:
    return [BlobRef.from_json(item) for item in _items(value)]


def _items(value: Json) -> list[Json]:
    if not isinstance(value, list):
        raise ValueError("a list was expected")
    return value
