"""The index of a long log: immutable pages that sum up the past, so that a session opens in bounded time.

Once the tail has `TAIL` records, the writer moves what they hold into pages of up to `PAGE` items and writes a
summary that names the pages; the next record carries the summary's blob, and the tail starts anew with that record.
Only the last page of a list is ever rewritten (as a new blob), so a roll costs a bounded number of bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TypeVar

from mlsession.errors import DamagedData
from mlsession.session.log.canonical import canonical_json, parse_object
from mlsession.session.log.records import BlobRef, CheckpointEntry
from mlsession.session.log.timeline import PageRef, Summary, Timeline
from mlsession.session.phase import Json

TAIL = 64
"""Records after which the writer rolls the tail into pages."""
PAGE = 1_000
"""The most items of a page."""

ReadBlob = Callable[[BlobRef], bytes]
WriteBlob = Callable[[bytes], BlobRef]
Item = TypeVar("Item", CheckpointEntry, BlobRef)


def needs_roll(timeline: Timeline) -> bool:
    """Whether the next record should carry a new index."""
    return timeline.tail_length >= TAIL


def roll(timeline: Timeline, start: int, read: ReadBlob, write: WriteBlob) -> tuple[BlobRef, Summary]:
    """Writes pages and summary for everything before record `start`; returns the summary and its blob."""
    adds = {
        phase: _extend(sequence.pages, sequence.recent, _refs, read, write) for phase, sequence in timeline.adds.items()
    }
    summary = Summary(
        start=start,
        newest=timeline.newest,
        checkpoints=_roll_checkpoints(timeline, read, write),
        adds=adds,
    )
    return write(canonical_json(summary.to_json())), summary


def read_summary(ref: BlobRef, read: ReadBlob) -> Summary:
    """Reads a summary back. Raises `DamagedData`."""
    try:
        return Summary.from_json(parse_object(read(ref), ref.key))
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
    if timeline.tip.index is not None:
        yield timeline.tip.index
    for page in (*timeline.checkpoint_pages, *(page for adds in timeline.adds.values() for page in adds.pages)):
        yield page.blob
    for entry in timeline.newest.values():
        yield entry.state
    for phase in timeline.adds:
        yield from additive_blobs(timeline, phase, read)


def _roll_checkpoints(timeline: Timeline, read: ReadBlob, write: WriteBlob) -> tuple[PageRef, ...]:
    if not timeline.removed:
        return _extend(timeline.checkpoint_pages, timeline.recent, _entries, read, write)
    kept: list[PageRef] = []
    for page in timeline.checkpoint_pages:
        entries = _read_page(page, _entries, read)
        live = [entry for entry in entries if entry.number not in timeline.removed]
        if len(live) == len(entries):
            kept.append(page)
        elif live:
            kept.append(_write_page(live, write))
    return _extend(tuple(kept), timeline.recent, _entries, read, write)


def _extend(
    pages: tuple[PageRef, ...],
    items: Sequence[Item],
    decode: Callable[[Json], list[Item]],
    read: ReadBlob,
    write: WriteBlob,
) -> tuple[PageRef, ...]:
    if not items:
        return pages
    full: tuple[PageRef, ...] = pages
    rest: list[Item] = list(items)
    if pages and pages[-1].count < PAGE:
        full = pages[:-1]
        rest = _read_page(pages[-1], decode, read) + rest
    return (*full, *(_write_page(chunk, write) for chunk in _chunks(rest)))


def _chunks(items: list[Item]) -> Iterator[list[Item]]:
    return (items[at : at + PAGE] for at in range(0, len(items), PAGE))


def _write_page(items: Sequence[CheckpointEntry | BlobRef], write: WriteBlob) -> PageRef:
    encoded = [item.to_json() for item in items]
    return PageRef(blob=write(canonical_json({"items": encoded})), count=len(encoded))


def _read_page(page: PageRef, decode: Callable[[Json], list[Item]], read: ReadBlob) -> list[Item]:
    content: Mapping[str, Json] = parse_object(read(page.blob), page.blob.key)
    try:
        return decode(content["items"])
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedData(page.blob.key, f"not a page of the index ({error})") from error


def _entries(value: Json) -> list[CheckpointEntry]:
    return [CheckpointEntry.from_json(item) for item in value] if isinstance(value, list) else []


def _refs(value: Json) -> list[BlobRef]:
    return [BlobRef.from_json(item) for item in value] if isinstance(value, list) else []
