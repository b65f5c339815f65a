"""What a session knows that a verdict on its model can rest on, gathered from its newest states and indexes."""

from __future__ import annotations

from collections.abc import Mapping

from mlsession.advising.evidence import Evidence, HeadKind, SmallFiles
from mlsession.advising.intervals import Share
from mlsession.data.index import ImageIndex
from mlsession.data.validation import ValidationKind
from mlsession.extractors.embedded.extractor import ScenePrint
from mlsession.heads.chosen import CROSS_VALIDATION, Chosen
from mlsession.heads.options import PERCEPTRON, ClassifierOptions, LogisticRegressor, MultilayerPerceptron
from mlsession.metrics.report import ClassifierMetrics
from mlsession.phases.evaluated import leaked_of
from mlsession.phases.finetuned import is_kept
from mlsession.phases.trained import chosen_of
from mlsession.scanning.finding import Finding
from mlsession.session.log.blobs import as_written
from mlsession.session.phase import Json, Phase, PhaseState
from mlsession.session.session import TrainingSession, history_of
from mlsession.training.choosing import settled_by
from mlsession.training.parameters import ModelParameters
from mlsession.training.said import training_line

MOST_FILES = 10_000
"""Of so many training files, evenly spread, sizes are looked at."""
SMALL_BYTES = 2_000
"""A photo of 56 x 56 pixels as a JPEG file of usual quality; one of 32 x 32 has some 1,000."""
SMALL_LOSSLESS_BYTES = 5_000
"""A photo of some 48 x 48 pixels where every pixel is kept exactly; of 32 x 32 it has some 2,500."""
_LOSSLESS = (".png", ".bmp", ".tif", ".tiff", ".gif")
_UNTOLD = (".avif", ".heic", ".heif", ".webp")
"""Kinds of files that hold far more in as many bytes, or every pixel exactly: of them sizes tell little."""


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
        small_files=small_files(training),
        skipped=Share(part=num_skipped, count=len(training)),
        findings=findings,
        line=training_line(session, given),
    )


def small_files(index: ImageIndex) -> SmallFiles | None:
    """What the sizes of files tell, of at most `MOST_FILES`; None where fewer than half of them tell anything.

    A size of 0 is not known: images of a dataset have none, nor those of a server that does not state it.
    """
    rows = range(0, len(index), -(-len(index) // MOST_FILES) or 1)
    every = ((index.keys[row].lower(), int(index.sizes[row])) for row in rows)
    known = [(key, size) for key, size in every if size > 0 and not key.endswith(_UNTOLD)]
    if not known or 2 * len(known) < len(rows):
        return None
    small = sum(size < (SMALL_LOSSLESS_BYTES if key.endswith(_LOSSLESS) else SMALL_BYTES) for key, size in known)
    median = sorted(size for _, size in known)[len(known) // 2]
    return SmallFiles(share=Share(part=small, count=len(known)), median_bytes=median)


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
