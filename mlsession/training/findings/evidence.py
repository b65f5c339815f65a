"""What a session knows that a verdict on its model can rest on, gathered from its newest states and indexes."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from mlsession.advising.evidence import SMALL_SIDE, ConflictingCopies, Evidence, HeadKind, SmallImages
from mlsession.advising.intervals import Share
from mlsession.data.index import ImageIndex
from mlsession.data.validation import ValidationKind
from mlsession.extractors.embedded.extractor import ScenePrint
from mlsession.heads.chosen import CROSS_VALIDATION, Chosen
from mlsession.heads.options import PERCEPTRON, ClassifierOptions, LogisticRegressor, MultilayerPerceptron
from mlsession.metrics.report import ClassifierMetrics
from mlsession.phases.evaluated import leaked_of, short_sides_of
from mlsession.phases.finetuned import is_kept
from mlsession.phases.trained import chosen_of
from mlsession.scanning.finding import Finding
from mlsession.session.log.blobs import as_written
from mlsession.session.phase import Array, Json, Phase, PhaseState
from mlsession.session.session import TrainingSession, history_of
from mlsession.training.choosing import settled_by
from mlsession.training.parameters import ModelParameters
from mlsession.training.said import training_line


def gather_evidence(
    session: TrainingSession,
    states: Mapping[str, PhaseState],
    metrics: Mapping[str, ClassifierMetrics],
    training: ImageIndex,
    findings: tuple[Finding, ...],
    num_skipped: int,
) -> Evidence:
    """The evidence of an evaluated session; `states` are the newest of its phases, `num_skipped` is of training images.

    Reads nothing: neither images nor features nor what was said of each image. Raises `DamagedData`,
    `InvalidParameter` for parameters that this version does not have.
    """
    given = ModelParameters.from_json(session.identity.parameters, session.settings, session.parameters.storage_options)
    parameters = settled_by(given, states.get(Phase.CHOOSING, PhaseState()))
    trained, limit = states[Phase.TRAINING], session.settings.get("iterations")
    spec, head = parameters.algorithm.extractor, parameters.algorithm.head
    with as_written("state of training"):
        converged = trained.data["converged"] is True
    chosen = chosen_of(states[Phase.SELECTING]) if Phase.SELECTING in states else None
    # The metrics of a tuned model say nothing of the fit before it, nor the folds of that of the model.
    is_tuned = Phase.FINETUNING in states and is_kept(states[Phase.FINETUNING])
    return Evidence(
        classes=training.classes,
        metrics=metrics,
        split_off=parameters.validation.kind is not ValidationKind.DATA,
        leaked={
            part: Share(part=leaked.right, count=leaked.images)
            for part, leaked in leaked_of(states[Phase.EVALUATING]).items()
        },
        out_of_fold=None if is_tuned else _out_of_fold(chosen),
        penalty=None if chosen is None or is_tuned else chosen.strength,
        temperature=_temperature(trained.data.get("temperature")),
        losses=() if is_tuned else tuple(history_of(trained).get("loss", ())),
        limit=limit if isinstance(limit, int) else None,
        converged=converged and not is_tuned,
        head=_kind(head if chosen is None else chosen.options),
        is_perceptron_no_better=_is_perceptron_no_better(chosen),
        is_weighted=head.class_weight is not None,
        extractor=spec.name,
        larger_extractor="lite2" if spec == ScenePrint() and given.algorithm.automatic is None else "",
        input_side=spec.input_side,
        small_images=small_images(short_sides_of(states[Phase.EVALUATING])),
        conflicting_copies=conflicting_copies(states[Phase.EXTRACTING].arrays.get("copies"), training.labels),
        pictures=different_pictures(
            states[Phase.EXTRACTING].arrays.get("copies"), training.labels, len(training.classes)
        ),
        skipped=Share(part=num_skipped, count=len(training)),
        findings=findings,
        line=training_line(session, given),
    )


def small_images(sides: Sequence[int | None]) -> SmallImages | None:
    """What `short_sides_of` an evaluation amounts to; None where it knows of no small image."""
    small = sorted(side for side in sides if side is not None and side < SMALL_SIDE)
    if not small:
        return None
    return SmallImages(share=Share(part=len(small), count=len(sides)), median_side=small[(len(small) - 1) // 2])


def conflicting_copies(copies: Array | None, labels: Array) -> ConflictingCopies | None:
    """Of pairs int64 [M, 2], an image and the first one of the same bytes, and the labels [N] of the training images.

    None without any under different labels, and for sessions of versions that did not look. Pairs with an image of a
    validation source, which comes after the training images, are left out.
    """
    if copies is None:
        return None
    by_label: defaultdict[int, Counter[int]] = defaultdict(Counter)
    for row, first in copies[(copies < len(labels)).all(axis=1)].tolist():
        by_label[first][int(labels[row])] += 1
    for first, counts in by_label.items():
        counts[int(labels[first])] += 1
    torn = [counts for counts in by_label.values() if len(counts) > 1]
    if not torn:
        return None
    wrong = sum(counts.total() - max(counts.values()) for counts in torn)
    return ConflictingCopies(pictures=len(torn), wrong=Share(part=wrong, count=len(labels)))


def different_pictures(copies: Array | None, labels: Array, num_classes: int) -> tuple[int, ...] | None:
    """[K]: of each class the files that differ, of the same pairs and labels as `conflicting_copies`.

    None for sessions of versions that did not look.
    """
    if copies is None:
        return None
    rows, firsts = copies[(copies < len(labels)).all(axis=1)].T
    alike, pictures = np.concatenate([rows, np.unique(firsts)]), np.concatenate([firsts, np.unique(firsts)])
    # A picture under several labels is one of each of these classes.
    once = np.unique(pictures * num_classes + labels[alike]) % num_classes
    counted = (np.bincount(each, minlength=num_classes) for each in (labels, labels[alike], once))
    every, repeated, single = counted
    return tuple((every - repeated + single).tolist())


def _out_of_fold(chosen: Chosen | None) -> Share | None:
    """What cross-validation says of heads like the one that was chosen, if it was that which chose."""
    if chosen is None or chosen.kind != CROSS_VALIDATION or not chosen.judged:
        return None
    accuracy = chosen.accuracy
    return None if accuracy is None else Share(part=round(accuracy * chosen.judged), count=chosen.judged)


def _is_perceptron_no_better(chosen: Chosen | None) -> bool:
    """Whether it was tried, and something else is kept."""
    compared = () if chosen is None else chosen.comparisons
    return any(each.second.kind == PERCEPTRON and each.kept is not each.second for each in compared)


def _temperature(stored: Json) -> float | None:
    return float(stored) if isinstance(stored, int | float) and not isinstance(stored, bool) else None


def _kind(head: ClassifierOptions) -> HeadKind:
    if isinstance(head, LogisticRegressor):
        return "logistic"
    return "mlp" if isinstance(head, MultilayerPerceptron) else "other"
