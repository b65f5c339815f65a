"""Whether the figures mean what they seem to, and whether there are enough of them."""

from __future__ import annotations

import math

import numpy as np

from mlsession.advising.advice import Advice, Lever, Severity
from mlsession.advising.commands import TrainingLine
from mlsession.advising.evidence import TELLING, Evidence
from mlsession.advising.intervals import Share
from mlsession.advising.words import leading, named, of, percent, plural

LEAKED = 0.01
"""Of the images to test on. Fewer cannot move the accuracy by a point."""
WIDEST = 0.10
"""An accuracy that is known less exactly than within so much tells little: 100 images and 94 % are known to 0.10."""


def leaked_images(evidence: Evidence) -> Advice | None:
    """Images to test on that are also trained on, byte for byte: what is found on them says nothing of others."""
    part = next(
        (part for part in ("test", "validation") if part in evidence.leaked and evidence.leaked[part].count), ""
    )
    if not part or part not in evidence.accuracy:
        return None
    leaked, every = evidence.leaked[part], evidence.accuracy[part]
    left = Share(part=every.part - leaked.part, count=every.count - leaked.count)
    instead = f", and not {percent(every.value)}" if percent(left.value) != percent(every.value) else ""
    without = f"; without them the accuracy is {of(left)}{instead}" if left.count else ""
    line, command = evidence.line, tuple[str, ...]()
    if line.test and part == "test":
        command = line.on_data(("scan", "--test", line.test), "--label-from")
    return Advice(
        rule="leaked_images",
        severity=Severity.FIGURES if leaked.count >= LEAKED * every.count else Severity.RISK,
        limit=f"{part} images are among the images that it was trained on, so the accuracy says little of others",
        evidence=f"{leaked.count:,} of {every.count:,} {part} images are the same files as training images{without}",
        next_step=leading(
            f"take them out of the training data or out of the {part} data, then train again",
            "; this names them",
            command,
        ),
        command=command,
        lever=Lever.NONE,
        gain=leaked.count / every.count,
    )


def no_better_than_guessing(evidence: Evidence) -> Advice | None:
    """Neither the accuracy nor the mean over the classes is proven to be above what saying one class would give.

    Of the mean recall of the classes that occur 1.96 standard errors count. Where training images held back in turn
    prove that something was learned, a few images set aside to validate on say nothing against it; images of another
    source do, of their labels.
    """
    part = evidence.judged
    if part is None:
        return None
    metrics, right = evidence.metrics[part], evidence.accuracy[part]
    baseline, counts = metrics.majority_baseline, metrics.class_counts
    present = counts > 0
    if present.sum() < 2 or Share(part=right.count, count=right.count).least() <= baseline:
        return None  # There are too few images, or too few of other classes, to prove it of any model.
    recall, chance = metrics.recall[present], 1 / int(present.sum())
    error = math.sqrt(float((recall * (1 - recall) / counts[present]).sum())) * chance
    if right.least() > baseline or float(np.mean(recall)) - 1.96 * error > chance:
        return None
    learned = _learned(evidence)
    if learned is not None and part == "validation" and evidence.split_off:
        return None
    common = metrics.classes[int(counts.argmax())]
    command = evidence.line.about("results", "--part", part, "--errors")
    worse = "worse" if right.interval()[1] < baseline else "hardly better"
    limit = f"the model is {worse} than always giving the same answer"
    step = "check that the images of each class show what its name says"
    found = f"{part} images: {of(right)} right; always saying {named([common])} gets {percent(baseline)} right"
    if learned is not None:
        limit, found = (
            f"on the {part} images {limit}",
            f"{found}; training images held back in turn: {of(learned)} right",
        )
        step = f"check that the labels of the {part} images mean what those of the training images mean"
    return Advice(
        rule="no_better_than_guessing",
        severity=Severity.FIGURES,
        limit=limit,
        evidence=found,
        next_step=leading(step, "; this lists the wrong answers", command),
        command=command,
        lever=Lever.LABELS,
        gain=right.rest.least(),
    )


def _learned(evidence: Evidence) -> Share | None:
    """Training images predicted rightly by models that had not seen them, if that is proven to be no guessing."""
    shown, counts = evidence.out_of_fold, evidence.training_counts
    return shown if shown is not None and shown.least() > max(counts) / max(sum(counts), 1) else None


def few_test_images(evidence: Evidence) -> Advice | None:
    """So few images to test on that the accuracy is known within more than `WIDEST`, or a class hardly at all."""
    part = evidence.judged
    if part is None:
        return _few_held_back(evidence)
    words, share = f"{part} images", evidence.accuracy[part]
    if evidence.held_out is not None and evidence.held_out[1].count > share.count:
        words, share = evidence.held_out
    low, high = share.interval()
    counts = evidence.metrics[part].class_counts.tolist() if part == "test" else []
    untold = [evidence.classes[label] for label, count in enumerate(counts) if count < TELLING]
    if high - low <= WIDEST and not untold:
        return None
    if high - low > WIDEST:
        found = f"{words}: {of(share)} right, which of more such images may be {percent(low)} to {percent(high)}"
        limit = "too few images to tell how good it is"
    else:
        found = f"there are fewer than {TELLING} test images of {named(untold)}"
        limit = "too few test images of some classes to tell how good it is at them"
    wanted = max(_images_for(share.value), 2 * evidence.accuracy[part].count)
    command = () if evidence.line.test else _split(evidence.line)
    more = f"test it on more images, {wanted:,} or more in all, and {2 * TELLING} or more of each class"
    step = "set a fifth of the images aside to test on, then train on the rest:" if command else more
    return Advice(
        rule="few_test_images",
        severity=Severity.UNKNOWN,
        limit=limit,
        evidence=found,
        next_step=step,
        command=command,
        lever=Lever.NONE,
    )


def _few_held_back(evidence: Evidence) -> Advice | None:
    """The same where training images alone tell how good it is: of so few a part set aside would tell even less."""
    if evidence.held_out is None:
        return None
    words, share = evidence.held_out
    low, high = share.interval()
    if high - low <= WIDEST:
        return None
    wanted = max(_images_for(share.value), 2 * share.count)
    return Advice(
        rule="few_test_images",
        severity=Severity.UNKNOWN,
        limit="too few images to tell how good it is",
        evidence=f"{words}, each judged by a model that has not seen it: {of(share)} right, which of more such images "
        f"may be {percent(low)} to {percent(high)}; there are no images to validate or to test on",
        next_step=f"add training images, {wanted:,} or more in all, or test it on as many others",
        lever=Lever.NONE,
    )


def no_test_images(evidence: Evidence) -> Advice | None:
    """Nothing that the model has not been trained on was ever shown to it."""
    if evidence.judged is not None or evidence.out_of_fold is not None:
        return None
    trained = evidence.accuracy.get("training")
    if trained is None:
        return None
    command = _split(evidence.line)
    return Advice(
        rule="no_test_images",
        severity=Severity.UNKNOWN,
        limit="nobody knows how good the model is on images that it has not seen",
        evidence=f"{plural(trained.count, 'image')} to train on, and none to validate or to test on",
        next_step=leading("set a fifth of the images aside to test on, then train on the rest", "", command),
        command=command,
        lever=Lever.NONE,
    )


def _split(line: TrainingLine) -> tuple[str, ...]:
    """Words that set a fifth of the images aside; () where nobody can say what labels them or what belongs together."""
    if line.options is None:
        return ()
    return line.on_data(("split", "--test", "0.2"), "--label-from", "--group-by")


def _images_for(accuracy: float) -> int:
    """About how many images make the interval of such an accuracy `WIDEST` wide."""
    spread = max(accuracy * (1 - accuracy), 0.05)
    return math.ceil(4 * 1.96**2 * spread / WIDEST**2 / 10) * 10
