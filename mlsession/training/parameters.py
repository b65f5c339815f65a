"""What to train: options that a session stores and compares."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

from mlsession.data.validation import Validation, ValidationKind
from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import FeatureExtractorSpec, extractor_from_json, scene_print
from mlsession.heads.options import LogisticRegressor
from mlsession.session.phase import Json

DEFAULT_ITERATIONS = 25
"""As Create ML."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferLearning:
    """A frozen extractor and a small classifier trained on its features."""

    feature_extractor: FeatureExtractorSpec = field(default_factory=scene_print)
    classifier: LogisticRegressor = field(default_factory=LogisticRegressor)


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParameters:
    """What matters to the trained model; all but `max_iterations` is fixed for a session's life."""

    validation: Validation = field(default_factory=Validation.automatic)
    max_iterations: int = DEFAULT_ITERATIONS
    """The most training iterations; `SessionParameters.iterations` overrides it. May be raised later."""
    seed: int = 0
    algorithm: TransferLearning = field(default_factory=TransferLearning)
    on_bad_image: Literal["skip", "fail"] = "skip"
    """Whether an image that cannot be read is left out and named, or ends the job."""

    def __post_init__(self) -> None:
        if isinstance(self.max_iterations, bool) or not isinstance(self.max_iterations, int) or self.max_iterations < 1:
            raise InvalidParameter("max_iterations", self.max_iterations, "must be a whole number, 1 or more")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InvalidParameter("seed", self.seed, "must be a whole number")
        if self.on_bad_image not in ("skip", "fail"):
            raise InvalidParameter("on_bad_image", self.on_bad_image, "must be 'skip' or 'fail'")

    def to_json(self) -> dict[str, Json]:
        """What a session fixes. A validation source is compared by its images, so its URL is left out."""
        validation = self.validation.to_json()
        validation.pop("source", None)
        return {
            "validation": validation,
            "seed": self.seed,
            "algorithm": {
                "feature_extractor": {**self.algorithm.feature_extractor.to_json(), "identity": self._identity},
                "classifier": self.algorithm.classifier.to_json(),
            },
            "on_bad_image": self.on_bad_image,
        }

    @property
    def _identity(self) -> str:
        return self.algorithm.feature_extractor.identity

    @classmethod
    def from_json(cls, stored: Mapping[str, Json], settings: Mapping[str, Json]) -> ModelParameters:
        """The parameters of a session, from what it fixes and from the settings of its newest attempt.

        Raises `InvalidParameter` for an extractor or head that this version does not have.
        """
        algorithm = cast(dict[str, dict[str, Json]], stored["algorithm"])
        validation = cast(dict[str, Json], stored["validation"])
        if validation["kind"] == ValidationKind.DATA.value:
            validation = {**validation, "source": settings["validation_source"]}
        iterations, seed = settings.get("iterations"), stored["seed"]
        assert isinstance(seed, int)
        return cls(
            validation=Validation.from_json(validation),
            max_iterations=iterations if isinstance(iterations, int) else DEFAULT_ITERATIONS,
            seed=seed,
            algorithm=TransferLearning(
                feature_extractor=extractor_from_json(algorithm["feature_extractor"]),
                classifier=LogisticRegressor.from_json(algorithm["classifier"]),
            ),
            on_bad_image="fail" if stored["on_bad_image"] == "fail" else "skip",
        )
