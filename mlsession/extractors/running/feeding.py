"""One extractor for many threads: they hand in pictures and wait, and a thread of its own feeds the device.

    any thread          pictures -> waits for their features (others decode meanwhile)
    feeding thread      fills a slot with what waits, in the order it came -> launches -> collects the oldest

Batches are cut where they are full, so pictures of several threads share one, and those of one may be spread over two;
features do not depend on it, since every batch has the same shape. A batch that is not full is launched only if the
device has nothing to do.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
import numpy.typing as npt

from mlsession.errors import InternalError
from mlsession.extractors.running.batched import check_pictures, extraction_numerics
from mlsession.extractors.running.runtime import Runtime

if TYPE_CHECKING:
    from torch import nn

    from mlsession.extractors.running.lane import Slot


class Launcher(Protocol):
    """What `lane.Lane` is to the feeding thread."""

    batch_size: int
    slots: tuple[Slot, ...]

    def launch(self, slot: Slot, count: int) -> None: ...

    def finish(self, slot: Slot) -> npt.NDArray[np.float32]: ...


@dataclass(slots=True, kw_only=True, eq=False)
class _Order:
    """The pictures that one thread has handed in."""

    pictures: npt.NDArray[np.uint8]
    rows: npt.NDArray[np.float32]
    """[n, D], filled batch by batch."""
    launched: int = 0
    finished: int = 0
    done: Future[None] = field(default_factory=Future)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Part:
    """Pictures `first` to `last` of an order, from place `start` of a batch on."""

    order: _Order
    first: int
    last: int
    start: int


class Feeder:
    """The queue before a lane, and the thread that empties it. For any number of threads; close it."""

    def __init__(self, lane: Launcher, dimension: int) -> None:
        self._lane = lane
        self._dimension = dimension
        self._waiting = deque[_Order]()
        self._is_closed = False
        self._failure: BaseException | None = None
        self._changed = threading.Condition()
        self.num_batches = 0
        """Launched so far."""
        # If nobody closes it, it must not keep the process alive.
        self._thread = threading.Thread(target=self._feed, name="mlsession-feeding", daemon=True)
        self._thread.start()

    def rows(self, pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """float32 [N, D] of uint8 [N, side, side, 3]; waits for them. Raises what the device raised."""
        order = _Order(pictures=pictures, rows=np.empty((len(pictures), self._dimension), np.float32))
        if len(pictures) == 0:
            return order.rows
        with self._changed:
            if self._failure is not None:
                raise self._failure
            if self._is_closed:
                raise InternalError("pictures are handed to an extractor that is closed")
            self._waiting.append(order)
            self._changed.notify_all()
        order.done.result()
        return order.rows

    def close(self) -> None:
        """Ends the thread once what waits is done; again: nothing."""
        with self._changed:
            self._is_closed = True
            self._changed.notify_all()
        self._thread.join()

    def _feed(self) -> None:
        flying: deque[tuple[Slot, Sequence[_Part]]] = deque()
        free = deque(self._lane.slots)
        try:
            while True:
                parts = self._next_parts(is_idle=not flying) if free else ()
                if parts is None:
                    return
                if parts:
                    # Noted before it is launched, so that nobody waits for ever if that fails.
                    flying.append((free.popleft(), parts))
                    self._launch(*flying[-1])
                else:
                    slot, finished = flying.popleft()
                    try:
                        _hand_out(self._lane.finish(slot), finished)
                    except BaseException:
                        flying.append((slot, finished))
                        raise
                    free.append(slot)
        except BaseException as failure:  # Raised in the threads that wait for it.
            self._fail(failure, [part.order for _, parts in flying for part in parts])

    def _next_parts(self, *, is_idle: bool) -> Sequence[_Part] | None:
        """What goes into the next batch: nothing if it would not be full while the device is busy; None at the end."""
        size = self._lane.batch_size
        with self._changed:
            if is_idle:
                self._changed.wait_for(lambda: self._waiting or self._is_closed)
                if not self._waiting:
                    return None
            elif sum(len(order.pictures) - order.launched for order in self._waiting) < size:
                return ()
            return _cut(self._waiting, size)

    def _launch(self, slot: Slot, parts: Sequence[_Part]) -> None:
        for part in parts:
            stop = part.start + part.last - part.first
            slot.pictures[part.start : stop] = part.order.pictures[part.first : part.last]
        self._lane.launch(slot, parts[-1].start + parts[-1].last - parts[-1].first)
        self.num_batches += 1

    def _fail(self, failure: BaseException, orders: Sequence[_Order]) -> None:
        with self._changed:
            self._failure = failure
            orders = [*orders, *self._waiting]
            self._waiting.clear()
        for order in orders:
            if not order.done.done():
                order.done.set_exception(failure)


def _cut(waiting: deque[_Order], size: int) -> list[_Part]:
    """Takes up to `size` pictures off the front of what waits."""
    parts, start = list[_Part](), 0
    while waiting and start < size:
        order = waiting[0]
        first, last = order.launched, min(len(order.pictures), order.launched + size - start)
        parts.append(_Part(order=order, first=first, last=last, start=start))
        order.launched, start = last, start + last - first
        if order.launched == len(order.pictures):
            waiting.popleft()
    return parts


def _hand_out(rows: npt.NDArray[np.float32], parts: Sequence[_Part]) -> None:
    for part in parts:
        order, count = part.order, part.last - part.first
        order.rows[part.first : part.last] = rows[part.start : part.start + count]
        order.finished += count
        if order.finished == len(order.rows):
            order.done.set_result(None)


class FedExtractor:
    """A `FeatureExtractor` on a GPU, for any number of threads at once. Make one with `catalog.load_extractor`."""

    def __init__(
        self,
        *,
        name: str,
        identity: str,
        dimension: int,
        input_side: int,
        runtime: Runtime,
        network: Callable[[], nn.Module],
        library: str | None = None,
    ) -> None:
        """See `BatchedExtractor`. Raises `InvalidParameter` where the network does not fit into the GPU's memory."""
        from mlsession.extractors.running.lane import fitting_lane

        self.name = name
        self.identity = identity
        self.dimension = dimension
        self.input_side = input_side
        self._network = network
        self._library = library
        lane, self._runtime = fitting_lane(network(), runtime, input_side, dimension)
        self._feeder = Feeder(lane, dimension)

    @property
    def num_batches(self) -> int:
        """Passes through the network so far."""
        return self._feeder.num_batches

    def numerics(self) -> Mapping[str, str | int]:
        return extraction_numerics(self._runtime, self._library)

    def network(self) -> nn.Module:
        return self._network()

    def extract(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        check_pictures(images, self.input_side)
        return self._feeder.rows(images)

    def close(self) -> None:
        """Ends its thread; what the GPU holds goes with the extractor."""
        self._feeder.close()
