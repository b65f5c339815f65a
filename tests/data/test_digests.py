"""Numbers by digest against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.data.digests import DigestMap
from mlsession.randomness import keyed_generator

# Many that begin alike: only the whole digest may tell.
digests = st.tuples(st.sampled_from([b"\0" * 8, b"\xff" * 8, b"12345678"]), st.binary(min_size=24, max_size=24)).map(
    b"".join
)


@settings(max_examples=200, deadline=None)
@given(st.lists(digests, max_size=12), st.lists(digests, max_size=3))
def test_it_is_a_mapping(keys: list[bytes], others: list[bytes]) -> None:
    expected = dict(reversed([(key, place) for place, key in enumerate(keys)]))
    table = np.frombuffer(b"".join(keys), dtype=np.uint8).reshape(-1, 32)
    made = DigestMap(table)
    assert dict(made) == expected
    assert (len(made), list(made)) == (len(expected), sorted(expected))
    asked = [*others, *keys]
    assert [made.get(key) for key in asked] == [expected.get(key) for key in asked]
    known, numbers = made.look_up(np.frombuffer(b"".join(asked), dtype=np.uint8).reshape(-1, 32))
    assert known.tolist() == [key in expected for key in asked]
    assert numbers.tolist() == [expected.get(key, 0) for key in asked]
    assert made.digests.tobytes() == b"".join(sorted(expected))
    assert made.numbers.tolist() == [expected[key] for key in sorted(expected)]
    assert dict(DigestMap(table, np.arange(len(keys)) * 10)) == {key: place * 10 for key, place in expected.items()}


def test_many_are_looked_up_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlsession.data.digests._AT_ONCE", 7)
    table = keyed_generator(0, "digests").integers(0, 256, (50, 32), dtype=np.uint8)
    known, numbers = DigestMap(table[::2], np.arange(25)).look_up(table)
    assert known.tolist() == [True, False] * 25
    assert numbers[::2].tolist() == list(range(25))


def test_what_is_no_digest_is_not_in_it() -> None:
    made = DigestMap(np.zeros((1, 32), dtype=np.uint8))
    assert bytes(32) in made
    with pytest.raises(KeyError):
        made[bytes(31)]
