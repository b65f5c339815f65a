"""Image classification as a task of the session engine: extracting, selecting, training, evaluating."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mlsession.augment.identity import augmenter_identity
from mlsession.classifier.model import ImageModel
from mlsession.data.digests import DigestMap
from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.data.resplit import split_with_past
from mlsession.errors import DamagedData, InternalError
from mlsession.events import DonorFailed, Event
from mlsession.extractors.allocator import give_back_freed_memory
from mlsession.extractors.catalog import numerics_of, runtime_for
from mlsession.extractors.numerics import THREADS, torch_numerics, training_numerics
from mlsession.metrics.report import ClassifierMetrics
from mlsession.phases.corpus import Corpus, Part
from mlsession.phases.donation import DonatedRows, Donation, FeatureRows
from mlsession.phases.evaluated import metrics_of
from mlsession.phases.featurize import Featurizer
from mlsession.phases.recorded import ALLOWED, AUGMENTER, EXTRACTOR, TRUNCATED, RecordedExtractor
from mlsession.phases.trained import chosen_of, is_fitted, temperature_of, trained_head
from mlsession.session.log.blobs import as_written
from mlsession.session.log.layout import record_key
from mlsession.session.log.members import as_count, as_object
from mlsession.session.parameters import CACHE_BYTES
from mlsession.session.phase import Json, Past, Phase, PhaseRunner, PhaseState
from mlsession.session.session import history_of
from mlsession.store.protocol import Store
from mlsession.training.inputs import no_sides
from mlsession.training.parameters import ModelParameters

TASK = "image-classification"
TRAINING = "training"
"""The member that says what a head is trained with; see `training_numerics`."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Trained:
    """What a session has made, as far as it has come."""

    model: ImageModel
    metrics: Mapping[str, ClassifierMetrics]
    """By part: training, validation, test; parts without images, or not evaluated yet, are absent."""
    history: Mapping[str, list[float]] = field(default_factory=dict)
    """See `TrainingSession.history`."""
    evaluation: int | None = None
    """The number of the checkpoint that ended its evaluation; None if it was not evaluated."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageClassification:
    """The task of one session."""

    parameters: ModelParameters
    limit: int
    """Training iterations, at most."""
    numerics: Mapping[str, Json]
    """The numerics id that was recorded when the session was made; what it names is used again."""
    corpus: Corpus
    emit: Callable[[Event], None]
    open_cache: Callable[[], Store] | None = None
    """A handle on the feature cache, if there is one."""
    cache_size: int = CACHE_BYTES
    """Bytes that it may have."""
    test: Part | None = None
    images_digest: str = ""
    """Names the images, "" for those that the session was made with: others make extracting start over."""
    test_digest: str = ""
    """Names the test set: another one makes evaluating start over."""
    sides: Callable[[], DigestMap] = no_sides
    """By content, which side of the split it was on before the images changed: 1 for held out."""
    donation: Callable[[], DonatedRows] | None = None
    """Reads the rows of the extraction that is taken over, if there is one."""

    @property
    def threads(self) -> int:
        """Intra-op threads of training, as recorded."""
        with as_written("the session's numerics"):
            return as_count(as_object(self.numerics[TRAINING])["threads"])

    @property
    def name(self) -> str:
        return TASK

    @property
    def phases(self) -> tuple[str, ...]:
        return phases_of(self.parameters)

    def inputs(self, phase: str) -> str:
        return {Phase.EXTRACTING: self.images_digest, Phase.EVALUATING: self.test_digest}.get(Phase(phase), "")

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return phase != Phase.TRAINING or is_fitted(state, self.limit)

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        give_back_freed_memory()  # Of the phase before; of listing the images, before the first.
        match phase:
            case Phase.EXTRACTING:
                return self._extracting(past)
            case Phase.SELECTING:
                return self._selecting(past)
            case Phase.TRAINING:
                return self._training(past)
            case Phase.EVALUATING:
                return self._evaluating(past)
        raise InternalError(f"image classification has no phase {phase}")

    def result(self, past: Past) -> Trained:
        return trained(past, self.parameters, self.corpus.classes, evaluated=True)

    def _extracting(self, past: Past) -> PhaseRunner:
        from mlsession.phases.extract import Extracting

        self._extractor.check_augmenter(self.parameters.views)
        validation, sides = self.parameters.validation, self.sides()

        def split(labels: npt.NDArray[np.int64], digests: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
            return split_with_past(labels, digests, validation.ratio_for(len(labels)), validation.seed, sides)

        return Extracting(
            self.corpus,
            self.featurizer(self.donation, self.corpus.is_shared),
            split,
            past,
            fail_on_bad_image=self.parameters.on_bad_image == "fail",
        )

    def _selecting(self, past: Past) -> PhaseRunner:
        from mlsession.phases.features import load_features
        from mlsession.phases.select import Selecting

        return Selecting(
            lambda: load_features(past, self.corpus.labels),
            self.corpus.classes,
            self.parameters.algorithm.head,
            self.parameters.tune,
            self.parameters.seed,
            self._numerics,
        )

    def _training(self, past: Past) -> PhaseRunner:
        from mlsession.phases.features import load_features
        from mlsession.phases.train import Training

        return Training(
            lambda: load_features(past, self.corpus.labels),
            self.corpus.classes,
            self.parameters.algorithm.head,
            self.parameters.seed,
            self.limit,
            self._numerics,
            lambda: chosen_of(past.state(Phase.SELECTING)) if Phase.SELECTING in self.phases else None,
        )

    def _evaluating(self, past: Past) -> PhaseRunner:
        from mlsession.phases.evaluate import Evaluating
        from mlsession.phases.features import load_features

        return Evaluating(
            self.corpus.classes,
            trained_head(past.state(Phase.TRAINING)),
            lambda: load_features(past, self.corpus.labels),
            self.test,
            self.featurizer(is_shared=self.test.is_shared if self.test else None),
            self._numerics,
        )

    def _numerics(self) -> AbstractContextManager[None]:
        return torch_numerics(self.threads)

    @property
    def _extractor(self) -> RecordedExtractor:
        spec = self.parameters.algorithm.feature_extractor
        return RecordedExtractor(spec=spec, numerics=self.numerics, emit=self.emit)

    def featurizer(
        self, donation: Callable[[], DonatedRows] | None = None, is_shared: Callable[[], bool] | None = None
    ) -> Featurizer:
        """What turns images into features, before it the feature cache and what is donated; `is_shared`: see `Part`."""
        extractor = self._extractor
        cache = extractor.cache(self.open_cache, self.cache_size)
        rows: FeatureRows | None = None
        if donation is not None:
            rows = Donation(donation, lambda reason: self.emit(DonorFailed(reason=reason)), cache)
        return extractor.featurizer(cache, rows, self.parameters.views, is_shared)


def phases_of(parameters: ModelParameters) -> tuple[Phase, ...]:
    """The phases of a training, in order: `selecting` only where there is something to select."""
    selecting = (Phase.SELECTING,) if parameters.selects else ()
    return (Phase.EXTRACTING, *selecting, Phase.TRAINING, Phase.EVALUATING)


def trained(past: Past, parameters: ModelParameters, classes: tuple[str, ...], evaluated: bool) -> Trained:
    """The classifier that a training state holds, with its metrics if it was `evaluated`. Raises `DamagedData`."""
    key = record_key(past.newest_commit(Phase.TRAINING))
    state, spec = past.state(Phase.TRAINING), parameters.algorithm.feature_extractor
    with as_written(key):
        head, temperature, history = trained_head(state), temperature_of(state), history_of(state)
    if (len(classes), spec.dimension) != (head.num_classes, head.num_features):
        wanted = f"{len(classes)} labels and {spec.dimension} features"
        raise DamagedData(key, f"{wanted}, and its head is of {head.num_classes} and {head.num_features}")
    evaluation = past.newest_commit(Phase.EVALUATING) if evaluated else None
    metrics: Mapping[str, ClassifierMetrics] = {}
    if evaluation is not None:
        with as_written(record_key(evaluation)):
            metrics = metrics_of(past.state(Phase.EVALUATING), classes)
    model = ImageModel(
        labels=classes, feature_extractor=spec, head=head, temperature=temperature, precision=parameters.precision
    )
    return Trained(
        model=model,
        metrics=metrics,
        history=history,
        evaluation=evaluation,
    )


def numerics_here(parameters: ModelParameters) -> dict[str, Json]:
    """The numerics id of a session that is made on this machine."""
    spec = parameters.algorithm.feature_extractor
    runtime = runtime_for(spec, parameters.backend, parameters.precision)
    return {
        EXTRACTOR: {**numerics_of(spec, runtime), **({TRUNCATED: ALLOWED} if parameters.allow_truncated else {})},
        TRAINING: dict(training_numerics(THREADS)),
        **({AUGMENTER: augmenter_identity()} if len(parameters.views) > 1 else {}),
    }


def part_of(index: ImageIndex, classes: tuple[str, ...], reader: SourceReader) -> Part:
    """A source's images with their labels as places in `classes`, which holds all of the index's."""
    places = np.array([classes.index(name) for name in index.classes], dtype=np.int64)
    return Part(keys=index.keys, labels=places[index.labels], read=reader.read, is_shared=reader.opens_shared)


def index_digest(index: ImageIndex | None) -> str:
    """Names a test set by keys, labels and versions; "" for none."""
    return "" if index is None else hashlib.sha256(index.digest.encode()).hexdigest()
