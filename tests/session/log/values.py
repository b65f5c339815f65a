"""Random values of the log, for properties."""

from __future__ import annotations

from hypothesis import strategies as st

from mlsession.session.log.canonical import sha256
from mlsession.session.log.layout import blob_key
from mlsession.session.log.records import BlobRef, CheckpointEntry, JsonObject, Kind, Record
from mlsession.session.phase import Json

DATE = "2026-01-01T00:00:00+00:00"

keys = st.text(max_size=8).filter(lambda key: not key.startswith("$"))
scalars: st.SearchStrategy[Json] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=10**300, max_value=10**310),
    st.floats(),
    st.text(max_size=8),
)
values: st.SearchStrategy[Json] = st.recursive(
    scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(keys, inner, max_size=3)),
    max_leaves=8,
)
objects: st.SearchStrategy[JsonObject] = st.dictionaries(keys, values, max_size=4)
numbers = st.integers(min_value=0, max_value=9_999_999_999)


def blob(opening: int, record: int, content: str) -> BlobRef:
    """The name of a blob that was never written."""
    digest = sha256(content.encode())
    return BlobRef(key=blob_key(opening, record, digest), size=len(content), sha256=digest)


blobs = st.builds(blob, numbers, numbers, st.text(max_size=8))
entries = st.builds(
    CheckpointEntry,
    number=numbers,
    parent=numbers,
    phase=st.sampled_from(["extracting", "training"]),
    iteration=numbers,
    item_count=numbers,
    date=st.just(DATE),
    metrics=st.dictionaries(keys, st.floats(), max_size=3),
    state=blobs,
    adds=st.lists(blobs, max_size=2).map(tuple),
    fresh=st.booleans(),
    ended=st.booleans(),
    inputs=st.text(max_size=4),
    run=numbers,
)
records = st.builds(
    Record,
    number=numbers,
    kind=st.sampled_from(Kind),
    parent=st.none() | numbers,
    previous=st.text(max_size=8),
    opening=numbers,
    writer=st.text(max_size=8),
    date=st.just(DATE),
    index=st.none() | blobs,
    body=objects,
)
