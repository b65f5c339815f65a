"""What the committed states of a session amount to: its classifier, and how good it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from mlsession.augment.views import ViewPlan
from mlsession.classifier.model import ImageModel
from mlsession.errors import DamagedData
from mlsession.extractors.catalog import FeatureExtractorSpec
from mlsession.extractors.tuned import TunableExtractor, TunedExtractor, tensor_digest
from mlsession.heads.protocol import Head
from mlsession.metrics.report import ClassifierMetrics
from mlsession.phases.chosen_extractor import ExtractorChoice, extractor_chosen
from mlsession.phases.evaluated import metrics_of
from mlsession.phases.finetuned import NETWORK_PREFIX, is_kept, tuned_head, tuned_temperature, tuned_tensors
from mlsession.phases.trained import chosen_of, temperature_of, trained_head
from mlsession.session.log.blobs import as_written
from mlsession.session.log.layout import record_key
from mlsession.session.phase import Past, Phase, PhaseState
from mlsession.session.session import history_of
from mlsession.training.choosing import settled
from mlsession.training.parameters import ModelParameters


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """What a session has made, as far as it has come."""

    model: ImageModel
    metrics: Mapping[str, ClassifierMetrics]
    """By part: training, validation, test; parts without images, or not evaluated yet, are absent."""
    history: Mapping[str, list[float]] = field(default_factory=dict)
    """See `TrainingSession.history`."""
    views: ViewPlan = field(default_factory=ViewPlan)
    """Those of training images that it was trained on."""
    evaluation: int | None = None
    """The number of the checkpoint that ended its evaluation; None if it was not evaluated."""
    extractor_choice: ExtractorChoice | None = None
    """How its extractor was chosen; None where that was given."""


def kept_views(past: Past, parameters: ModelParameters) -> tuple[str, ...] | None:
    """The kinds of views that were chosen to train on, none where that has not been decided yet; None: all there are.

    Raises `DamagedData`.
    """
    if not parameters.chooses_views:
        return None
    chosen = chosen_of(past.state(Phase.SELECTING))
    return () if chosen is None or chosen.views is None else chosen.views.kept


def trained(
    past: Past, parameters: ModelParameters, classes: tuple[str, ...], *, evaluated: bool, finetuned: bool = False
) -> Trained:
    """The classifier that a session holds, with its metrics if it was `evaluated`; of a session without fine-tuning,
    or where that has not begun (`finetuned` is False), and where the tuned one is not kept, the head alone.

    Raises `DamagedData`.
    """
    key = record_key(past.newest_commit(Phase.TRAINING))
    with as_written(key):
        history = history_of(past.state(Phase.TRAINING))
    model = trained_model(past, parameters, classes, finetuned=finetuned)
    evaluation = past.newest_commit(Phase.EVALUATING) if evaluated else None
    metrics: Mapping[str, ClassifierMetrics] = {}
    if evaluation is not None:
        with as_written(record_key(evaluation)):
            metrics = metrics_of(past.state(Phase.EVALUATING), classes)
    kept = kept_views(past, parameters)
    is_open = parameters.algorithm.automatic is not None
    return Trained(
        model=model,
        extractor_choice=extractor_chosen(past.state(Phase.CHOOSING)) if is_open else None,
        views=parameters.views if kept is None else parameters.views.only(kept),
        metrics=metrics,
        history=history,
        evaluation=evaluation,
    )


def trained_model(
    past: Past, parameters: ModelParameters, classes: tuple[str, ...], *, finetuned: bool = False
) -> ImageModel:
    """The model of `trained`. Raises `DamagedData`."""
    key, state = record_key(past.newest_commit(Phase.TRAINING)), past.state(Phase.TRAINING)
    spec = settled(parameters, past).algorithm.extractor
    tuned = past.state(Phase.FINETUNING) if finetuned else PhaseState()
    if is_kept(tuned):
        key = record_key(past.newest_commit(Phase.FINETUNING))
        with as_written(key):
            head, temperature, spec = tuned_head(tuned), tuned_temperature(tuned), _tuned(spec, tuned)
    else:
        with as_written(key):
            head, temperature = trained_head(state), temperature_of(state)
    _check_fit(head, classes, spec, key)
    return ImageModel(
        labels=classes, feature_extractor=spec, head=head, temperature=temperature, precision=parameters.precision
    )


def digest_of(training: PhaseState, tuning: PhaseState) -> str:
    """The digest of the model of `trained`, see `ImageModel.digest`, from the states alone. Raises `DamagedData`."""
    if not is_kept(tuning):
        return tensor_digest(trained_head(training).tensors())
    network = {f"{NETWORK_PREFIX}{name}": tensor for name, tensor in tuned_tensors(tuning).items()}
    return tensor_digest({**tuned_head(tuning).tensors(), **network})


def _tuned(spec: FeatureExtractorSpec, state: PhaseState) -> TunedExtractor:
    assert isinstance(spec, TunableExtractor)  # Others are refused, see `FineTune`.
    return TunedExtractor(base=spec, tensors=tuned_tensors(state))


def _check_fit(head: Head, classes: tuple[str, ...], spec: FeatureExtractorSpec, key: str) -> None:
    if (len(classes), spec.dimension) != (head.num_classes, head.num_features):
        wanted = f"{len(classes)} labels and {spec.dimension} features"
        raise DamagedData(key, f"{wanted}, and its head is of {head.num_classes} and {head.num_features}")
