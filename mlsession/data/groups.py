"""Images that belong together, such as those of one patient, one video or one burst, and must not be divided; pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias

import numpy as np

from mlsession.errors import InvalidParameter
from mlsession.session.phase import Array

MATCH_ALL = "write one that matches every image"
MATCH_RECORDED = (
    f"{MATCH_ALL}; of a session that is there already it is fixed: rename or remove the image, go on with the images "
    "that are recorded (on_modified_data='ignore', --on-modified-data ignore), or train in a new session"
)
"""What can be done about an image that an expression misses: in general, and where it may have come to a session."""

Groups: TypeAlias = Mapping[str, str] | Callable[[str], str | None] | str
"""The group of an image by its key (its path below the source's folder, with "/"):

    a regular expression   with one group in parentheses, looked for anywhere in the key: "patient([0-9]+)_"
    a function             of the key
    a mapping              from keys

An image that has none (None, or a group of the expression that takes no part) is alone. A key that the expression does
not match, or that the mapping has not, is an error: it would be divided from others silently.
"""


def groups_of(keys: Iterable[str], groups: Groups, cure: str = MATCH_ALL) -> Array:
    """int64 [N]: for each key the first row of its group. Raises `InvalidParameter` with the key that has none.

    `cure` says what can be done about a key that an expression does not match.
    """
    group_of = _function(groups, cure)
    firsts: dict[str, int] = {}
    rows: list[int] = []
    for row, key in enumerate(keys):
        name = group_of(key)
        if not (name is None or isinstance(name, str)):
            raise InvalidParameter(
                "groups", name, f"is no group of {key!r}; a group is text, or None for an image alone"
            )
        rows.append(row if name is None else firsts.setdefault(name, row))
    return np.array(rows, dtype=np.int64)


def check_expression(groups: object) -> None:
    """Raises `InvalidParameter` unless `groups` is a regular expression with one group, which a session can store."""
    if not isinstance(groups, str):
        reason = (
            "must be a regular expression with one group in parentheses, which a session can remember; for a function "
            "or a mapping divide the data with stratified_split(groups=...) and give a part with Validation.data"
        )
        raise InvalidParameter("groups", groups, reason)
    _matching(groups, MATCH_ALL)


def joined(first: Array, second: Array | None) -> Array:
    """int64 [N]: for each row the first of those that either ties it to, also through others.

    Each gives for a row the first of those that it belongs with. By union-find (Galler and Fischer, 1964).
    """
    if second is None:
        return first
    above: list[int] = np.arange(len(first)).tolist()

    def root(row: int) -> int:
        while above[row] != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    for ties in (first.tolist(), second.tolist()):
        for row, other in enumerate(ties):
            one, two = sorted((root(row), root(other)))
            above[two] = one
    return np.array([root(row) for row in range(len(above))], dtype=np.int64)


def _function(groups: Groups, cure: str) -> Callable[[str], str | None]:
    if isinstance(groups, str):
        return _matching(groups, cure)
    if isinstance(groups, Mapping):
        given = groups

        def look_up(key: str) -> str | None:
            if key not in given:
                raise InvalidParameter("groups", key, "has no group in this mapping, whose keys are those of images")
            return given[key]

        return look_up
    if callable(groups):
        return groups
    raise InvalidParameter("groups", groups, "must be a regular expression, a mapping, or a function of the key")


def _matching(text: str, cure: str) -> Callable[[str], str | None]:
    try:
        expression = re.compile(text)
    except re.error as error:
        raise InvalidParameter("groups", text, f"is no regular expression: {error}") from error
    if expression.groups != 1:
        raise InvalidParameter(
            "groups", text, "must have one group in parentheses, which is what is compared, as in 'patient([0-9]+)_'"
        )

    def match(key: str) -> str | None:
        found = expression.search(key)
        if found is None:
            raise InvalidParameter("groups", text, f"does not match {key!r}; {cure}")
        return found[1]

    return match
