"""Any bytes of a session changed, cut, swapped or doubled: each use gives what it must, or one of our errors.

The hashes do the work; what is looked for here is what gets by before they are compared, or after.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import mlsession as ml
from mlsession.errors import MLSessionError
from mlsession.session.parameters import SessionParameters
from mlsession.session.session import TrainingSession
from mlsession.session.watching.tail import SessionTail
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.walk import Walk
from tests.fixtures.test_sessions import RELEASES, expected, unpacked
from tests.session.attempts import attempt_on, unbroken

STEPS = 5

Mutation = Callable[[bytes], bytes]
numbers = st.integers(0, 2**16)


@st.composite
def mutations(draw: st.DrawFn) -> Mutation:
    """One way to damage some bytes."""
    at, other, noise = draw(numbers), draw(numbers), draw(st.binary(min_size=1, max_size=12))
    how = draw(st.sampled_from(["flip", "overwrite", "cut", "drop", "insert", "double", "move", "empty"]))

    def mutate(data: bytes) -> bytes:
        place, length = at % max(len(data), 1), other % 64
        match how:
            case "flip":
                return data[:place] + bytes([data[place] ^ (1 + other % 255)]) + data[place + 1 :] if data else b"x"
            case "overwrite":
                return data[:place] + noise + data[place + len(noise) :]
            case "cut":
                return data[:place]
            case "drop":
                return data[:place] + data[place + 1 + length :]
            case "insert":
                return data[:place] + noise + data[place:]
            case "double":
                return data + data[place:]
            case "move":
                return data[place:] + data[:place]
            case _:
                return b""

    return mutate


@pytest.fixture(scope="module")
def walked() -> dict[str, bytes]:
    """The keys of a finished session, without signs of life, which are none of its state."""
    space = MemorySpace()
    attempt_on(space).walk(Walk(limit=STEPS))
    store = MemoryStore(space)
    return {entry.key: store.get(entry.key) for entry in store.list() if entry.key.startswith(("log/", "blobs/"))}


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_session_reads_verifies_and_goes_on_or_says_why_not(walked: dict[str, bytes], data: st.DataObject) -> None:
    space = MemorySpace()
    store = MemoryStore(space)
    for key, value in walked.items():
        store.put(key, value)
    for _ in range(data.draw(st.integers(1, 2))):
        key = data.draw(st.sampled_from(sorted(walked)))
        if data.draw(st.booleans()):
            store.put(key, data.draw(mutations())(walked[key]))
        else:
            store.put(key, walked[data.draw(st.sampled_from(sorted(walked)))])
    changed = sorted(key for key in walked if store.get(key) != walked[key])
    with suppress(MLSessionError), TrainingSession(lambda: MemoryStore(space), SessionParameters()) as session:
        found = {problem.key for problem in session.verify(deep=True).problems}
        assert found <= {*changed}, "what is whole is not called damaged"
        assert found or not changed, "what is damaged is named"
    with suppress(MLSessionError):
        SessionTail(MemoryStore(space), lambda event: None).read_records()
    for limit in (STEPS, STEPS + 2):
        with suppress(MLSessionError):
            assert attempt_on(space).walk(Walk(limit=limit)) == unbroken(Walk(limit=limit))


@contextmanager
def damaged(path: Path, mutate: Mutation) -> Iterator[bool]:
    """A file that is another one for a while; whether it is."""
    before = path.read_bytes()
    after = mutate(before)
    path.write_bytes(after)
    try:
        yield after != before
    finally:
        path.write_bytes(before)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked(RELEASES[-1], "image", tmp_path_factory.mktemp("fuzz"))


@settings(max_examples=80)
@given(data=st.data())
def test_a_classifier_comes_back_whole_or_not_at_all(image: Path, data: st.DataObject) -> None:
    digest = expected(RELEASES[-1])["image"]["model_digest"]
    files = sorted(path for path in image.rglob("*") if path.is_file() and path.parent.name != "heartbeat")
    path = data.draw(st.sampled_from(files))
    with damaged(path, data.draw(mutations())):
        for place in (f"{image}/log/0000000003.json", str(image)):
            with suppress(MLSessionError):
                assert ml.Classifier.load(place).model_digest == digest


@settings(max_examples=60)
@given(data=st.data())
def test_a_saved_model_is_read_or_refused(image: Path, data: st.DataObject) -> None:
    """By the hash that it has of itself: what is read is the model that was written."""
    from mlsession.classifier.format import decode_model, encode_model

    model = ml.Classifier.load(str(image))._predictor.model
    whole = encode_model(model, {"author": "somebody"})
    changed = data.draw(mutations())(whole)
    with suppress(MLSessionError):
        again = decode_model(changed, "model")
        assert (again.labels, again.digest) == (model.labels, model.digest)
