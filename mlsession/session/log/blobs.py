"""Arrays and state as immutable, hashed bytes.

A blob of arrays is a safetensors file (https://github.com/huggingface/safetensors, format as of 0.4): nothing in it can
run code. The plain part of a `PhaseState` travels as canonical JSON in its metadata, under the single name "state".
"""

from __future__ import annotations

import json
import struct

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays

from mlsession.errors import DamagedData, InternalError, KeyMissing, StoreError
from mlsession.session.log.canonical import canonical_json, parse_object, sha256
from mlsession.session.log.layout import blob_key
from mlsession.session.log.records import BlobRef
from mlsession.session.phase import Array, Arrays, PhaseState
from mlsession.store.protocol import Store

_METADATA = "state"


def encode_state(state: PhaseState) -> bytes:
    """The stored form of a phase's state. Raises `InternalError` for a dtype that has none."""
    return _encode(state.arrays, {_METADATA: canonical_json(dict(state.data)).decode()})


def decode_state(data: bytes, key: str) -> PhaseState:
    """Reads a state back. Raises `DamagedData` naming `key`."""
    arrays = decode_arrays(data, key)
    length = struct.unpack("<Q", data[:8])[0]
    metadata = json.loads(data[8 : 8 + length]).get("__metadata__", {})
    text = metadata.get(_METADATA)
    if not isinstance(text, str):
        raise DamagedData(key, "a phase's state was expected")
    return PhaseState(arrays, parse_object(text.encode(), key))


def encode_arrays(arrays: Arrays) -> bytes:
    """The stored form of named arrays. Raises `InternalError` for a dtype that has none."""
    return _encode(arrays, None)


def decode_arrays(data: bytes, key: str) -> dict[str, Array]:
    """Reads arrays back. Raises `DamagedData` naming `key`."""
    try:
        return dict(load_arrays(data))
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise DamagedData(key, f"not the arrays that were written ({type(error).__name__})") from error


def write_blob(store: Store, opening: int, record: int, data: bytes) -> BlobRef:
    """Stores bytes under their own hash and reads them back.

    Raises `StoreError` if the store gives back anything else than what it was given.
    """
    digest = sha256(data)
    ref = BlobRef(key=blob_key(opening, record, digest), size=len(data), sha256=digest)
    store.put(ref.key, data)
    try:
        read_blob(store, ref)
    except DamagedData as damage:
        raise StoreError(f"{store.url} does not give back what it was given: {damage}", ref.key) from damage
    return ref


def read_blob(store: Store, ref: BlobRef) -> bytes:
    """The bytes that `ref` names, checked before anyone parses them. Raises `DamagedData`."""
    try:
        data = store.get(ref.key)
    except KeyMissing as error:
        raise DamagedData(ref.key, "it is missing") from error
    if len(data) != ref.size:
        raise DamagedData(ref.key, f"it has {len(data)} bytes in place of {ref.size}")
    if sha256(data) != ref.sha256:
        raise DamagedData(ref.key, "its hash differs from the one recorded")
    return data


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
