"""What is wrong with images or labels, or missing."""

from __future__ import annotations

from dataclasses import dataclass

from mlsession.advising.advice import Advice, Lever, Severity
from mlsession.advising.evidence import SMALL_SIDE, Evidence
from mlsession.advising.intervals import Share, least_gap
from mlsession.advising.words import leading, of, percent, plural, points
from mlsession.display.plain import plain
from mlsession.scanning.finding import Kind
from mlsession.scanning.finding import Severity as FindingSeverity

MATTERS = 0.05
"""What an accuracy must lose at least, as far as the figures prove it, for a rule to speak of it."""
SMALL_SHARE = 0.5
"""Of the training images, as far as those that were looked at prove it."""
SURE_AND_WRONG = 0.10
"""Of the half of the images that a model is surest of, models with right labels get a few per cent wrong."""
CONFLICTING = 0.01
"""The share of training images from which on labels that contradict each other count as more than a risk."""
UNREADABLE = 0.05
_LOOK = "look at the training images whose labels are likely wrong"
_REVIEW = ("review", "--output", "fixes.csv")


def small_images(evidence: Evidence) -> Advice | None:
    """Most images are too small for what the extractor looks at, and the model makes mistakes."""
    found, part = evidence.small_images, evidence.judged
    if found is None or part is None or found.share.least() < SMALL_SHARE:
        return None
    wrong = evidence.accuracy[part].rest
    if wrong.least() < MATTERS:
        return None
    side = evidence.input_side
    looked = f"the network looks at {side} x {side} pixels" if side else "the network looks at more"
    scan = evidence.line.on_data(("scan",), "--label-from")
    return Advice(
        rule="small_images",
        severity=Severity.PROVEN,
        limit="the images are too small",
        evidence=f"{of(found.share)} of the training images that were looked at are less than {SMALL_SIDE} pixels wide "
        f"or high, half of these {found.median_side} or less, and {looked}; {part} images: {of(wrong)} wrong",
        next_step=leading(
            "train and test with larger originals of the images, if there are any", "; this names the small ones", scan
        ),
        command=scan,
        lever=Lever.IMAGES,
        gain=wrong.least(),
    )


def unlike_test_images(evidence: Evidence) -> Advice | None:
    """Test images are predicted worse than images held out of the training data: they are of another kind."""
    compared = _compared(evidence)
    if compared is None or (gap := least_gap(compared.held_out, compared.test)) < MATTERS:
        return None
    command = evidence.line.about("results", "--part", "test", "--errors")
    return Advice(
        rule="unlike_test_images",
        severity=Severity.PROVEN,
        limit="the test images are not like the training images",
        evidence=f"{compared.said}, at least {points(gap)} fewer",
        next_step=leading(
            "add training images that are taken as the test images are (camera, light, distance, background)",
            "; this lists the test images that it gets wrong",
            command,
        ),
        command=command,
        lever=Lever.IMAGES,
        gain=gap,
    )


def wrong_labels(evidence: Evidence) -> Advice | None:
    """Images held out of the training data are predicted worse than test images: their labels can be trusted less."""
    compared = _compared(evidence)
    if compared is None or (gap := least_gap(compared.test, compared.held_out)) < MATTERS:
        return None
    review = evidence.line.about(*_REVIEW)
    return Advice(
        rule="wrong_labels",
        severity=Severity.PROVEN,
        limit="labels of the training images are likely wrong",
        evidence=f"{compared.said}, at least {points(gap)} more: the labels of the training images say something else "
        "than they show",
        next_step=leading(_LOOK, ", and correct them in the table that this writes", review),
        command=review,
        lever=Lever.LABELS,
        gain=gap,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Compared:
    """Images held out of the training data and test images, of one mix of classes."""

    held_out: Share
    test: Share
    said: str


def _compared(evidence: Evidence) -> _Compared | None:
    if evidence.held_out is None or "test" not in evidence.accuracy:
        return None
    (words, held_out), test = evidence.held_out, evidence.like_training("test")
    if test is None:
        return None
    plain_test = evidence.accuracy["test"]
    mixed = (
        ""
        if percent(test.value) == percent(plain_test.value)
        else f", or {percent(test.value)} were there as many of each class as for training"
    )
    said = f"{words}: {of(held_out)} right; test images: {of(plain_test)} right{mixed}"
    return _Compared(held_out=held_out, test=test, said=said)


def conflicting_copies(evidence: Evidence) -> Advice | None:
    """The same image is there under several labels: all but one of them are wrong, or it shows several things."""
    found = evidence.conflicting_copies
    if found is None:
        return None
    wrong, review = found.wrong, evidence.line.about(*_REVIEW)
    one = found.pictures == 1
    return Advice(
        rule="conflicting_copies",
        severity=Severity.PROVEN if wrong.value >= CONFLICTING else Severity.RISK,
        limit="the same image is there under different labels",
        evidence=f"{plural(found.pictures, 'picture')} {'is' if one else 'are'} among the training images under more "
        f"than one label, byte for byte: of all of them {of(wrong)} have a wrong one at least",
        next_step=leading(
            "look which label is right, and leave out the others", "; this lists them in a table", review
        ),
        command=review,
        lever=Lever.LABELS,
        gain=wrong.value,
    )


def sure_mistakes(evidence: Evidence) -> Advice | None:
    """Of the half of the images that the model is surest of, too many are predicted wrongly: labels may be wrong.

    Pictures that are hard make a model unsure; wrong labels do not (as in confident learning: C. G. Northcutt et al.,
    JAIR 70, 2021).
    """
    part, sure = evidence.judged, evidence.sure_half
    if part is None or sure is None:
        return None
    wrong = sure.rest
    if wrong.least() < SURE_AND_WRONG:
        return None
    review = evidence.line.about(*_REVIEW)
    return Advice(
        rule="sure_mistakes",
        severity=Severity.PROVEN,
        limit="it is often sure, and the label says otherwise: labels may be wrong",
        evidence=f"the {part} images that it is surest of: {of(wrong)} wrong; where labels are right, hardly any are",
        next_step=leading(_LOOK, ", and correct them in the table that this writes", review),
        command=review,
        lever=Lever.LABELS,
        gain=wrong.least() * wrong.count / evidence.accuracy[part].count,
    )


def unreadable_images(evidence: Evidence) -> Advice | None:
    """Many training images cannot be read."""
    skipped = evidence.skipped
    if not skipped.count or skipped.value < UNREADABLE:
        return None
    scan = evidence.line.on_data(("scan",), "--label-from")
    return Advice(
        rule="unreadable_images",
        severity=Severity.RISK,
        limit="many training images cannot be read, and were left out",
        evidence=f"{of(skipped)} of the images listed",
        next_step=leading("replace them by whole files", "; this names them, and says why", scan),
        command=scan,
        lever=Lever.IMAGES,
        gain=0.0,
    )


def alike_labels(evidence: Evidence) -> Advice | None:
    """Labels that differ only by case, spaces or the form of their letters are likely one."""
    for finding in evidence.findings:
        if finding.kind is Kind.SIMILAR_LABELS and finding.severity is FindingSeverity.WARNING:
            return Advice(
                rule="alike_labels",
                severity=Severity.RISK,
                limit="two names may stand for one class",
                evidence=plain(finding.sentence),
                next_step=plain(finding.cure),
                lever=Lever.LABELS,
                labels=finding.labels,
            )
    return None
