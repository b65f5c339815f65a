"""What features are made of in each phase, by the name under which rank 0 tells the other processes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlsession.errors import InternalError
from mlsession.phases.featurize import Featurizer
from mlsession.phases.sharing import FeatureSource, SharedFeaturizer
from mlsession.session.phase import Past
from mlsession.training.outcome import trained_model

if TYPE_CHECKING:
    from mlsession.training.task import ImageClassification

CORPUS, TEST = "corpus", "test"
TUNED_CORPUS, TUNED_TEST = "tuned corpus", "tuned test"
"""The same images, for the network that fine-tuning has left."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Source:
    """Images, and what turns them into features in this process."""

    featurizer: Featurizer
    key_of: Callable[[int], str]
    bytes_of: Callable[[int], bytes]


def source_of(task: ImageClassification, name: str, past: Past) -> Source:
    """The images that a name stands for. Raises `InternalError` for ones that the task does not have."""

    def tuned(is_shared: Callable[[], bool] | None) -> Featurizer:
        model = trained_model(past, task.parameters, task.corpus.classes, finetuned=True)
        return task.tuned_featurizer(model.feature_extractor, is_shared)

    if name in (CORPUS, TUNED_CORPUS):
        corpus = task.corpus
        is_tuned, asked = name == TUNED_CORPUS, corpus.is_shared
        featurizer = tuned(asked) if is_tuned else task.featurizer(task.donation, asked)
        return Source(featurizer=featurizer, key_of=corpus.key, bytes_of=corpus.bytes_of)
    if name in (TEST, TUNED_TEST) and task.test is not None:
        test = task.test
        featurizer = tuned(test.is_shared) if name == TUNED_TEST else task.featurizer(is_shared=test.is_shared)
        return Source(featurizer=featurizer, key_of=test.keys.__getitem__, bytes_of=test.bytes_of)
    raise InternalError(f"the session has no images of the kind {name!r}")


def shared(task: ImageClassification, featurizer: Featurizer, name: str) -> FeatureSource:
    """The same featurizer, which leaves their shares to the other processes, if there are any."""
    return featurizer if task.crew is None else SharedFeaturizer(featurizer, task.crew, name, task.emit)
