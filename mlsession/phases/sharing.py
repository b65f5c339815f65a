"""Extracting by several processes: each works on its share of the batches, and hands them to rank 0.

    rank 0      says which rows, then for each batch in order: takes it from whose it is, keeps it, yields it
    the others  work ahead on their shares; wait to be asked; hand over the next batch

The batches, their order and with them all that is saved are those of one process, so that the number of processes may
change from one attempt to the next. A batch of 16 images takes some 40 KB on its way. Only rank 0 writes: to the
session, and to the feature cache, also what the others' files are known by; the others look into that.

A follower that fails hands over what went wrong in place of its next batch, and rank 0 raises it there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from mlsession.devices.crew import Crew
from mlsession.devices.events import event_from_json
from mlsession.devices.failures import failure_from_json, failure_to_json
from mlsession.devices.messages import decode_message, encode_message
from mlsession.errors import InternalError, WorkerLost
from mlsession.events import Event
from mlsession.phases.featured import Picture
from mlsession.phases.featurize import Featurizer
from mlsession.phases.listed import StampedRows
from mlsession.phases.pictures import BATCH, Share
from mlsession.session.log.members import as_count, as_list, as_object, as_text
from mlsession.session.phase import Json

BATCHES = "batches"
"""The command that begins it."""
_NEXT, _ENOUGH = b"next", b"enough"


class FeatureSource(Protocol):
    """What extracting and evaluating ask for features: a `Featurizer`, of one process or of several."""

    @property
    def num_views(self) -> int: ...

    @property
    def num_reused(self) -> int: ...

    def batches(
        self,
        rows: range,
        key_of: Callable[[int], str],
        bytes_of: Callable[[int], bytes],
        size: int = BATCH,
        *,
        augmented: bool = False,
        stamps: StampedRows | None = None,
    ) -> Iterator[tuple[Picture, ...]]: ...

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Which batches are asked for."""

    first: int
    end: int
    size: int
    augmented: bool
    source: str
    """Of which images."""

    def to_json(self) -> dict[str, Json]:
        values: dict[str, Json] = {"first": self.first, "end": self.end, "size": self.size}
        return {"do": BATCHES, "augmented": self.augmented, "source": self.source, **values}

    @classmethod
    def of(cls, command: dict[str, Json]) -> Order:
        """Reads `to_json` back."""
        first, end, size = (as_count(command[name]) for name in ("first", "end", "size"))
        return cls(
            first=first, end=end, size=size, augmented=command["augmented"] is True, source=as_text(command["source"])
        )


class SharedFeaturizer:
    """Rank 0's: takes the batches from all ranks, in order. Those of the others come as they are, bit for bit."""

    def __init__(
        self,
        own: Featurizer,
        crew: Crew,
        source: str,
        hear: Callable[[Event], None],
    ) -> None:
        """`source` tells the followers of which images the rows are; `hear` is given the events of theirs."""
        self._own = own
        self._crew = crew
        self._source = source
        self._hear = hear

    @property
    def num_views(self) -> int:
        return self._own.num_views

    @property
    def num_reused(self) -> int:
        return self._own.num_reused

    def batches(
        self,
        rows: range,
        key_of: Callable[[int], str],
        bytes_of: Callable[[int], bytes],
        size: int = BATCH,
        *,
        augmented: bool = False,
        stamps: StampedRows | None = None,
    ) -> Iterator[tuple[Picture, ...]]:
        """See `Featurizer.batches`; also raises `WorkerLost`, and what other ranks have failed with."""
        if not rows:
            return
        crew = self._crew
        order = Order(first=rows.start, end=rows.stop, size=size, augmented=augmented, source=self._source)
        crew.agree(order.to_json())
        share = Share(rank=0, size=crew.size, neighbours=crew.local_size)
        own = self._own.worked(rows, key_of, bytes_of, size, augmented, share, stamps)
        try:
            for number in range(-(-len(rows) // size)):
                owner = number % crew.size
                pictures = next(own) if owner == 0 else self._taken(owner)
                self._check(pictures, rows[number * size : (number + 1) * size])
                self._own.keep(pictures)
                yield pictures
        finally:
            with suppress(WorkerLost):  # Whoever needs the others next will find out.
                for rank in range(1, crew.size):
                    crew.send(_ENOUGH, to=rank)
            close = getattr(own, "close", None)
            if close is not None:
                close()

    def close(self) -> None:
        """Of rank 0 alone; the others close theirs."""
        self._own.close()

    def _taken(self, rank: int) -> tuple[Picture, ...]:
        self._crew.send(_NEXT, to=rank)
        head, body = decode_message(self._crew.receive(rank))
        for told in as_list(head["events"]):
            event = event_from_json(as_object(told))
            if event is not None:
                self._hear(event)
        if "failure" in head:
            raise failure_from_json(as_object(head["failure"]), f"rank {rank}")
        return decode_pictures(head, body)

    def _check(self, pictures: Sequence[Picture], rows: range) -> None:
        if [picture.row for picture in pictures] != list(rows):
            raise InternalError(f"a rank handed over other images than rows {rows.start} to {rows.stop - 1}")


def hand_over(crew: Crew, batches: Iterator[tuple[Picture, ...]], events: Callable[[], list[Json]]) -> None:
    """A follower's part: its share of the batches, each when rank 0 asks for it, until that has enough.

    `events` gives those since it was asked last. An error of `batches` goes to rank 0, which raises it; here
    `WorkerLost` alone is raised.
    """
    while crew.receive(0) == _NEXT:
        try:
            head, body = encode_pictures(next(batches))
        except Exception as error:
            head, body = {"failure": failure_to_json(error)}, b""
        crew.send(encode_message({**head, "events": events()}, body), to=0)


def encode_pictures(pictures: Sequence[Picture]) -> tuple[dict[str, Json], bytes]:
    """A batch as JSON and bytes: its features, float16 [n, views, D], little-endian."""
    features = np.stack([picture.features for picture in pictures]).astype("<f2", copy=False)
    head: dict[str, Json] = {
        "rows": [picture.row for picture in pictures],
        "digests": [picture.digest.hex() for picture in pictures],
        "reasons": [picture.reason for picture in pictures],
        "made": [list(picture.made) for picture in pictures],
        "stamps": [picture.stamp.hex() for picture in pictures],
        "shape": list(features.shape),
    }
    return head, features.tobytes()


def decode_pictures(head: dict[str, Json], body: bytes) -> tuple[Picture, ...]:
    """Reads `encode_pictures` back. Raises `InternalError`."""
    try:
        shape = tuple(as_count(size) for size in as_list(head["shape"]))
        features = np.frombuffer(body, dtype="<f2").reshape(shape).astype(np.float16)
        told = [as_list(head[name]) for name in ("rows", "digests", "reasons", "made", "stamps")]
        return tuple(
            Picture(
                row=as_count(row),
                digest=bytes.fromhex(as_text(digest)),
                features=each,
                reason=as_text(reason),
                made=tuple(as_count(view) for view in as_list(views)),
                stamp=bytes.fromhex(as_text(stamp)),
            )
            for each, row, digest, reason, views, stamp in zip(features, *told, strict=True)
        )
    except (KeyError, ValueError, TypeError) as error:
        raise InternalError(f"a rank handed over what is no batch of images ({error})") from error
