"""The split of images of which some belong together, such as those of one patient or one burst; pure."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

import numpy as np

from mlsession.data.digests import DigestMap
from mlsession.data.groups import joined
from mlsession.data.split import check_split, validation_counts
from mlsession.randomness import key_digest
from mlsession.session.phase import Array


def ties_of(groups: Array, digests: Array) -> Array:
    """int64 [N]: for each row the first of those that it belongs with, through its group, its copies, and theirs.

    `groups` int64 [N] gives the rows of a group the same number, `digests` uint8 [N, 32] are those of the contents.
    """
    _, first, inverse = np.unique(groups, return_index=True, return_inverse=True)
    return joined(first[inverse].astype(np.int64), DigestMap(digests).look_up(digests)[1])


def split_ties(
    labels: Array, digests: Array, ties: Array, ratio: float, seed: int, sides: tuple[Array, Array] | None = None
) -> Array:
    """Which rows to validate on: bool [N], like `split_rows`, and rows with the same of `ties` (see there) on one side.

    Ties are put in the order of a keyed hash of the least content in each. Each goes to validation if the numbers of
    its classes are then no farther from `validation_counts` than without it, and every class keeps a row to train on.
    So where each tie has one class, a class has at most twice its count. Where none is small enough, the smallest one
    goes that leaves half of its classes to train on, if there is one. The order of the rows does not matter.

    `sides`, each bool [N], gives the rows that are held out already, and those that stay on the side that they are on;
    these are of whole ties. What is held out takes room, and where there is any the smallest tie is not looked for: so
    however often rows are added, no more is held out than at once. Raises what `split_rows` raises.
    """
    check_split(labels, digests, ratio)
    nowhere = np.zeros(len(labels), dtype=np.bool_)
    held_out, settled = (nowhere, nowhere) if sides is None else sides
    chosen, counts = held_out.copy(), np.bincount(labels)
    taken = np.bincount(labels[held_out], minlength=len(counts))
    room = (validation_counts(counts, ratio, seed) - taken).tolist()
    if not any(amount > 0 for amount in room):
        return chosen
    members: defaultdict[int, list[int]] = defaultdict(list)
    for row, (first, stays) in enumerate(zip(ties.tolist(), settled.tolist(), strict=True)):
        if not stays:
            members[first].append(row)
    salt, names, left = key_digest(seed, "validation groups"), labels.tolist(), (counts - taken).tolist()
    least = {first: min(digests[row].tobytes() for row in rows) for first, rows in members.items()}
    order = sorted(members, key=lambda first: hashlib.sha256(salt + least[first]).digest())
    for first in order:
        amounts = Counter(names[row] for row in members[first])
        farther = sum(abs(room[name] - amount) - abs(room[name]) for name, amount in amounts.items())
        if farther <= 0 and all(left[name] > amount for name, amount in amounts.items()):
            for name, amount in amounts.items():
                room[name] -= amount
                left[name] -= amount
            chosen[members[first]] = True
    if not chosen.any():
        for first in sorted(order, key=lambda first: len(members[first])):
            amounts = Counter(names[row] for row in members[first])
            if all(2 * amount <= left[name] for name, amount in amounts.items()):
                chosen[members[first]] = True
                break
    return chosen
