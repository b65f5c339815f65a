"""What is trained: a head on a frozen extractor, or the extractor with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from mlsession.errors import InternalError
from mlsession.extractors.automatic import AUTO, AutomaticExtractor
from mlsession.extractors.catalog import FeatureExtractorSpec, scene_print
from mlsession.finetuning.options import FineTune
from mlsession.heads.options import ClassifierOptions, LogisticRegressor, checked_classifier
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLearning:
    """A frozen extractor and a small classifier trained on its features."""

    feature_extractor: FeatureExtractorSpec | AutomaticExtractor | Literal["auto"] = field(default_factory=scene_print)
    """An extractor, or `AutomaticExtractor` to have one chosen by how good heads on its features are: "auto"."""
    classifier: ClassifierOptions | Literal["auto"] = field(default_factory=LogisticRegressor)
    """`LogisticRegressor`, `MultilayerPerceptron`, or `AutomaticClassifier` to have one of them chosen: "auto"."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "classifier", checked_classifier(self.classifier))
        if self.feature_extractor == AUTO:
            object.__setattr__(self, "feature_extractor", AutomaticExtractor())

    @property
    def automatic(self) -> AutomaticExtractor | None:
        """What the extractor is to be chosen out of; None where it is given."""
        return self.feature_extractor if isinstance(self.feature_extractor, AutomaticExtractor) else None

    @property
    def extractor(self) -> FeatureExtractorSpec:
        """The extractor that is given. Raises `InternalError` where it is to be chosen; see `training.choosing`."""
        if isinstance(self.feature_extractor, AutomaticExtractor):
            raise InternalError("the extractor is to be chosen, and nobody asked which one was")
        return cast(FeatureExtractorSpec, self.feature_extractor)  # "auto" has become another value above.

    @property
    def head(self) -> ClassifierOptions:
        """The classifier's options."""
        return cast(ClassifierOptions, self.classifier)  # "auto" has become one of them above.


Algorithm: TypeAlias = TransferLearning | FineTune


def algorithm_of(
    extractor: FeatureExtractorSpec | AutomaticExtractor,
    classifier: ClassifierOptions,
    finetune: Mapping[str, Json] | None,
) -> Algorithm:
    """As stored; `finetune` is what is tuned besides the head, if that is."""
    if finetune is None or isinstance(extractor, AutomaticExtractor):
        return TransferLearning(feature_extractor=extractor, classifier=classifier)
    return FineTune.from_tuning_json(finetune, extractor, classifier)
