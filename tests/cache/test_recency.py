"""Which packs go first: by generations that nobody's clock has a part in."""

from __future__ import annotations

import itertools

from mlsession.cache.recency import encode_mark, fold, generation_of, marked, next_generation, victims

SIZES = {f"features/{folder}/{name}": 10 for folder in "ab" for name in "123"}


def mark(generation: int, *names: str) -> tuple[str, bytes]:
    return encode_mark(marked([f"features/{name}" for name in names], generation))


def test_marks_say_the_same_in_any_order_and_folded_or_not() -> None:
    marks = [mark(1, "a/1", "a/2"), mark(2, "a/2", "b/1"), mark(2, "a/3"), mark(7, "a/1")]
    expected = {"a/1": 7, "a/2": 2, "a/3": 2, "b/1": 2}
    for order in itertools.permutations(marks):
        assert fold(dict(order)) == expected
    together = encode_mark(fold(dict(marks[:3])))
    assert fold(dict([together, marks[3]])) == fold(dict([together, *marks])) == expected
    assert next_generation([key for key, _ in marks]) == 8
    assert next_generation([]) == 1


def test_what_is_no_mark_says_nothing() -> None:
    key, data = mark(3, "a/1")
    assert fold({key: data[:-1], "features/used/x": b"{}", f"{key}0": b'{"a/1":-1}', "y": b"[]"}) == {}
    assert fold({key: b'{"a/1":99}'}) == {"a/1": 3}, "no mark says more than its name"
    assert generation_of("features/used/notes") == 0
    assert next_generation([f"features/used/{'9' * 30}-0"]) < 10**10


def test_the_oldest_go_until_the_rest_fits() -> None:
    uses = {"a/1": 5, "a/2": 1, "a/3": 3, "b/1": 1, "b/2": 4, "b/3": 9}
    chosen = [victims(SIZES, uses, limit, (), "features/a") for limit in (60, 50, 41, 0)]
    order = ["b/1", "a/2", "a/3", "b/2", "a/1", "b/3"]
    assert chosen[0] == []
    assert chosen[1] == ["features/b/1"]
    assert chosen[2] == ["features/b/1", "features/a/2"]
    assert chosen[3] == [f"features/{name}" for name in order]
    assert victims(SIZES, uses, 0, {"features/b/1"}, "features/a") == [f"features/{name}" for name in order[1:]]


def test_packs_that_nobody_has_marked_are_the_newest() -> None:
    assert victims(SIZES, {"a/1": 5, "b/2": 6}, 40, (), "features/a") == ["features/a/1", "features/b/2"]
