"""Which classes are told badly, and whether there is too little of them."""

from __future__ import annotations

import numpy as np

from mlsession.advising.advice import Advice, Lever, Severity
from mlsession.advising.evidence import TELLING, Evidence
from mlsession.advising.intervals import Share, least_gap
from mlsession.advising.rules.data import MATTERS
from mlsession.advising.words import leading, named, of, plural
from mlsession.display.plain import plain
from mlsession.scanning.labels import IMBALANCE, SMALL, TINY
from mlsession.session.phase import Array

FINE = 0.9
"""A class that is proven to be told so well has images enough."""
CANDIDATES = 20
"""Pairs of classes that are looked at, the commonest mistakes first; the test allows for all that there are."""
SHARE_OF_MISTAKES = 0.25
"""What a pair must have of all mistakes at least."""


def few_images(evidence: Evidence) -> Advice | None:
    """Classes of fewer than `SMALL` training images that are told worse than the others, or of fewer than `TINY`.

    Copies of one file are one image: ten of them show nothing else than one.
    """
    counts = evidence.different_counts
    few = [label for label, count in enumerate(counts) if 0 < count < SMALL]
    if not few:
        return None
    judged, rights = evidence.judged, [evidence.recall(label) for label in range(len(counts))]
    if judged is not None and len(few) == len(counts):
        words, known = f"{judged} images", evidence.accuracy[judged]
        if judged != "test" and evidence.held_out is not None and evidence.held_out[1].count > known.count:
            words, known = evidence.held_out
        if known.rest.least() >= MATTERS:
            return _few_of_all(evidence, words, known.rest)
    every = _sum(rights)
    gaps = {label: least_gap(_without(every, rights[label]), rights[label], len(few)) for label in few}
    worst = max(few, key=lambda label: (gaps[label], -counts[label], -label))
    if judged is not None and gaps[worst] >= MATTERS and rights[worst].count >= TELLING:
        name, right = plain(evidence.classes[worst]), rights[worst]
        return Advice(
            rule="few_images",
            severity=Severity.PROVEN,
            limit=f"class {name} has too few training images",
            evidence=f"{plural(counts[worst], _image(evidence))}; its {judged} images: {of(right)} right; those of the "
            f"other classes: {of(_without(every, right))} right",
            next_step=_adding(f"add images of {name}, {SMALL} or more in all and as varied as possible", evidence),
            command=evidence.line.again({"--on-modified-data": "update"}),
            lever=Lever.IMAGES,
            gain=gaps[worst] / len(counts),
            labels=(evidence.classes[worst],),
            share_of_mistakes=_share(right.rest.part, every),
        )
    tiny = sorted((counts[label], label) for label in few if counts[label] < TINY and rights[label].least() < FINE)
    if not tiny:
        return None
    names = tuple(evidence.classes[label] for _, label in tiny)
    shown = ", ".join(f"{plain(evidence.classes[label])} {count}" for count, label in tiny[:5])
    return Advice(
        rule="few_images",
        severity=Severity.RISK,
        limit=f"{'class' if len(tiny) == 1 else 'classes'} {named(names)} {'has' if len(tiny) == 1 else 'have'} "
        f"very few {_image(evidence)}s",
        evidence=f"fewer than {TINY} {_image(evidence)}s: {shown}{', ...' if len(tiny) > 5 else ''}",
        next_step=_adding(f"add images, {SMALL} or more of each class and as varied as possible", evidence),
        command=evidence.line.again({"--on-modified-data": "update"}),
        lever=Lever.IMAGES,
        labels=names,
        share_of_mistakes=_share(sum(rights[label].rest.part for _, label in tiny), every),
    )


def _few_of_all(evidence: Evidence, words: str, wrong: Share) -> Advice:
    return Advice(
        rule="few_images",
        severity=Severity.PROVEN,
        limit=f"there are few {_image(evidence)}s of every class",
        evidence=f"{min(evidence.different_counts):,} to {max(evidence.different_counts):,} of each; "
        f"{words}: {of(wrong)} wrong",
        next_step=_adding(f"add images, {SMALL} or more of each class and as varied as possible", evidence),
        command=evidence.line.again({"--on-modified-data": "update"}),
        lever=Lever.IMAGES,
        gain=wrong.least(),
    )


def imbalance(evidence: Evidence) -> Advice | None:
    """A class is taken for one of at least `IMBALANCE` times its images more often than the other way round.

    A class of fewer than `TINY` images has too few whatever others have: that is for `few_images` to say.
    """
    if evidence.judged is None:
        return None
    counts = np.array(evidence.training_counts, dtype=np.float64)
    outnumbered = (counts[None, :] >= IMBALANCE * counts[:, None]) & (counts[:, None] >= TINY)
    table = evidence.metrics[evidence.judged].confusion_matrix * outnumbered
    best: tuple[float, int, int] | None = None
    for small, large in _commonest(table):
        to, back = evidence.mistaken(small, large), evidence.mistaken(large, small)
        gap = least_gap(to, back, int(outnumbered.sum()))
        if to.count >= TELLING and gap >= MATTERS and (best is None or gap > best[0]):
            best = gap, small, large
    if best is None:
        return None
    gap, small, large = best
    few, many = plain(evidence.classes[small]), plain(evidence.classes[large])
    to, back = evidence.mistaken(small, large), evidence.mistaken(large, small)
    weighted = {"--class-weight": "balanced"}
    command = () if evidence.is_weighted else evidence.line.again(weighted, "balanced")
    step = "let rare classes count as much as common ones, in a second session:"
    if evidence.is_weighted or not command:
        step = _adding(f"add images of {few}", evidence)
        command = evidence.line.again({"--on-modified-data": "update"})
    return Advice(
        rule="imbalance",
        severity=Severity.PROVEN,
        limit=f"class {few} is outnumbered by class {many}",
        evidence=f"{int(counts[small]):,} and {int(counts[large]):,} training images; {evidence.judged} images of "
        f"{few}: {of(to)} taken for {many}; the other way round: {of(back)}",
        next_step=step,
        command=command,
        lever=Lever.IMAGES if evidence.is_weighted or not command else Lever.WEIGHTS,
        gain=gap / len(counts),
        labels=(evidence.classes[small],),
        share_of_mistakes=_share(to.part, evidence.accuracy[evidence.judged]),
    )


def confused_pair(evidence: Evidence) -> Advice | None:
    """Two classes of several that are taken for each other, more than others are."""
    if evidence.judged is None or len(evidence.classes) < 3:
        return None
    matrix = evidence.metrics[evidence.judged].confusion_matrix
    mistakes, pairs = evidence.accuracy[evidence.judged].rest, len(matrix) * (len(matrix) - 1) // 2
    found: list[tuple[float, int, int]] = []
    for first, second in _commonest(np.triu(matrix + matrix.T, 1)):
        both = evidence.mistaken(first, second).plus(evidence.mistaken(second, first))
        share = Share(part=both.part, count=mistakes.part)
        is_common = share.value >= SHARE_OF_MISTAKES and share.least(pairs) > 1 / pairs
        if is_common and both.count >= 2 * TELLING and both.least(pairs) >= MATTERS:
            found.append((both.least(pairs) * both.count / mistakes.count, first, second))
    if not found:
        return None
    gain, first, second = max(found, key=lambda each: (each[0], -each[1], -each[2]))
    to, back = evidence.mistaken(first, second), evidence.mistaken(second, first)
    if back.value > to.value:
        first, second, to, back = second, first, back, to
    one, other = evidence.classes[first], evidence.classes[second]
    command = evidence.line.about("results", "--part", evidence.judged, "--label", one, "--predicted", other)
    return Advice(
        rule="confused_pair",
        severity=Severity.PROVEN,
        limit=f"{plain(one)} and {plain(other)} are taken for each other",
        evidence=f"{evidence.judged} images of {plain(one)}: {of(to)} taken for {plain(other)}; the other way round: "
        f"{of(back)}; that is {to.part + back.part:,} of {plural(mistakes.part, 'mistake')}",
        next_step=leading(
            "add training images that show what tells them apart, or make them one class",
            "; this lists those taken for the other",
            command,
        ),
        command=command,
        lever=Lever.IMAGES,
        gain=gain,
        labels=(one, other),
        share_of_mistakes=_share(to.part + back.part, mistakes.rest),
    )


def weak_class(evidence: Evidence) -> Advice | None:
    """A class that is told worse than the others."""
    if evidence.judged is None or len(evidence.classes) < 2:
        return None
    rights = [evidence.recall(label) for label in range(len(evidence.classes))]
    every = _sum(rights)
    gaps = [
        least_gap(_without(every, right), right, len(rights)) if right.count >= TELLING else -1.0 for right in rights
    ]
    worst = int(np.argmax(gaps))
    if gaps[worst] < MATTERS:
        return None
    name, right = evidence.classes[worst], rights[worst]
    command = evidence.line.about("results", "--part", evidence.judged, "--label", name, "--errors")
    return Advice(
        rule="weak_class",
        severity=Severity.PROVEN,
        limit=f"class {plain(name)} is told worse than the others",
        evidence=f"its {evidence.judged} images: {of(right)} right; those of the other classes: "
        f"{of(_without(every, right))} right; it has {plural(evidence.training_counts[worst], 'training image')}",
        next_step=leading(
            f"add training images of {plain(name)} like those that it gets wrong", "; this lists them", command
        ),
        command=command,
        lever=Lever.IMAGES,
        gain=gaps[worst] / len(rights),
        labels=(name,),
        share_of_mistakes=_share(right.rest.part, every),
    )


def _commonest(table: Array) -> list[tuple[int, int]]:
    """The cells with the largest counts, largest first, of equals the first; none without any."""
    flat = table.reshape(-1)
    places = np.flatnonzero(flat)
    chosen = places[np.argsort(-flat[places], kind="stable")][:CANDIDATES]
    return [divmod(place, len(table)) for place in chosen.tolist()]


def _adding(step: str, evidence: Evidence) -> str:
    return leading(step, ", then", evidence.line.again({}))


def _image(evidence: Evidence) -> str:
    """What `different_counts` counts."""
    return "training image" if evidence.different_counts == evidence.training_counts else "different training image"


def _sum(shares: list[Share]) -> Share:
    return Share(part=sum(each.part for each in shares), count=sum(each.count for each in shares))


def _share(mistakes: int, rights: Share) -> float:
    """Of all mistakes, where `rights` are the images predicted rightly."""
    return mistakes / rights.rest.part if rights.rest.part else 0.0


def _without(every: Share, one: Share) -> Share:
    return Share(part=every.part - one.part, count=every.count - one.count)
