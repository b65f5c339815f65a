"""Image classification as a task of the session engine: choosing, extracting, selecting, training, evaluating."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from mlsession.augment.options import name_of
from mlsession.data.digests import DigestMap
from mlsession.data.index import ImageIndex
from mlsession.data.reader import SourceReader
from mlsession.devices.crew import Crew
from mlsession.devices.world import Solo, World
from mlsession.errors import InternalError
from mlsession.events import Event
from mlsession.extractors.numerics import torch_numerics
from mlsession.extractors.running.allocator import give_back_freed_memory
from mlsession.finetuning.options import USUAL_AUGMENTATION, FineTune
from mlsession.images.decode import ReadingRules
from mlsession.phases.corpus import Corpus, Part
from mlsession.phases.donation import DonatedRows
from mlsession.phases.leading import Led
from mlsession.phases.sampled import sampled_rows
from mlsession.phases.trained import chosen_of, is_fitted, trained_head
from mlsession.session.parameters import CACHE_BYTES
from mlsession.session.phase import Json, Past, Phase, PhaseRunner, PhaseState
from mlsession.store.protocol import Store
from mlsession.training.choosing import chosen_on, settled, split_rule
from mlsession.training.foresight import Foreseeing, load_training
from mlsession.training.images.inputs import no_sides
from mlsession.training.numerics import recorded_threads, tell_changes
from mlsession.training.outcome import Trained, kept_views, trained, trained_model
from mlsession.training.parameters import ModelParameters
from mlsession.training.sources import (
    CORPUS,
    TEST,
    TUNED_CORPUS,
    TUNED_TEST,
    choosing,
    featurizer_of,
    recorded_extractor,
    shared,
    tuned_featurizer,
)
from mlsession.training.tuning import recorded_tuning

TASK = "image-classification"
SHARED = (Phase.CHOOSING, Phase.EXTRACTING, Phase.FINETUNING, Phase.EVALUATING)
"""Phases that all processes take part in, if there are several."""


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
    verify_content: bool = False
    """Whether every image is read, also one whose file is known to hold what it did."""
    test: Part | None = None
    images_digest: str = ""
    """Names the images, "" for those that the session was made with: others make extracting start over."""
    choosing_digest: str = ""
    """The same for choosing, see `choosing_inputs`."""
    test_digest: str = ""
    """Names the test set: another one makes evaluating start over."""
    sides: Callable[[], DigestMap] = no_sides
    """By content, which side of the split it was on before the images changed: 1 for held out."""
    donation: Callable[[str], DonatedRows] | None = None
    """Reads the rows of the extraction that is taken over, if there is one, of an extractor by its identity."""
    short_sides: Callable[[], Sequence[int | None]] = tuple
    """Looks at some of the training images, see `training.images.short_sides`."""
    sampled: Callable[[], DonatedRows] | None = None
    """Reads the rows that choosing the extractor has made with it, once it is `settled`."""
    crew: Crew | None = None
    """The processes that train it together, if there are several; rank 0 drives the session."""
    is_shared: bool = False
    """Whether they share what is fine-tuned, so that none of them has all of it; rank 0's holds for all."""
    open_store: Callable[[], Store] | None = None
    """A handle on the session's folder, for the parts of it that they write."""

    @property
    def threads(self) -> int:
        """Intra-op threads of training, as recorded."""
        return recorded_threads(self.numerics)

    @property
    def name(self) -> str:
        return TASK

    @property
    def phases(self) -> tuple[str, ...]:
        return phases_of(self.parameters)

    def inputs(self, phase: str) -> str:
        found = {
            Phase.CHOOSING: self.choosing_digest,
            Phase.EXTRACTING: self.images_digest,
            Phase.EVALUATING: self.test_digest,
        }
        return found.get(Phase(phase), "")

    def settled(self, past: Past) -> ImageClassification:
        """The same task with the extractor that was chosen, and its rows, for all phases after that."""
        if self.parameters.algorithm.automatic is None:
            return self
        parameters = settled(self.parameters, past)
        return replace(self, parameters=parameters, sampled=lambda: sampled_rows(past))

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return phase != Phase.TRAINING or is_fitted(state, self.limit)

    @property
    def world(self) -> World:
        """The same, also of one process."""
        return Solo() if self.crew is None else self.crew

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        runner = choosing(self, past) if phase == Phase.CHOOSING else self.settled(past)._runner(phase, past)
        is_led = self.world.size > 1 and self.world.rank == 0 and phase in SHARED
        return Led(phase, runner, past, self.world) if is_led else runner

    def _runner(self, phase: str, past: Past) -> PhaseRunner:
        give_back_freed_memory()  # Of the phase before; of listing the images, before the first.
        match phase:
            case Phase.EXTRACTING:
                return self._extracting(past)
            case Phase.SELECTING:
                return self._selecting(past)
            case Phase.TRAINING:
                return self._training(past)
            case Phase.FINETUNING:
                return self._finetuning(past)
            case Phase.EVALUATING:
                return self._evaluating(past)
        raise InternalError(f"image classification has no phase {phase}")

    def result(self, past: Past) -> Trained:
        finetuned = Phase.FINETUNING in self.phases
        return trained(past, self.parameters, self.corpus.classes, evaluated=True, finetuned=finetuned)

    def _extracting(self, past: Past) -> PhaseRunner:
        from mlsession.phases.extract import Extracting

        recorded_extractor(self).check_augmenter(self.parameters.views)
        used = chosen_on(past, was_open=self.sampled is not None)
        runner = Extracting(
            self.corpus,
            shared(self, featurizer_of(self, self.donations, self.corpus.is_shared), CORPUS),
            split_rule(self.parameters.validation, self.sides(), used),
            past,
            fail_on_bad_image=self.parameters.on_bad_image == "fail",
        )
        return Foreseeing(runner, load_training)

    def _selecting(self, past: Past) -> PhaseRunner:
        from mlsession.phases.features import load_features
        from mlsession.phases.select import Selecting

        tell_changes(Phase.SELECTING, self.numerics, self.emit)
        return Selecting(
            lambda: load_features(past, self.corpus.labels),
            self.corpus.classes,
            self.parameters.algorithm.head,
            self.parameters.tune,
            self.parameters.seed,
            self._numerics,
            views=self.parameters.views if self.parameters.chooses_views else None,
        )

    def _training(self, past: Past) -> PhaseRunner:
        from mlsession.phases.features import FeatureTable, load_features
        from mlsession.phases.train import Training

        tell_changes(Phase.TRAINING, self.numerics, self.emit)

        def load_table() -> FeatureTable:
            table, kept = load_features(past, self.corpus.labels), kept_views(past, self.parameters)
            return table if kept is None else table.of_views(self.parameters.views.views_of(kept))

        return Training(
            load_table,
            self.corpus.classes,
            self.parameters.algorithm.head,
            self.parameters.seed,
            self.limit,
            self._numerics,
            lambda: chosen_of(past.state(Phase.SELECTING)) if Phase.SELECTING in self.phases else None,
        )

    def _finetuning(self, past: Past) -> PhaseRunner:
        from mlsession.phases.features import load_features
        from mlsession.phases.finetune import FineTuning
        from mlsession.phases.tuning.work import TuningWork

        options = self.parameters.algorithm
        if not isinstance(options, FineTune):
            raise InternalError("a session without fine-tuning has no such phase")
        kept = kept_views(past, self.parameters)
        views, usual = self.parameters.views, USUAL_AUGMENTATION
        if kept is not None:  # What was left out of the choice is not done here either.
            usual = tuple(name for name in usual if name in {name_of(option) for option in views.options})
            views = views.only(kept)
        work = TuningWork(
            options=options,
            runtime=recorded_tuning(self.numerics, self.parameters, self.emit),
            corpus=self.corpus,
            load_table=lambda: load_features(past, self.corpus.labels),
            head=lambda: trained_head(past.state(Phase.TRAINING)),
            augmentation=options.augmentation_of(views.options, usual),
            seed=self.parameters.seed,
            emit=self.emit,
            is_shared=self.is_shared,
            open_store=self.open_store,
            rules=ReadingRules(allow_truncated=self.parameters.allow_truncated),
        )
        return FineTuning(work, self.crew, neighbours=1 if self.crew is None else self.crew.local_size)

    def _evaluating(self, past: Past) -> PhaseRunner:
        from mlsession.phases.evaluate import Evaluating, LookedAtAgain
        from mlsession.phases.features import load_features

        model = trained_model(past, self.parameters, self.corpus.classes, finetuned=Phase.FINETUNING in self.phases)
        is_shared, again = self.test.is_shared if self.test else None, None
        if model.feature_extractor == self.parameters.algorithm.extractor:
            featurizer = shared(self, featurizer_of(self, is_shared=is_shared), TEST)
        else:
            # Each image once, and no other session asks for them: these features are not worth a place in the cache.
            spec, corpus = model.feature_extractor, self.corpus
            featurizer = shared(self, tuned_featurizer(self, spec, is_shared), TUNED_TEST)
            remade = shared(self, tuned_featurizer(self, spec, corpus.is_shared), TUNED_CORPUS)
            again = LookedAtAgain(corpus=corpus, featurizer=remade)
        return Evaluating(
            self.corpus.classes,
            model.head,
            lambda: load_features(past, self.corpus.labels),
            self.test,
            featurizer,
            self._numerics,
            again,
            self.short_sides,
        )

    def _numerics(self) -> AbstractContextManager[None]:
        return torch_numerics(self.threads)

    @property
    def donations(self) -> tuple[Callable[[], DonatedRows], ...]:
        """Read what there is of the rows to extract; the first one that has a row gives it."""
        given = None if self.donation is None else partial(self.donation, self.parameters.algorithm.extractor.identity)
        return tuple(read for read in (given, self.sampled) if read is not None)


def phases_of(parameters: ModelParameters) -> tuple[Phase, ...]:
    """The phases of a training, in order; `choosing`, `selecting` and `finetuning` only where there is reason to."""
    selecting = (Phase.SELECTING,) if parameters.selects else ()
    finetuning = (Phase.FINETUNING,) if isinstance(parameters.algorithm, FineTune) else ()
    choosing = (Phase.CHOOSING,) if parameters.algorithm.automatic is not None else ()
    return (*choosing, Phase.EXTRACTING, *selecting, Phase.TRAINING, *finetuning, Phase.EVALUATING)


def part_of(index: ImageIndex, classes: tuple[str, ...], reader: SourceReader) -> Part:
    """A source's images with their labels as places in `classes`, which holds all of the index's."""
    places = np.array([classes.index(name) for name in index.classes], dtype=np.int64)
    return Part(
        keys=index.keys,
        labels=places[index.labels],
        read=reader.read,
        is_shared=reader.opens_shared,
        stamping=reader if reader.has_stamps else None,
    )


def index_digest(index: ImageIndex | None) -> str:
    """Names a test set by keys, labels and versions; "" for none."""
    return "" if index is None else hashlib.sha256(index.digest.encode()).hexdigest()
