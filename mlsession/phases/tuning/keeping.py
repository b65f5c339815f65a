"""States that several processes share: each keeps a copy of its part, and writes it once the checkpoint is made.

    rank 0, at a safe point         says so; each rank copies its part to the memory of its host, and trains on
    rank 0, in the saver's thread   knows which record it will be: has every rank write its part as a blob of that
                                    record; gathers what they are called; writes the record that names them all

A part is a blob of the session like any other. Whoever is killed in between leaves blobs that no record names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, closing, suppress
from functools import partial
from queue import SimpleQueue

from mlsession.devices.crew import Crew
from mlsession.devices.failures import failure_from_json, failure_to_json
from mlsession.devices.messages import decode_message, encode_message
from mlsession.errors import InternalError, WorkerLost
from mlsession.session.log.blobs import encode_arrays, write_blob
from mlsession.session.log.layout import blob_key
from mlsession.session.log.members import as_count, as_object
from mlsession.session.log.records import BlobRef
from mlsession.session.phase import Arrays, Json, WriteShards
from mlsession.store.protocol import Store

_WRITE, _END = "write", "end"


class ShardKeeper:
    """One rank's; made and closed by all of them together."""

    def __init__(self, crew: Crew, open_store: Callable[[], Store] | None) -> None:
        """`crew` is for this alone, see `Crew.apart`; `open_store` gives a handle on the session's folder."""
        self._crew = crew
        self._open_store = open_store
        self._copies: SimpleQueue[tuple[int, Arrays]] = SimpleQueue()
        self._writing = threading.Lock()
        self._is_out_of_step = False
        self._is_owed = False
        if crew.rank:
            threading.Thread(target=self._serve, name="mlsession-shards", daemon=True).start()

    def keep(self, number: int, part: Arrays) -> None:
        """A rank's copy of its part, in memory of its own, for save `number`; on all ranks but rank 0."""
        self._copies.put((number, part))

    def writer(self, number: int, part: Arrays) -> WriteShards:
        """What writes save `number`; on rank 0, whose copy is given."""
        self._is_owed = True
        return partial(self._write, number, part)

    def close(self) -> None:
        """On rank 0: nothing more is to be written. The threads of the others end, if not now, then with it."""
        if self._crew.rank or self._is_owed or not self._writing.acquire(blocking=False):
            return  # What waits in the saver is still written, by all.
        try:
            if not self._is_out_of_step:
                with suppress(WorkerLost):
                    self._tell({"do": _END})
        finally:
            self._writing.release()

    def _write(self, number: int, part: Arrays, store: Store, opening: int, record: int) -> Sequence[BlobRef]:
        with self._writing:
            self._is_out_of_step = True
            self._tell({"do": _WRITE, "save": number, "opening": opening, "record": record})
            refs = [write_blob(store, opening, record, encode_arrays(part))]
            told = [decode_message(self._crew.receive(rank))[0] for rank in range(1, self._crew.size)]
            self._is_out_of_step = self._is_owed = False
        for rank, answer in enumerate(told, start=1):
            if "failure" in answer:
                raise failure_from_json(as_object(answer["failure"]), f"rank {rank}")
            ref = BlobRef.from_json(answer["blob"])
            if ref.key != blob_key(opening, record, ref.sha256):
                raise InternalError(f"rank {rank} wrote {ref.key}, which is not of record {record}")
            refs.append(ref)
        return refs

    def _tell(self, order: dict[str, Json]) -> None:
        for rank in range(1, self._crew.size):
            self._crew.send(encode_message(order), to=rank)

    def _serve(self) -> None:
        """A follower's thread: writes what it is told to, until there is no more."""
        if self._open_store is None:
            return
        store: Store | None = None
        with suppress(WorkerLost), ExitStack() as handles:
            while (order := decode_message(self._crew.receive(0))[0])["do"] == _WRITE:
                try:
                    store = store or handles.enter_context(closing(self._open_store()))
                    data = encode_arrays(self._copy(as_count(order["save"])))
                    ref = write_blob(store, as_count(order["opening"]), as_count(order["record"]), data)
                    answer: dict[str, Json] = {"blob": ref.to_json()}
                except Exception as error:
                    answer = {"failure": failure_to_json(error)}
                self._crew.send(encode_message(answer), to=0)

    def _copy(self, wanted: int) -> Arrays:
        """That of save `wanted`, once it is there; those before it came to nothing."""
        while True:
            number, part = self._copies.get()
            if number == wanted:
                return part
