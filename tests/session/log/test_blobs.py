from __future__ import annotations

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from mlsession.errors import DamagedData, InternalError, StoreError
from mlsession.session.log.blobs import (
    decode_arrays,
    decode_state,
    encode_arrays,
    encode_state,
    read_blob,
    write_blob,
)
from mlsession.session.log.records import BlobRef
from mlsession.session.phase import Array, PhaseState
from mlsession.store.memory import MemoryStore
from tests.session.log.test_canonical import same
from tests.session.log.values import objects
from tests.session.stores import WrappedStore

DTYPES = ("bool", "i1", "u1", "<i2", "<u2", "<i4", "<u4", "<i8", "<u8", "<f2", "<f4", "<f8")

arrays = npst.arrays(
    dtype=st.sampled_from(DTYPES), shape=npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
)
named = st.dictionaries(st.text(alphabet="ab_.é", min_size=1, max_size=4), arrays, max_size=3)


def assert_same_array(one: Array, other: Array) -> None:
    assert (one.dtype, one.shape) == (other.dtype, other.shape)
    assert one.tobytes() == other.tobytes()


@given(named)
def test_arrays_round_trip(values: dict[str, Array]) -> None:
    back = decode_arrays(encode_arrays(values), "k")
    assert back.keys() == values.keys()
    for name in values:
        assert_same_array(back[name], values[name])


@settings(max_examples=50)
@given(named, objects)
def test_states_round_trip(values: dict[str, Array], data: dict[str, object]) -> None:
    back = decode_state(encode_state(PhaseState(values, data)), "k")  # type: ignore[arg-type]
    assert same(dict(back.data), data)
    for name in values:
        assert_same_array(back.arrays[name], values[name])


@pytest.mark.parametrize(
    "view",
    [
        lambda array: array.T,
        lambda array: array[::2],
        lambda array: array[:, ::-1],
        lambda array: array[1, 2],
        lambda array: np.broadcast_to(array[0], (3, *array[0].shape)),
        lambda array: np.asfortranarray(array),
        lambda array: array.astype(">f8"),
    ],
)
def test_views_are_stored_as_they_read(view: object) -> None:
    assert callable(view)
    array = np.asarray(view(np.arange(24, dtype=np.float64).reshape(4, 6)))
    back = decode_arrays(encode_arrays({"x": array}), "k")["x"]
    assert back.shape == array.shape
    assert np.array_equal(back, array)


def test_what_is_read_back_may_be_changed() -> None:
    back = decode_arrays(encode_arrays({"x": np.zeros(3)}), "k")["x"]
    back += 1
    assert back.tolist() == [1, 1, 1]


@pytest.mark.parametrize(
    "array", [np.array(["text"]), np.array([object()]), np.array(["2026"], dtype="M8[D]"), np.zeros(1, "V3")]
)
def test_types_that_cannot_be_stored_are_named(array: Array) -> None:
    with pytest.raises(InternalError, match=r"labels: "):
        encode_state(PhaseState({"labels": array}))


def test_every_flipped_byte_and_every_truncation_is_damage() -> None:
    store = MemoryStore()
    ref = write_blob(store, 1, 2, encode_state(PhaseState({"x": np.arange(3)}, {"y": 1})))
    good = store.get(ref.key)
    for at in range(len(good)):
        for damaged in (good[:at] + bytes([good[at] ^ 1]) + good[at + 1 :], good[:at], good[:at] + good[at + 1 :]):
            store.put(ref.key, damaged)
            with pytest.raises(DamagedData) as raised:
                read_blob(store, ref)
            assert raised.value.key == ref.key
    store.put(ref.key, good + b"\x00")
    with pytest.raises(DamagedData, match="bytes in place of"):
        read_blob(store, ref)
    store.put(ref.key, good)
    assert read_blob(store, ref) == good
    store.delete(ref.key)
    with pytest.raises(DamagedData, match="missing"):
        read_blob(store, ref)


class Canary:
    """Shows when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return pytest.fail, ("a pickle was loaded",)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\xff" * 8,
        b"\xff" * 64,
        pickle.dumps(Canary()),
        pickle.dumps(Canary(), protocol=0),
        (16).to_bytes(8, "little") + b'{"x":' + b" " * 11,
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_other_formats_are_damage(data: bytes) -> None:
    with pytest.raises(DamagedData, match="k is damaged"):
        decode_arrays(data, "k")
    with pytest.raises(DamagedData, match="k is damaged"):
        decode_state(data, "k")


def test_arrays_alone_are_no_state() -> None:
    with pytest.raises(DamagedData, match="state was expected"):
        decode_state(encode_arrays({"x": np.zeros(2)}), "k")


@settings(max_examples=200)
@given(st.binary(max_size=120), st.integers(0, 140))
def test_no_bytes_escape_as_another_error(noise: bytes, at: int) -> None:
    good = encode_state(PhaseState({"x": np.arange(3)}, {"y": 1}))
    hostile = good[:at] + noise + good[at + len(noise) :]
    try:
        decode_state(hostile, "k")
    except DamagedData:
        return


class LyingStore(WrappedStore):
    """Keeps something else than it is given."""

    def put(self, key: str, data: bytes) -> None:
        self.inner.put(key, data[:-1] + b"?")


def test_a_store_that_does_not_keep_what_it_is_given_is_an_error() -> None:
    with pytest.raises(StoreError, match="does not give back what it was given"):
        write_blob(LyingStore(MemoryStore()), 1, 2, b"content")


def test_a_blob_lies_under_its_hash() -> None:
    store = MemoryStore()
    ref = write_blob(store, 3, 14, b"content")
    assert ref.key == f"blobs/0000000003/0000000014-{ref.sha256}"
    assert (ref.size, read_blob(store, ref)) == (7, b"content")
    assert write_blob(store, 3, 14, b"content") == ref
    assert BlobRef.from_json(ref.to_json()) == ref
