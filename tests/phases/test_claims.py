"""A row that several workers find missing is made by one of them, and nobody waits for ever."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mlsession.phases.claims import Claims, Row

ROW = np.arange(4, dtype=np.float16)


@pytest.fixture
def claims() -> Claims:
    """Whose key `a` was taken by somebody."""
    made = Claims()
    assert made.take([b"a"])[0] == {b"a"}
    return made


def waited_for(row: Row) -> ThreadPoolExecutor:
    """A thread that has begun to wait for a row."""
    pool = ThreadPoolExecutor(1)
    pool.submit(row.result)
    return pool


def test_a_key_is_taken_once_and_its_row_goes_to_all_who_wait(claims: Claims) -> None:
    mine, rows = claims.take([b"a", b"b"])
    assert mine == {b"b"}
    with waited_for(rows[b"a"]):
        claims.settle(b"a", ROW)
    assert rows[b"a"].result() is ROW
    claims.give_up([b"a"])
    assert rows[b"a"].result() is ROW


def test_a_key_given_up_ends_the_waiting_and_may_be_taken_again(claims: Claims) -> None:
    _, rows = claims.take([b"a"])
    with waited_for(rows[b"a"]):
        claims.give_up([b"a"])
    assert rows[b"a"].result() is None
    assert claims.take([b"a"])[0] == {b"a"}


def test_a_settled_key_is_not_made_again_until_it_is_forgotten(claims: Claims) -> None:
    claims.settle(b"a", ROW)
    assert claims.take([b"a"])[0] == set()
    claims.forget(b"a")
    assert claims.take([b"a"])[0] == {b"a"}


def test_a_key_in_the_making_is_not_forgotten(claims: Claims) -> None:
    """Those who wait for it would do so for ever."""
    claims.forget(b"a")
    assert claims.take([b"a"])[0] == set()
