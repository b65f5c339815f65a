"""Numbers by digest against a dictionary."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.data.digests import DigestMap

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
    assert [made.get(key) for key in others] == [expected.get(key) for key in others]
    assert dict(DigestMap(table, np.arange(len(keys)) * 10)) == {key: place * 10 for key, place in expected.items()}


def test_what_is_no_digest_is_not_in_it() -> None:
    made = DigestMap(np.zeros((1, 32), dtype=np.uint8))
    assert bytes(32) in made
    with pytest.raises(KeyError):
        made[bytes(31)]
