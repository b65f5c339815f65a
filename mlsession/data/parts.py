"""The division of images into parts, such as train and test, with a proportion of each label in each; pure."""

from __future__ import annotations

import hashlib
import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from mlsession.data.groups import Groups, groups_of, joined
from mlsession.data.index import ImageIndex
from mlsession.errors import InvalidParameter
from mlsession.randomness import key_digest, keyed_generator
from mlsession.session.phase import Array

_EXACT = 1e-9
"""Shares such as 0.1 * 30 come out a hair beside the whole number that they are."""


def check_proportions(proportions: Sequence[float]) -> None:
    """Raises `InvalidParameter` unless they lie in [0, 1] and sum to at most 1, not all of them 0."""
    values = list(proportions)
    if any(isinstance(value, bool) or not isinstance(value, int | float | np.floating) for value in values):
        raise InvalidParameter("proportions", values, "must be numbers between 0 and 1")
    if not all(0 <= value <= 1 for value in values):
        raise InvalidParameter("proportions", values, "must lie between 0 and 1, such as 0.8 and 0.2")
    if not 0 < math.fsum(values) <= 1 + _EXACT:
        raise InvalidParameter("proportions", values, "must sum to at most 1, and not to 0")


def part_of_images(
    index: ImageIndex,
    proportions: Sequence[float],
    seed: int,
    groups: Groups | None,
    copies: Array | None,
    fullest: int | None = None,
) -> Array:
    """int64 [N]: as `part_of_rows`, or with `groups` as `part_of_groups`, copies being of one group.

    Raises `InvalidParameter`, also for a key that is in no group.
    """
    if groups is None:
        return part_of_rows(index, proportions, seed, copies=copies, fullest=fullest)
    return part_of_groups(index, proportions, seed, joined(groups_of(index.keys, groups), copies), fullest)


def part_of_rows(
    index: ImageIndex,
    proportions: Sequence[float],
    seed: int,
    *,
    copies: Array | None = None,
    fullest: int | None = None,
) -> Array:
    """int64 [N]: the place of the part that each row is in, from 0; -1 for those in none.

    How many of each label: `part_counts`. Which: rows are put in an order that is a pure function of (seed, key), and
    each goes to the first part that has room for it, the `fullest` part taking what is left. Rows that `copies` says
    are the same file (int64 [N], the first of them; see `copies_of`) go together, in the order of the first one, to a
    part with room in the labels of all of them. So the fullest part may have more of a label than its count, and no
    other part has. Raises `InvalidParameter`.
    """
    check_proportions(proportions)
    last = fullest_part(proportions) if fullest is None else fullest
    room = part_counts(index.class_counts, proportions, seed, last).tolist()
    others = [place for place in range(len(proportions) + 1) if place != last]
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for row, first in enumerate(range(len(index)) if copies is None else copies.tolist()):
        groups[first].append(row)
    salt, labels = key_digest(seed, "parts"), index.labels.tolist()
    parts = np.full(len(index), last, dtype=np.int64)
    for first in sorted(groups, key=lambda row: hashlib.sha256(salt + index.keys[row].encode()).digest()):
        amounts = Counter(labels[row] for row in groups[first])
        for place in others:
            if all(room[label][place] >= amount for label, amount in amounts.items()):
                for label, amount in amounts.items():
                    room[label][place] -= amount
                parts[groups[first]] = place if place < len(proportions) else -1
                break
    return parts


def part_of_groups(
    index: ImageIndex, proportions: Sequence[float], seed: int, ties: Array, fullest: int | None = None
) -> Array:
    """int64 [N]: like `part_of_rows`, where rows that `ties` says belong together (int64 [N], the first of them) go to
    one part, however many they are.

    Groups come in an order that is a pure function of (seed, key of their first row), large ones before small ones by
    powers of two. Each goes where most room is left: of its label where it has one; else, first of all, where the sum
    of rooms times its images of each label is the largest. So where every group has one label, a part has of a label
    less than one group (its largest) too many, and of P parts, the rest being one, less than P - 1 times that too few.
    The fullest part gets something of every label. Raises `InvalidParameter`.
    """
    check_proportions(proportions)
    last = fullest_part(proportions) if fullest is None else fullest
    room = part_counts(index.class_counts, proportions, seed, last)
    taking = [place for place in range(len(proportions) + 1) if room[:, place].any()]
    taking.sort(key=lambda place: place != last)  # Of equals the fullest.
    rows_of: defaultdict[int, list[int]] = defaultdict(list)
    for row, first in enumerate(ties.tolist()):
        rows_of[first].append(row)
    salt = key_digest(seed, "groups")
    labels: list[int] = index.labels.tolist()
    amounts = {first: Counter(labels[row] for row in rows) for first, rows in rows_of.items()}

    def order(first: int) -> tuple[bool, int, bytes]:
        is_of_one = len(amounts[first]) == 1
        return is_of_one, -len(rows_of[first]).bit_length(), hashlib.sha256(salt + index.keys[first].encode()).digest()

    part_of = dict[int, int]()
    for first in sorted(rows_of, key=order):
        of_labels, counts = list(amounts[first]), np.array(list(amounts[first].values()))
        part = taking[int((counts @ room[np.ix_(of_labels, taking)]).argmax())]
        room[of_labels, part] -= counts
        part_of[first] = part
    _give_every_label(part_of, amounts, last)
    parts = np.empty(len(index), dtype=np.int64)
    for first, rows in rows_of.items():
        parts[rows] = part_of[first] if part_of[first] < len(proportions) else -1
    return parts


def _give_every_label(part_of: dict[int, int], amounts: Mapping[int, Counter[int]], fullest: int) -> None:
    """Moves the smallest group of each label that the fullest part has nothing of there."""
    held = {label for first, part in part_of.items() if part == fullest for label in amounts[first]}
    smallest: dict[int, int] = {}
    for first in sorted(amounts, key=lambda first: (amounts[first].total(), first)):
        for label in amounts[first]:
            smallest.setdefault(label, first)
    for label, first in sorted(smallest.items()):
        if label not in held:
            part_of[first] = fullest
            held.update(amounts[first])


def part_counts(class_counts: Array, proportions: Sequence[float], seed: int, fullest: int) -> Array:
    """How many images of each label go to each part: int64 [K, P + 1], the last column for those in no part.

    The method of the largest remainder, in two directions at once. Each label gives each part its share, rounded
    down; what is left of a label goes, at most one to a part, to where most was lost, as long as the part has less
    than its rounded share of all images, chance (by the seed) deciding between equals. So every count is its exact
    share rounded up or down, but for this: the part `fullest` gets at least one image of every label that has any.
    """
    proportions = [*proportions, max(0.0, 1 - math.fsum(proportions))]
    shares = class_counts.astype(np.float64)[:, None] * np.array(proportions)[None, :]
    counts: Array = np.floor(shares + _EXACT).astype(np.int64)
    remainders = np.maximum(np.round(shares - counts, 9), 0)
    alone = (counts[:, fullest] == 0) & (counts.sum(axis=1) < class_counts)
    counts[alone, fullest], remainders[alone, fullest] = 1, 0
    of_label = class_counts - counts.sum(axis=1)
    of_part = _totals(int(class_counts.sum()), proportions) - counts.sum(axis=0)
    chance = keyed_generator(seed, "parts", "equals").permutation(remainders.size)
    order = np.lexsort((chance, -remainders.ravel()))
    cells = [divmod(cell, len(proportions)) for cell in order.tolist() if remainders.flat[cell] > 0]
    given: set[tuple[int, int]] = set()
    for is_bound in (True, False):
        for label, part in cells:
            if of_label[label] > 0 and (of_part[part] > 0 or not is_bound) and (label, part) not in given:
                given.add((label, part))
                counts[label, part] += 1
                of_label[label] -= 1
                of_part[part] -= 1
    return counts


def fullest_part(proportions: Sequence[float]) -> int:
    """The place of the largest proportion, the first of equals."""
    return max(range(len(proportions)), key=lambda place: proportions[place])


def _totals(count: int, proportions: Sequence[float]) -> Array:
    """How many of all images each part is to have, int64 [P]: rounded so that they sum to `count`."""
    shares = count * np.array(proportions)
    totals: Array = np.floor(shares + _EXACT).astype(np.int64)
    by_loss = np.argsort(-np.round(shares - totals, 9), kind="stable")
    totals[by_loss[: count - int(totals.sum())]] += 1
    return totals
