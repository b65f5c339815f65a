"""Whether the head was fitted far enough, too weak, or learned its images by heart."""

from __future__ import annotations

from mlsession.advising.advice import Advice, Lever, Severity
from mlsession.advising.evidence import Evidence
from mlsession.advising.intervals import least_gap
from mlsession.advising.rules.data import MATTERS
from mlsession.advising.words import leading, of, percent, plural, points
from mlsession.curves.splits import FEWEST_PER_CLASS

STILL_FALLING = 0.02
"""The share of the loss that the last fifth of the iterations took away, from which on more of them help."""
DEFAULT_ITERATIONS = 25
"""As `ModelParameters` has it."""
UNLEARNED = 0.01
"""Training images that a model gets wrong at least, for more iterations to matter."""


def iteration_limit(evidence: Evidence) -> Advice | None:
    """The fit stopped at its limit while the loss still fell, and gets even training images wrong."""
    losses, trained = evidence.losses, evidence.accuracy.get("training")
    if evidence.converged or trained is None or evidence.limit is None or not 0 < evidence.limit <= len(losses):
        return None
    wrong, fallen = trained.rest, _fallen(losses)
    if wrong.least() < UNLEARNED or fallen < STILL_FALLING:
        return None
    more = 2 * len(losses) if len(losses) > 1 else DEFAULT_ITERATIONS
    falling = f", in the last fifth of which the loss still fell by {percent(fallen)}" if len(losses) > 1 else ""
    command = evidence.line.again({"--iterations": str(more)})
    return Advice(
        rule="iteration_limit",
        severity=Severity.PROVEN,
        limit="training stopped before it was done",
        evidence=f"it stopped at its limit of {plural(len(losses), 'iteration')}{falling}; "
        f"training images: {of(wrong)} wrong",
        next_step=leading(f"train on to {more} iterations", ", which takes up where it stopped", command),
        command=command,
        lever=Lever.ITERATIONS,
        gain=wrong.least(),
    )


def underfitting(evidence: Evidence) -> Advice | None:
    """Even training images are often predicted wrongly, and the fit is done: what is trained is too simple."""
    trained = evidence.accuracy.get("training")
    is_done = evidence.converged or (len(evidence.losses) > 1 and _fallen(evidence.losses) < STILL_FALLING)
    if trained is None or not is_done or trained.rest.least() < MATTERS:
        return None
    if (unseen := evidence.best_unseen) is not None and trained.value - unseen[1].value >= MATTERS:
        return None  # It does learn something of them that it does not see in others.
    larger, tried = evidence.larger_extractor, ""
    if evidence.head == "logistic" and not evidence.is_perceptron_no_better:
        changed, name = {"--classifier": "mlp"}, "mlp"
        step = "try a classifier with a hidden layer, in a second session"
    else:
        changed, name = {"--extractor": larger}, larger
        step = "try a network that sees more of a picture, in a second session"
        tried = ", nor does a hidden layer" if evidence.is_perceptron_no_better else ""
    command = evidence.line.again(changed, name) if name else ()
    return Advice(
        rule="underfitting",
        severity=Severity.PROVEN,
        limit="it does not even learn its training images",
        evidence=f"training images: {of(trained.rest)} wrong, though more iterations change nothing{tried}",
        next_step=leading(step, "", command),
        command=command,
        lever=Lever.CAPACITY,
        gain=trained.rest.least(),
    )


def overfitting(evidence: Evidence) -> Advice | None:
    """On none of the images that it has not been trained on it does as well as on its training images."""
    trained, unseen = evidence.accuracy.get("training"), evidence.best_unseen
    if trained is None or unseen is None:
        return None
    words, right = unseen
    gap = least_gap(trained, right)
    if gap < MATTERS:
        return None
    # Of fewer images it can tell nothing, and refuses.
    is_told = sum(evidence.different_counts) >= FEWEST_PER_CLASS * len(evidence.classes)
    command = evidence.line.about("learning-curve") if is_told else ()
    return Advice(
        rule="overfitting",
        severity=Severity.PROVEN,
        limit="it knows its training images much better than others",
        evidence=f"training images: {of(trained)} right; {words}: {of(right)} right, at least {points(gap)} fewer",
        next_step=leading(
            "add training images, as varied as possible", "; this tells what how many of them would bring", command
        ),
        command=command,
        lever=Lever.IMAGES,
        gain=gap,
    )


def _fallen(losses: tuple[float, ...]) -> float:
    """The share of the loss that the last fifth of the iterations took away; 1 of a single one, which tells nothing."""
    if len(losses) < 2:
        return 1.0
    before = losses[-1 - max(len(losses) // 5, 1)]
    return (before - losses[-1]) / before if before > 0 else 0.0
