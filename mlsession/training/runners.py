"""What runs each phase of image classification, made of what the task has."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mlsession.augment.options import name_of
from mlsession.errors import InternalError
from mlsession.extractors.numerics import torch_numerics
from mlsession.extractors.running.allocator import give_back_freed_memory
from mlsession.finetuning.options import USUAL_AUGMENTATION, FineTune
from mlsession.images.decode import ReadingRules
from mlsession.phases.trained import chosen_of, trained_head
from mlsession.session.phase import Past, Phase, PhaseRunner
from mlsession.training.choosing import chosen_on, split_rule
from mlsession.training.foresight import Foreseeing, load_training
from mlsession.training.numerics import tell_changes
from mlsession.training.outcome import kept_views, trained_model
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
from mlsession.training.tuning import recorded_tuning, tell_undivided

if TYPE_CHECKING:
    from mlsession.phases.features import FeatureTable
    from mlsession.training.task import ImageClassification


def runner_of(task: ImageClassification, phase: str, past: Past) -> PhaseRunner:
    """The runner of a phase of the task; what it needs is imported and read when it is asked for."""
    if phase == Phase.CHOOSING:
        return choosing(task, past)
    task = task.settled(past)
    give_back_freed_memory()  # Of the phase before; of listing the images, before the first.
    match phase:
        case Phase.EXTRACTING:
            return _extracting(task, past)
        case Phase.SELECTING:
            return _selecting(task, past)
        case Phase.TRAINING:
            return _training(task, past)
        case Phase.FINETUNING:
            return _finetuning(task, past)
        case Phase.EVALUATING:
            return _evaluating(task, past)
    raise InternalError(f"image classification has no phase {phase}")


def _extracting(task: ImageClassification, past: Past) -> PhaseRunner:
    from mlsession.phases.extract import Extracting

    recorded_extractor(task).check_augmenter(task.parameters.views)
    used = chosen_on(past, was_open=task.sampled is not None)
    undivided = partial(tell_undivided, task.parameters, task.emit)
    runner = Extracting(
        task.corpus,
        shared(task, featurizer_of(task, task.donations, task.corpus.is_shared), CORPUS),
        split_rule(task.parameters.validation, task.sides(), used, task.ties, undivided),
        past,
        fail_on_bad_image=task.parameters.on_bad_image == "fail",
    )
    return Foreseeing(runner, load_training)


def _selecting(task: ImageClassification, past: Past) -> PhaseRunner:
    from mlsession.phases.features import load_features
    from mlsession.phases.select import Selecting

    tell_changes(Phase.SELECTING, task.numerics, task.emit)
    return Selecting(
        lambda: _grouped(load_features(past, task.corpus.labels), task),
        task.corpus.classes,
        task.parameters.algorithm.head,
        task.parameters.tune,
        task.parameters.seed,
        partial(torch_numerics, task.threads),
        views=task.parameters.views if task.parameters.chooses_views else None,
    )


def _training(task: ImageClassification, past: Past) -> PhaseRunner:
    from mlsession.phases.features import load_features
    from mlsession.phases.train import Training

    tell_changes(Phase.TRAINING, task.numerics, task.emit)

    def load_table() -> FeatureTable:
        table, kept = _grouped(load_features(past, task.corpus.labels), task), kept_views(past, task.parameters)
        return table if kept is None else table.of_views(task.parameters.views.views_of(kept))

    return Training(
        load_table,
        task.corpus.classes,
        task.parameters.algorithm.head,
        task.parameters.seed,
        task.limit,
        partial(torch_numerics, task.threads),
        lambda: chosen_of(past.state(Phase.SELECTING)) if Phase.SELECTING in task.phases else None,
    )


def _grouped(table: FeatureTable, task: ImageClassification) -> FeatureTable:
    """The table, which knows what belongs together."""
    return table if task.ties is None else replace(table, groups=task.ties())


def _finetuning(task: ImageClassification, past: Past) -> PhaseRunner:
    from mlsession.phases.features import load_features
    from mlsession.phases.finetune import FineTuning
    from mlsession.phases.tuning.work import TuningWork

    options = task.parameters.algorithm
    if not isinstance(options, FineTune):
        raise InternalError("a session without fine-tuning has no such phase")
    kept = kept_views(past, task.parameters)
    views, usual = task.parameters.views, USUAL_AUGMENTATION
    if kept is not None:  # What was left out of the choice is not done here either.
        usual = tuple(name for name in usual if name in {name_of(option) for option in views.options})
        views = views.only(kept)
    work = TuningWork(
        options=options,
        runtime=recorded_tuning(task.numerics, task.parameters, task.emit),
        corpus=task.corpus,
        load_table=lambda: load_features(past, task.corpus.labels),
        head=lambda: trained_head(past.state(Phase.TRAINING)),
        augmentation=options.augmentation_of(views.options, usual),
        seed=task.parameters.seed,
        emit=task.emit,
        is_shared=task.is_shared,
        open_store=task.open_store,
        rules=ReadingRules(allow_truncated=task.parameters.allow_truncated),
    )
    return FineTuning(work, task.crew, neighbours=1 if task.crew is None else task.crew.local_size)


def _evaluating(task: ImageClassification, past: Past) -> PhaseRunner:
    from mlsession.phases.evaluate import Evaluating, LookedAtAgain
    from mlsession.phases.features import load_features

    model = trained_model(past, task.parameters, task.corpus.classes, finetuned=Phase.FINETUNING in task.phases)
    is_shared, again = task.test.is_shared if task.test else None, None
    if model.feature_extractor == task.parameters.algorithm.extractor:
        featurizer = shared(task, featurizer_of(task, is_shared=is_shared), TEST)
    else:
        # Each image once, and no other session asks for them: these features are not worth a place in the cache.
        spec, corpus = model.feature_extractor, task.corpus
        featurizer = shared(task, tuned_featurizer(task, spec, is_shared), TUNED_TEST)
        remade = shared(task, tuned_featurizer(task, spec, corpus.is_shared), TUNED_CORPUS)
        again = LookedAtAgain(corpus=corpus, featurizer=remade)
    return Evaluating(
        task.corpus.classes,
        model.head,
        lambda: load_features(past, task.corpus.labels),
        task.test,
        featurizer,
        partial(torch_numerics, task.threads),
        again,
        task.short_sides,
    )
