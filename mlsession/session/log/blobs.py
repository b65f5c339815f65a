"""Arrays and state as immutable, hashed bytes.

A blob of arrays is a safetensors file (https://github.com/huggingface/safetensors, format as of 0.4): nothing in it can
run code. The plain part of a `PhaseState` travels as canonical JSON in its metadata, under the single name "state".
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from mlsession.errors import DamagedData, InternalError, KeyMissing, MLSessionError, StoreError
from mlsession.session.log.canonical import canonical_json, parse_object, sha256
from mlsession.session.log.layout import blob_key
from mlsession.session.log.records import BlobRef
from mlsession.session.phase import Array, Arrays, PhaseState
from mlsession.store.bulk import Readable, ReadAhead, put_many
from mlsession.store.protocol import Store

MOST_HEADER_BYTES = 100_000_000
"""Of a safetensors file: its library reads no longer ones."""
MOST_AHEAD = 32
"""Blobs that are asked for together."""
MOST_BYTES_AHEAD = 32 * 2**20
"""What these have, at most, unless a single one has more."""
_METADATA = "state"
_MOST_HASHING = 4
"""Threads that hash: beyond that the store is what takes time."""


def encode_state(state: PhaseState) -> bytes:
    """The stored form of a phase's state. Raises `InternalError` for a dtype that has none."""
    return _encode(state.arrays, {_METADATA: canonical_json(dict(state.data)).decode()})


def decode_state(data: bytes, key: str) -> PhaseState:
    """Reads a state back. Raises `DamagedData` naming `key`."""
    arrays = decode_arrays(data, key)
    text = decode_metadata(data, key).get(_METADATA)
    if text is None:
        raise DamagedData(key, "a phase's state was expected")
    with as_written(key):
        return PhaseState(arrays, parse_object(text.encode(), key))


def encode_arrays(arrays: Arrays) -> bytes:
    """The stored form of named arrays. Raises `InternalError` for a dtype that has none."""
    return _encode(arrays, None)


def decode_arrays(data: bytes, key: str) -> dict[str, Array]:
    """Reads arrays back. Raises `DamagedData` naming `key`."""
    decode_metadata(data, key)
    try:
        return dict(load_arrays(data))
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedData(key, f"not the arrays that were written ({type(error).__name__})") from error


def decode_metadata(data: bytes, key: str) -> dict[str, str]:
    """The texts by name in a safetensors file. Raises `DamagedData` naming `key`.

    A name that occurs twice is damage: of two meanings each reader would take its own.
    """
    length = int.from_bytes(data[:8], "little")
    if not 8 + length <= len(data) or length > MOST_HEADER_BYTES:
        raise DamagedData(key, "not the arrays that were written (no header)")
    try:
        header = json.loads(data[8 : 8 + length].decode(), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise DamagedData(key, f"not the arrays that were written ({type(error).__name__})") from error
    metadata = header.get("__metadata__", {}) if isinstance(header, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(text, str) for text in metadata.values()):
        raise DamagedData(key, "not the arrays that were written (another header)")
    return metadata


@contextmanager
def as_written(key: str) -> Iterator[None]:
    """What is taken apart inside came out of a store, its hash may be right, and somebody else may have written it.

    So whatever does not fit is damage to `key`, in whichever way it shows: raises `DamagedData` for it.
    """
    try:
        yield
    except MLSessionError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise DamagedData(key, f"it is not of the form it must have ({type(error).__name__}: {error})") from error


def write_blob(store: Store, opening: int, record: int, data: bytes) -> BlobRef:
    """Stores bytes under their own hash and reads them back; see `write_blobs`."""
    refs, _ = write_blobs(store, opening, record, (data,))
    return refs[0]


def write_blobs(
    store: Store, opening: int, record: int, values: Sequence[bytes], looking: Mapping[str, int] | None = None
) -> tuple[tuple[BlobRef, ...], Readable]:
    """Stores each of some bytes under their own hash, and reads all back: two requests' time where the store allows.

    With them the keys `looking` are read, so many bytes of each; they can be read again in what comes second, which
    asks the store for nothing that it holds. Raises `StoreError` if the store gives back anything else than what it
    was given.
    """
    refs = tuple(_ref(opening, record, data) for data in values)
    put_many(store, {ref.key: data for ref, data in zip(refs, values, strict=True)})
    back = ReadAhead(store)
    back.fetch({ref.key: ref.size + 1 for ref in refs} | dict(looking or {}))
    for ref in refs:
        try:
            _read_back(store, back, ref)
        except DamagedData as damage:
            raise StoreError(f"{store.url} does not give back what it was given: {damage}", ref.key) from damage
    return refs, back


def _ref(opening: int, record: int, data: bytes) -> BlobRef:
    digest = sha256(data)
    return BlobRef(key=blob_key(opening, record, digest), size=len(data), sha256=digest)


def _read_back(store: Store, back: Readable, ref: BlobRef) -> None:
    try:
        read_blob(back, ref)
    except DamagedData:
        read_blob(store, ref)  # It may have been damaged on its way here.


def read_blob(store: Readable, ref: BlobRef) -> bytes:
    """The bytes that `ref` names, checked before anyone parses them. Raises `DamagedData`."""
    try:
        # One byte more than there must be shows a longer one, however long it is.
        data = store.get_range(ref.key, 0, ref.size + 1)
    except KeyMissing as error:
        raise DamagedData(ref.key, "it is missing") from error
    if len(data) != ref.size:
        found = f"{len(data)} bytes" if len(data) < ref.size else "more bytes"
        raise DamagedData(ref.key, f"it has {found} in place of {ref.size}")
    if sha256(data) != ref.sha256:
        raise DamagedData(ref.key, "its hash differs from the one recorded")
    return data


def reading_ahead(store: Store, planned: Sequence[BlobRef]) -> Callable[[BlobRef], bytes]:
    """How to read blobs of which most will be wanted in the order `planned`; see `read_blob`.

    With one of them those that follow are asked for as well, up to `MOST_AHEAD` and `MOST_BYTES_AHEAD`; they are held
    until then.
    """
    places = {ref.key: place for place, ref in enumerate(planned)}
    ahead = ReadAhead(store)

    def read(ref: BlobRef) -> bytes:
        nonlocal ahead
        if ref.key in places and not ahead.holds(ref.key):
            ahead = ReadAhead(store)  # Lets go of those before.
            ahead.fetch({each.key: each.size + 1 for each in _first_few(planned, places[ref.key])})
        return read_blob(ahead, ref)

    return read


def read_in_order(store: Store, refs: Sequence[BlobRef]) -> Iterator[tuple[BlobRef, Future[bytes]]]:
    """Each of some blobs with its checked bytes (see `read_blob`, which the future raises as), in order.

    The store is asked in the thread of the caller, for several at once as by `reading_ahead`, while threads hash those
    that have come before: hashing takes longer than reading a disk. Held are twice `MOST_BYTES_AHEAD` at most, or two
    blobs. What the store raises is raised here.
    """
    threads = min(os.cpu_count() or 1, _MOST_HASHING)
    executor = ThreadPoolExecutor(max_workers=threads, thread_name_prefix="mlsession-hash")
    before: list[tuple[BlobRef, Future[bytes]]] = []
    done = 0
    try:
        while done < len(refs) or before:
            few = _first_few(refs, done) if done < len(refs) else []
            ahead = ReadAhead(store)
            ahead.fetch({ref.key: ref.size + 1 for ref in few})
            now = [(ref, executor.submit(read_blob, ahead, ref)) for ref in few]
            del ahead
            before.reverse()
            while before:
                yield before.pop()
            before, done = now, done + len(few)
    finally:
        executor.shutdown(wait=True, cancel_futures=True)


def _first_few(planned: Sequence[BlobRef], start: int) -> list[BlobRef]:
    few, size = [planned[start]], planned[start].size
    for ref in planned[start + 1 : start + MOST_AHEAD]:
        size += ref.size
        if size > MOST_BYTES_AHEAD:
            break
        few.append(ref)
    return few


def _once(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a name occurs twice")
    return members


def _encode(arrays: Arrays, metadata: dict[str, str] | None) -> bytes:
    # safetensors writes the buffer as it lies, so a transposed view would be stored scrambled;
    # `ascontiguousarray` would turn a single number into a row of one.
    if "__metadata__" in arrays:
        raise InternalError("an array cannot be called __metadata__: safetensors keeps that name for itself")
    contiguous = {name: np.asarray(array, order="C") for name, array in arrays.items()}
    try:
        return save_arrays(contiguous, metadata)
    except SafetensorError as error:
        dtypes = ", ".join(f"{name}: {array.dtype}" for name, array in contiguous.items())
        raise InternalError(f"these arrays cannot be stored ({dtypes}): {error}") from error
