"""Files from somebody who means harm, in place of models, weights, features and indexes: refused, and nothing runs."""

from __future__ import annotations

import io
import json
import os
import pickle
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from mlsession.classifier.format import decode_model
from mlsession.data.index import ImageIndex
from mlsession.data.rows import parse_rows
from mlsession.errors import DamagedData, InvalidParameter, MLSessionError, UnusableData
from mlsession.extractors.weights import read_tensors
from mlsession.images.decode import prepare_image
from mlsession.phases.cache import FeatureCache, cache_folder
from mlsession.session.log.blobs import decode_arrays, decode_state, encode_arrays, encode_state
from mlsession.session.log.canonical import canonical_json, sha256
from mlsession.session.phase import Json, PhaseState
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.training.images.inputs import decode_sides
from tests.classifier.heads import LABELS, logistic, model


class Payload:
    """Makes a file as soon as it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self._path),)


@pytest.fixture
def trap(tmp_path: Path) -> Path:
    """What exists once some pickle has been loaded: shown to work, and set."""
    path = tmp_path / "pwned"
    pickle.loads(pickle.dumps(Payload(path)))  # noqa: S301  # To see that it is a trap.
    assert path.is_dir()
    path.rmdir()
    return path


def torch_file(value: object) -> bytes:
    import torch

    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def pickles(trap: Path) -> dict[str, bytes]:
    """The same trap in each wrapping that some loader unpickles."""
    numpy_file, numpy_archive = io.BytesIO(), io.BytesIO()
    np.save(numpy_file, np.array([Payload(trap)], dtype=object), allow_pickle=True)
    np.savez(numpy_archive, x=np.array([Payload(trap)], dtype=object))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as packed:
        packed.writestr("archive/data.pkl", pickle.dumps(Payload(trap), protocol=2))
        packed.writestr("archive/version", "3\n")
    return {
        "newest": pickle.dumps(Payload(trap)),
        "text": pickle.dumps(Payload(trap), protocol=0),
        "torch": torch_file(Payload(trap)),
        "torch, in a state": torch_file({"state_dict": {"weight": Payload(trap)}}),
        "torch, by hand": archive.getvalue(),
        "numpy": numpy_file.getvalue(),
        "numpy, many": numpy_archive.getvalue(),
        "after a header": packed_arrays({}, pickle.dumps(Payload(trap))),
        "as metadata": packed_arrays({"__metadata__": {"state": pickle.dumps(Payload(trap), protocol=0).decode()}}),
    }


def packed_arrays(header: object, body: bytes = b"", length: int | None = None) -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + body


CACHE_FOLDER = cache_folder("x", {})


def cached(data: bytes) -> None:
    """Has a feature cache read a pack; whatever it holds, it is no reason to fail."""
    space = MemorySpace()
    MemoryStore(space).put(f"{CACHE_FOLDER}/{sha256(data)}", data)
    failures: list[str] = []
    cache = FeatureCache(lambda: MemoryStore(space), CACHE_FOLDER, failures.append)
    for digest in (bytes(32), b"\x01" * 32):
        cache.contains(digest)
        found = cache.get(digest)
        assert found is None or (found.dtype == np.float16 and found.ndim == 1)
    cache.close()
    assert failures == []


LOADERS: Mapping[str, Callable[[bytes], object]] = {
    "arrays": lambda data: decode_arrays(data, "k"),
    "state": lambda data: decode_state(data, "k"),
    "model": lambda data: decode_model(data, "k"),
    "sides": decode_sides,
    "index": ImageIndex.from_bytes,
    "safetensors weights": lambda data: read_tensors(data, "k.safetensors"),
    "other weights": lambda data: read_tensors(data, "k.pth"),
    "manifest": lambda data: parse_rows(data, "k"),
    "cache": cached,
    "image": lambda data: prepare_image(data, "k", 8),
}


@pytest.mark.parametrize("loader", sorted(LOADERS))
def test_no_pickle_is_ever_loaded(loader: str, trap: Path) -> None:
    refused = set()
    for name, data in pickles(trap).items():
        try:
            LOADERS[loader](data)
        except MLSessionError:
            refused.add(name)
        assert not trap.exists(), name
    # A cache is none at all then; and what is whole but for a text in its metadata is whole.
    assert loader == "cache" or pickles(trap).keys() - refused <= {"as metadata"}


def test_an_arrow_index_with_a_pickled_type_builds_nothing(trap: Path) -> None:
    """Arrow files could once carry types as pickles, which loading them ran (CVE-2023-47248)."""
    about = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": pickle.dumps(Payload(trap))}
    kinds: dict[str, Any] = {"key": pa.string(), "label": pa.int32(), "size": pa.int64(), "version": pa.string()}
    fields = [pa.field(name, kind, metadata=about) for name, kind in kinds.items()]
    schema = pa.schema(fields, metadata={"classes": '["a"]', "ignored": "0"})
    values: list[Any] = ["a/1", 0, 1, "v"]
    columns: list[Any] = [pa.array([value], kind) for value, kind in zip(values, kinds.values(), strict=True)]
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, schema) as writer:
        writer.write_batch(pa.record_batch(columns, schema=schema))
    try:
        ImageIndex.from_bytes(sink.getvalue())
    except MLSessionError:
        pass
    assert not trap.exists()


def _tensor(dtype: str = "F32", shape: object = (2,), offsets: object = (0, 8)) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


LIES: Mapping[str, bytes] = {
    "no header": b"",
    "a short length": b"\x01\x02",
    "length beyond the file": packed_arrays({"x": _tensor()}, bytes(8), length=10_000),
    "length 2^63": packed_arrays({"x": _tensor()}, bytes(8), length=2**63),
    "length 2^64 - 1": packed_arrays({"x": _tensor()}, bytes(8), length=2**64 - 1),
    "length 100 MB": packed_arrays({"x": _tensor()}, bytes(8), length=100_000_001),
    "offsets beyond the file": packed_arrays({"x": _tensor(shape=[200], offsets=[0, 800])}, bytes(8)),
    "offsets 2^63": packed_arrays({"x": _tensor(offsets=[2**63, 2**63 + 8])}, bytes(8)),
    "negative offsets": packed_arrays({"x": _tensor(offsets=[-8, 0])}, bytes(8)),
    "offsets the wrong way round": packed_arrays({"x": _tensor(offsets=[8, 0])}, bytes(8)),
    "fractional offsets": packed_arrays({"x": _tensor(offsets=[0.0, 8.0])}, bytes(8)),
    "overlapping": packed_arrays({"x": _tensor(), "y": _tensor(offsets=[4, 12])}, bytes(12)),
    "the same bytes twice": packed_arrays({"x": _tensor(), "y": _tensor()}, bytes(8)),
    "a hole": packed_arrays({"x": _tensor(), "y": _tensor(offsets=[16, 24])}, bytes(24)),
    "more bytes than arrays": packed_arrays({"x": _tensor()}, bytes(80)),
    "a shape of another size": packed_arrays({"x": _tensor(shape=[3])}, bytes(8)),
    "a shape of 2^62": packed_arrays({"x": _tensor(shape=[2**62, 2**62])}, bytes(8)),
    "a shape of 2^62 and none": packed_arrays({"x": _tensor(shape=[2**62, 0, 2**62], offsets=[0, 0])}),
    "a negative shape": packed_arrays({"x": _tensor(shape=[-2])}, bytes(8)),
    "a shape that is a text": packed_arrays({"x": _tensor(shape="2")}, bytes(8)),
    "an unknown type": packed_arrays({"x": _tensor(dtype="OBJECT")}, bytes(8)),
    "a name twice": packed_arrays(
        b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "metadata twice": packed_arrays(
        b'{"__metadata__":{"state":"{}"},"__metadata__":{"state":"{\\"a\\":1}"},'
        b'"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}',
        bytes(8),
    ),
    "a text twice": packed_arrays(b'{"__metadata__":{"state":"{}","state":"{\\"a\\":1}"}}'),
    "metadata that are no texts": packed_arrays({"__metadata__": {"state": 1}}),
    "metadata that are a list": packed_arrays({"__metadata__": ["state"]}),
    "a list": packed_arrays([]),
    "a number": packed_arrays(1),
    "deep nesting": packed_arrays(b"[" * 100_000),
    "deep nesting that ends": packed_arrays(b'{"a":' * 50_000 + b"1" + b"}" * 50_000),
    "not a number": packed_arrays(b'{"x":{"dtype":"F32","shape":[NaN],"data_offsets":[0,Infinity]}}', bytes(8)),
    "no text": packed_arrays(b"\xff" * 30),
}


@pytest.mark.parametrize("lie", sorted(LIES))
@pytest.mark.parametrize("loader", ["arrays", "state", "model", "sides", "safetensors weights", "cache"])
def test_a_lying_header_is_refused(loader: str, lie: str) -> None:
    if loader == "cache":
        cached(LIES[lie])
        return
    with suppress(MLSessionError):
        LOADERS[loader](b"")  # What it imports is not what a file makes it hold.
    tracemalloc.start()
    try:
        LOADERS[loader](LIES[lie])
        # Weights are read by the format's own library, which takes the last of two, and lets nothing be of any shape.
        assert loader == "safetensors weights"
        assert "twice" in lie or lie == "a shape of 2^62 and none"
    except (DamagedData, InvalidParameter):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 50_000_000


@settings(max_examples=150)
@given(st.data())
def test_any_changed_byte_of_a_safetensors_file_is_read_or_refused(data: st.DataObject) -> None:
    good = encode_state(PhaseState({"x": np.arange(3), "y": np.ones((2, 2), dtype=np.float32)}, {"a": [1, "b"]}))
    at = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[at] ^= data.draw(st.integers(1, 255))
    for loader in ("arrays", "state", "model", "sides", "cache", "safetensors weights"):
        try:
            LOADERS[loader](bytes(bad))
        except MLSessionError:
            pass


def test_a_saved_classifier_with_other_tensors_is_refused() -> None:
    head, about = logistic(), model(logistic()).feature_extractor
    weight, bias = head.tensors()["weight"], head.tensors()["bias"]
    members: dict[str, Json] = {
        "format": 1,
        "labels": list(LABELS),
        "head": "logistic_regressor",
        "feature_extractor": dict(about.to_json()),
        "extractor_identity": about.identity,
        "precision": "auto",
        "metadata": {},
    }

    def written(tensors: Mapping[str, Any], **changes: Json) -> bytes:
        return save(dict(tensors), {"mlsession": canonical_json({**members, **changes}).decode()})

    assert decode_model(written(head.tensors()), "k").labels == LABELS
    for other in (
        {"weight": weight.astype(np.float64), "bias": bias},
        {"weight": weight.astype(np.int32), "bias": bias},
        {"weight": weight, "bias": bias[:1]},
        {"weight": weight[:, :5], "bias": bias},
        {"weight": weight[None], "bias": bias},
        {"weight": weight, "bias": np.array(1, dtype=np.float32)},
        {"weight": np.full_like(weight, np.nan), "bias": bias},
        {"weight": np.full_like(weight, np.inf), "bias": bias},
        {"weight": weight[:0], "bias": bias[:0]},
        {"weight": weight},
        {},
    ):
        with pytest.raises(DamagedData):
            decode_model(written(other), "k")
    hostile: tuple[dict[str, Json], ...] = (
        {"labels": [1, 2, 3]},
        {"labels": ["a", None, "c"]},
        {"labels": ["a", "a", "c"]},
        {"labels": [["a"], "b", "c"]},
        {"labels": {"0": "a"}},
        {"labels": "abc"},
        {"head": ["logistic_regressor"]},
        {"feature_extractor": {"kind": "scene_print", "revision": 10**30}},
        {"feature_extractor": {"kind": "scene_print", "revision": True}},
        {"feature_extractor": {"kind": "timm", "network": "../../etc", "weights": "x", "num_features": 1}},
        {"feature_extractor": {"kind": "__import__"}},
        {"format": 2.0},
        {"format": -1},
        {"extractor_identity": None},
    )
    for changes in hostile:
        with pytest.raises(MLSessionError):
            decode_model(written(head.tensors(), **changes), "k")


def _index(**changes: Any) -> bytes:
    columns = {
        "key": pa.array(["a/1", "b/1"]),
        "label": pa.array([0, 1], pa.int32()),
        "size": pa.array([1, 1], pa.int64()),
        "version": pa.array(["v", "v"]),
        **{name: value for name, value in changes.items() if name not in ("classes", "ignored")},
    }
    about = {"classes": changes.get("classes", '["a","b"]'), "ignored": changes.get("ignored", "0")}
    table = pa.table({name: value for name, value in columns.items() if value is not None})
    table = table.replace_schema_metadata({name: text for name, text in about.items() if text is not None})
    sink = io.BytesIO()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return sink.getvalue()


@pytest.mark.parametrize(
    "changes",
    [
        {"key": None},
        {"key": pa.array(["b/1", "a/1"])},
        {"key": pa.array(["a/1", "a/1"])},
        {"key": pa.array(["a/1", None])},
        {"key": pa.array([b"a/1", b"b/1"])},
        {"key": pa.array([1, 2])},
        {"label": pa.array([0, 7], pa.int32())},
        {"label": pa.array([0, -1], pa.int32())},
        {"label": pa.array([0, None], pa.int32())},
        {"label": pa.array([0, 1], pa.int64())},
        {"label": pa.array([[0], [1]])},
        {"size": pa.array([1.5, 2.5])},
        {"version": pa.array([1, 2])},
        {"classes": None},
        {"classes": "[1,2]"},
        {"classes": '["a"]'},
        {"classes": '["b","a"]'},
        {"classes": '["a","a"]'},
        {"classes": '{"a":1,"b":2}'},
        {"classes": '["a","\\ud800"]'},
        {"classes": "[" * 100_000},
        {"ignored": "x"},
        {"ignored": "9" * 5_000},
    ],
    ids=lambda changes: "-".join(changes),
)
def test_an_index_that_is_none_is_refused(changes: dict[str, Any]) -> None:
    assert len(ImageIndex.from_bytes(_index())) == 2
    with pytest.raises(DamagedData):
        ImageIndex.from_bytes(_index(**changes))


@pytest.mark.parametrize("offset", [7, 100, 2**20, 2**31 - 1, 2**32 - 1])
def test_a_text_of_an_index_cannot_lie_outside_of_it(offset: int) -> None:
    """Arrow follows the offsets of texts as they are: what they lead to would be read, or end the process."""
    good, offsets = _index(), struct.pack("<3I", 0, 3, 6)
    assert offsets in good
    with pytest.raises(DamagedData):
        ImageIndex.from_bytes(good.replace(offsets, struct.pack("<3I", 0, 3, offset), 1))


@settings(max_examples=150)
@given(st.data())
def test_any_changed_byte_of_an_index_is_read_or_refused(data: st.DataObject) -> None:
    good = _index()
    bad = bytearray(good)
    for _ in range(data.draw(st.integers(1, 3))):
        bad[data.draw(st.integers(0, len(good) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        ImageIndex.from_bytes(bytes(bad))
    except DamagedData:
        pass


def test_a_pack_of_the_cache_cannot_give_rows_of_another_form() -> None:
    digest = np.zeros((1, 32), dtype=np.uint8)
    for features in (
        np.ones((1, 3), dtype=np.float64),
        np.ones(3, dtype=np.float32),
        np.ones((2, 3), dtype=np.float32),
        np.ones((0, 3), dtype=np.float32),
        np.ones((1, 2, 3), dtype=np.float32),
    ):
        cached(encode_arrays({"digest": digest, "features": features}))
    cached(encode_arrays({"digest": digest}))
    for offsets in ([0, 2**62], [-32, 0], [32, 0], ["0", "32"], [0, 32, 64], [], None, [0, 1e300]):
        cached(packed_arrays({"digest": {"dtype": "U8", "shape": [1, 32], "data_offsets": offsets}}, bytes(32)))
    for header in (b"[" * 4_000, b"1", b"[]", b'{"digest":[]}', b'{"digest":1}', b"\xff" * 50):
        cached(packed_arrays(header, bytes(64)))


@pytest.mark.parametrize(
    "text",
    [
        b"\xff\xfe",
        b"",
        b"path,label\n" + b'"' * 99_999,
        b"path,label\na,b\x00\n",
        b"path,label\n" + b"x" * 200_000 + b",a\n",
        b"path,label\n../../etc/passwd\n",
        b"path,label,path\na,b,c\n",
        b"=cmd|' /C calc'!A0,label\n",
    ],
    ids=lambda text: repr(text[:30]),
)
def test_a_manifest_that_is_none_is_refused(text: bytes) -> None:
    with pytest.raises(UnusableData):
        parse_rows(text, "k")
