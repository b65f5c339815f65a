"""Batches of images through several workers, in a fixed order: each batch is read ahead, then worked on by one thread.

    reading    many threads, which wait for a store most of the time; bounded by the bytes that lie ready or will soon
    working    as many threads as there are processors: decoding and the network, one batch each

One thread does all of a batch because decoding and the network compete for the same processors: a network that ran
in several threads at once would wait for the slowest of them at every layer.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeAlias, TypeVar

from mlsession.errors import InternalError
from mlsession.processor import usable_processors

BATCH = 16
"""Images in a step: bounded work, and small enough for the caches of a processor."""
MOST_WORKERS = 32
"""Each holds a network of its own: some 60 MB with OpenVINO."""
BATCHES_AHEAD = 2
"""Batches beyond those being worked on: enough to even out slow pictures."""
READERS = 8
"""For a disk, and for a store of which each reader opens a handle of its own."""
READERS_A_WORKER = 32
"""For a store of which one handle serves all, which is far away: a worker takes some 100 pictures a second, so that
there is always one for it where an answer takes 0.3 s."""
AT_ONCE = 4
"""Images that a reader takes one after the other where there are few readers: to hand each over by itself takes longer
than to read a small file."""
MOST_WAITING = 256
"""Batches that lie ready behind one that is being worked on: 10 MB of features, and as much for each view."""
MOST_READERS = 128
"""More than one client can ask for, whose own work is that of one processor."""
READY_BYTES = 128 * 2**20
"""Once so much has been read and not been worked on, or is expected to be, no more is read."""
_FORGETTING = 0.9
"""How much of a large picture is still expected after the next one."""

Result = TypeVar("Result")
Read: TypeAlias = Callable[[], bytes]
"""Waits for the bytes of an image; raises what reading it raised."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """Which batches a process works on: of `size` processes, batch b is worked by rank b mod `size`."""

    rank: int = 0
    size: int = 1
    neighbours: int = 1
    """Processes that share this machine's processors, this one included."""

    def of(self, workers: int) -> int:
        """Of the threads that a machine has use for, those of this process."""
        return max(workers // self.neighbours, 1)


WHOLE = Share()
"""All of them in one process."""


def worked_batches(
    rows: range,
    read: Callable[[int], bytes],
    work: Callable[[Sequence[tuple[int, Read]]], Result],
    size: int = BATCH,
    workers: int | None = None,
    is_shared: Callable[[], bool] | None = None,
    share: Share = WHOLE,
    at_hand: Callable[[range], Result | None] | None = None,
) -> Generator[Result, None, None]:
    """`work` on `rows` in batches of `size`; the results in order, a few batches ahead of the caller.

    With a `share` only on its batches, which are what they are for one process. `at_hand` is asked for the result of
    each batch first, in the caller's thread and in order; of those that it gives nothing is read.

    `is_shared` tells, once there is something to read, whether many reads at once cost no more than few; left out,
    they do. Whatever `read`, `work` or it raises is raised here, at its batch's turn. The numbers of workers and of
    readers change the speed alone.
    """
    if len(rows) <= share.rank * size:
        return
    count = share.of(workers or min(usable_processors(), MOST_WORKERS))
    shared = is_shared is not None and is_shared()
    num_readers, at_once = readers_for(count, shared), 1 if shared else AT_ONCE
    ahead = max(BATCHES_AHEAD, -(-num_readers // size))
    ready = _Ready(READY_BYTES)
    readers = ThreadPoolExecutor(max_workers=num_readers, thread_name_prefix="mlsession-reading")
    working = ThreadPoolExecutor(max_workers=count, thread_name_prefix="mlsession-working")
    waiting: deque[Future[Result] | _AtHand[Result]] = deque()
    under_way = 0
    starts = iter(range(share.rank * size, len(rows), share.size * size))
    try:
        while True:
            while (
                under_way < count + ahead and len(waiting) < MOST_WAITING and (first := next(starts, None)) is not None
            ):
                batch, asked = rows[first : first + size], list[tuple[int, Read]]()
                found = None if at_hand is None else at_hand(batch)
                if found is not None:
                    waiting.append(_AtHand(found))
                    if under_way == 0:
                        break  # Nobody gains by looking further.
                    continue
                for some in (batch[place : place + at_once] for place in range(0, len(batch), at_once)):
                    asked += ready.taking(readers.submit(ready.reading, read, some), some)
                waiting.append(working.submit(work, asked))
                under_way += 1
            if not waiting:
                return
            under_way -= isinstance(waiting[0], Future)
            yield waiting.popleft().result()
    finally:
        ready.close()
        readers.shutdown(wait=True, cancel_futures=True)
        working.shutdown(wait=True, cancel_futures=True)


@dataclass(frozen=True, slots=True)
class _AtHand(Generic[Result]):
    """The result of a batch that nobody has to work on."""

    found: Result

    def result(self) -> Result:
        return self.found


def readers_for(workers: int, is_shared: bool) -> int:
    """How many reads may wait at once; pure."""
    return min(READERS_A_WORKER * workers, MOST_READERS) if is_shared else READERS


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Some:
    """What one reader has read."""

    data: dict[int, bytes]
    """By row; those that were taken are gone."""
    error: Exception | None
    """What the first row that is missing raised."""


class _Ready:
    """The bytes that have been read and not been taken: rows are read while there is room, or once they are waited for.

    Of those being read each is expected to be as large as the last ones were, and the first ones so large that as many
    are read as from a disk.

    Nobody waits for ever: of the first batch that is not done, the rows that its worker waits for have been begun
    before all later ones, so they are being read, or let themselves in here.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0
        self._under_way = 0
        self._expected = most / READERS
        self._awaited: set[int] = set()
        self._closed = False
        self._changed = threading.Condition()

    def reading(self, read: Callable[[int], bytes], rows: Sequence[int]) -> _Some:
        """Reads rows once they may be, up to the first that fails."""
        with self._changed:
            self._changed.wait_for(lambda: self._has_room(len(rows)) or rows[0] in self._awaited or self._closed)
            if self._closed:
                return _Some(data=dict.fromkeys(rows, b""), error=None)  # Nobody will ask for them.
            self._under_way += len(rows)
        found, error = dict[int, bytes](), None
        try:
            for row in rows:
                found[row] = read(row)
        except Exception as raised:  # Raised where the row is asked for.
            error = raised
        finally:
            with self._changed:
                self._under_way -= len(rows)
                self._held += sum(map(len, found.values()))
                for data in found.values():
                    self._expected = max(len(data), self._expected * _FORGETTING)
                self._changed.notify_all()
        return _Some(data=found, error=error)

    def taking(self, future: Future[_Some], rows: Sequence[int]) -> Iterator[tuple[int, Read]]:
        """For each of the rows what takes it out, and makes room for more."""
        for row in rows:
            yield row, partial(self._take, future, rows[0], row)

    def _take(self, future: Future[_Some], first: int, row: int) -> bytes:
        if not future.done():
            with self._changed:
                self._awaited.add(first)
                self._changed.notify_all()
            try:
                future.result()
            finally:
                with self._changed:
                    self._awaited.discard(first)
        some = future.result()
        data = some.data.pop(row, None)
        if data is None:
            raise some.error or InternalError(f"row {row} is taken twice")
        with self._changed:
            self._held -= len(data)
            self._changed.notify_all()
        return data

    def _has_room(self, count: int) -> bool:
        """Whether the last of that many rows more may be read."""
        return self._held + (self._under_way + count - 1) * self._expected < self._most

    def close(self) -> None:
        """Lets those go who wait for room."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
