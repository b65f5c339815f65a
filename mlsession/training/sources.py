"""What features are made of in each phase, by the name under which rank 0 tells the other processes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from mlsession.errors import InternalError
from mlsession.events import DonorFailed
from mlsession.extractors.automatic import AutomaticExtractor
from mlsession.extractors.catalog import FeatureExtractorSpec
from mlsession.extractors.numerics import torch_numerics
from mlsession.phases.donation import DonatedRows, Donation, FeatureRows
from mlsession.phases.featurize import Featurizer
from mlsession.phases.listed import StampedRows
from mlsession.phases.recorded import RecordedExtractor
from mlsession.phases.sharing import FeatureSource, SharedFeaturizer
from mlsession.session.phase import Past, PhaseRunner
from mlsession.training.choosing import sample_of
from mlsession.training.outcome import trained_model

if TYPE_CHECKING:
    from mlsession.training.task import ImageClassification

CORPUS, TEST = "corpus", "test"
SAMPLE = "sample "
"""Training images that an extractor is tried on, followed by its place among the candidates."""
TUNED_CORPUS, TUNED_TEST = "tuned corpus", "tuned test"
"""The same images, for the network that fine-tuning has left."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Images, and what turns them into features in this process."""

    featurizer: Featurizer
    key_of: Callable[[int], str]
    bytes_of: Callable[[int], bytes]
    stamps: StampedRows | None = None
    """What they are known by without reading them."""


def source_of(task: ImageClassification, name: str, past: Past) -> Source:
    """The images that a name stands for. Raises `InternalError` for ones that the task does not have."""

    if name.startswith(SAMPLE):
        automatic = _automatic(task)
        sample = sample_of(task.corpus, task.parameters, automatic, task.sides())
        featurizer = _candidate_featurizer(task, int(name.removeprefix(SAMPLE)))
        return Source(featurizer=featurizer, key_of=sample.key_of, bytes_of=sample.bytes_of, stamps=sample.stamps)
    task = task.settled(past)

    def tuned(is_shared: Callable[[], bool] | None) -> Featurizer:
        model = trained_model(past, task.parameters, task.corpus.classes, finetuned=True)
        return tuned_featurizer(task, model.feature_extractor, is_shared)

    if name in (CORPUS, TUNED_CORPUS):
        corpus = task.corpus
        is_tuned, asked = name == TUNED_CORPUS, corpus.is_shared
        featurizer = tuned(asked) if is_tuned else featurizer_of(task, task.donations, asked)
        return Source(featurizer=featurizer, key_of=corpus.key, bytes_of=corpus.bytes_of, stamps=corpus)
    if name in (TEST, TUNED_TEST) and task.test is not None:
        test = task.test
        featurizer = tuned(test.is_shared) if name == TUNED_TEST else featurizer_of(task, is_shared=test.is_shared)
        return Source(featurizer=featurizer, key_of=test.keys.__getitem__, bytes_of=test.bytes_of, stamps=test)
    raise InternalError(f"the session has no images of the kind {name!r}")


def shared(task: ImageClassification, featurizer: Featurizer, name: str) -> FeatureSource:
    """The same featurizer, which leaves their shares to the other processes, if there are any."""
    return featurizer if task.crew is None else SharedFeaturizer(featurizer, task.crew, name, task.emit)


def recorded_extractor(task: ImageClassification) -> RecordedExtractor:
    """What makes the features of a task whose extractor is settled."""
    return RecordedExtractor(spec=task.parameters.algorithm.extractor, numerics=task.numerics, emit=task.emit)


def featurizer_of(
    task: ImageClassification,
    donations: Sequence[Callable[[], DonatedRows]] = (),
    is_shared: Callable[[], bool] | None = None,
) -> Featurizer:
    """What turns images into features, before it the feature cache and what is donated; `is_shared`: see `Part`."""
    extractor = recorded_extractor(task)
    cache = extractor.cache(task.open_cache, task.cache_size, trusts_stamps=not task.verify_content)
    rows: FeatureRows | None = cache
    for donation in reversed(donations):
        rows = Donation(donation, lambda reason: task.emit(DonorFailed(reason=reason)), rows)
    return extractor.featurizer(cache, rows, task.parameters.views, is_shared)


def tuned_featurizer(
    task: ImageClassification, spec: FeatureExtractorSpec, is_shared: Callable[[], bool] | None = None
) -> Featurizer:
    """The same by the fine-tuned network `spec`, run as the session has recorded of the one that it was."""
    return replace(recorded_extractor(task), spec=spec).featurizer(None, is_shared=is_shared)


def choosing(task: ImageClassification, past: Past) -> PhaseRunner:
    """What chooses the extractor of a task."""
    from mlsession.heads.selecting.view_contest import judge_of
    from mlsession.phases.choose import Candidate, Choosing

    automatic, parameters = _automatic(task), task.parameters

    def features_of(place: int) -> Callable[[], FeatureSource]:
        return lambda: shared(task, _candidate_featurizer(task, place), f"{SAMPLE}{place}")

    return Choosing(
        sample_of(task.corpus, parameters, automatic, task.sides()),
        [Candidate(name=each.name, features=features_of(place)) for place, each in enumerate(automatic.candidates)],
        task.corpus.classes,
        judge_of(parameters.algorithm.head),
        parameters.seed,
        lambda: torch_numerics(task.threads),
        past,
    )


def _candidate_featurizer(task: ImageClassification, place: int) -> Featurizer:
    """Of images as they are, by an extractor that may be chosen."""
    spec = _automatic(task).candidates[place]
    extractor = RecordedExtractor(spec=spec, numerics=task.numerics, emit=task.emit)
    cache = extractor.cache(task.open_cache, task.cache_size, trusts_stamps=not task.verify_content)
    return extractor.featurizer(cache, is_shared=task.corpus.training.is_shared)


def _automatic(task: ImageClassification) -> AutomaticExtractor:
    automatic = task.parameters.algorithm.automatic
    if automatic is None:
        raise InternalError("the extractor of this session is given")
    return automatic
