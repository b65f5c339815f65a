from __future__ import annotations

import pytest

from mlsession.session.checkpoint import checkpoint_of
from tests.session.test_standing import commit


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("/data/x.mlsession", "/data/x.mlsession/log/0000000012.json"),
        ("s3://bucket/sessions/x", "s3://bucket/sessions/x/log/0000000012.json"),
        ("memory://", "memory://log/0000000012.json"),
    ],
)
def test_a_checkpoint_has_the_address_of_its_record(url: str, expected: str) -> None:
    assert checkpoint_of(commit(12, "training"), url).url == expected


def test_a_checkpoint_says_what_its_entry_says() -> None:
    checkpoint = checkpoint_of(commit(12, "training"), "/x")
    assert checkpoint.to_json() == {
        "number": 12,
        "phase": "training",
        "iteration": 1,
        "date": "2026-01-01T00:00:00+00:00",
        "metrics": {},
        "url": "/x/log/0000000012.json",
    }
