"""What to train: options that a session stores and compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, TypeAlias, cast

from mlsession.augment.automatic import (
    Augmentation,
    AutomaticAugmentation,
    augmentation_from_json,
    augmentation_of,
    augmentation_to_json,
    options_of,
)
from mlsession.augment.views import ViewPlan
from mlsession.data.groups import check_expression, groups_of
from mlsession.data.validation import Validation, ValidationKind
from mlsession.devices.accelerators import AcceleratorChoice
from mlsession.errors import InvalidParameter
from mlsession.extractors.automatic import AutomaticExtractor, stored_extractor
from mlsession.extractors.catalog import recorded_place
from mlsession.extractors.running.runtime import (
    MIXED,
    BackendChoice,
    DecoderChoice,
    PrecisionChoice,
    check_choices,
    plain_precision,
)
from mlsession.finetuning.options import FineTune
from mlsession.heads.options import AutomaticClassifier, LogisticRegressor, classifier_from_json
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_integer, as_text
from mlsession.session.phase import Array, Json
from mlsession.training.algorithms import Algorithm, TransferLearning, algorithm_of

Tune: TypeAlias = Literal["cross-validation", "validation", "off"]
TUNES: tuple[Tune, ...] = ("cross-validation", "validation", "off")
DEFAULT_ITERATIONS = 25
"""As Create ML."""
EXTRACTOR_WEIGHTS = "extractor_weights"
"""The setting that says where the weights of a library's network lie, or the file of a custom extractor."""


def recorded_views(stored: Mapping[str, Json]) -> ViewPlan:
    """The views of each training image in what a session fixes, whatever its extractor. Raises `DamagedData`."""
    with as_written("the session's parameters"):
        choice = augmentation_from_json(stored.get("augmentation", []))
        return ViewPlan(options=options_of(choice), seed=as_integer(stored["seed"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelParameters:
    """What matters to the trained model; all but `max_iterations` is fixed for a session's life."""

    validation: Validation = field(default_factory=Validation.automatic)
    max_iterations: int = DEFAULT_ITERATIONS
    """The most training iterations; `SessionParameters.iterations` overrides it. May be raised later."""
    seed: int = 0
    augmentation: Augmentation = ()
    """Views of training images to train on as well: names (`mlsession.augment.options.NAMES`) or options.

    Kept as a tuple of options in one order. Extracting takes 1 + the sum of their views as long. "auto", or an
    `AutomaticAugmentation`: those of its options that make the classifier better, as `tune` finds.
    """
    algorithm: Algorithm = field(default_factory=TransferLearning)
    """`TransferLearning`, or `FineTune` to go on with the network itself."""
    tune: Tune = "cross-validation"
    """What the penalty of a `LogisticRegressor` without `l2`, and its temperature, are chosen on, and the kind of an
    `AutomaticClassifier`, and the views of an `AutomaticAugmentation`; see `phases.select`.

    "cross-validation": on the training images, in five folds. "validation": on the images held out for validation,
    which then say less about how good the classifier is. "off": nothing is chosen, and the defaults are taken. Of
    another classifier with given views there is nothing to choose, and a session does not fix it.
    """
    on_bad_image: Literal["skip", "fail"] = "skip"
    """Whether an image that cannot be read is left out and named, or ends the job."""
    allow_truncated: bool = False
    """Whether of an image that is cut short the part that is there is taken; see `mlsession.images.decode`."""
    precision: PrecisionChoice = "auto"
    """Of the extractor's network, in our words or Lightning's, see `extractors.running.runtime`. Kept in ours.

    The choice of "auto" is recorded and kept. "bf16-mixed" and "16-mixed" are of fine-tuning alone.
    """
    backend: BackendChoice = "auto"
    """What runs the extractor's network; likewise."""
    accelerator: AcceleratorChoice = "auto"
    """Where networks are run, in Lightning's words; likewise. See `mlsession.devices.accelerators`.

    Heads are trained on the CPU in any case: their work is small, and its bits are then the same on all machines.
    """
    decoder: DecoderChoice = "auto"
    """What decodes plain JPEGs to extract features of them; see `extractors.trying`. Likewise."""
    groups: str | None = None
    """Which training images belong together, such as those of one patient, one video or one burst: a regular expression
    with one group in parentheses, looked for in the key of each (its path below the source's folder), as in
    "(patient[0-9]+)_". Images for which it gives the same are never divided: not by `Validation.automatic` or `split`,
    and not among the folds that something is chosen on. One that does not match a key is refused.
    """

    def __post_init__(self) -> None:
        if isinstance(self.max_iterations, bool) or not isinstance(self.max_iterations, int) or self.max_iterations < 1:
            raise InvalidParameter("max_iterations", self.max_iterations, "must be a whole number, 1 or more")
        if isinstance(self.seed, bool) or not isinstance(self.seed, int):
            raise InvalidParameter("seed", self.seed, "must be a whole number")
        if self.tune not in TUNES:
            raise InvalidParameter("tune", self.tune, f"must be one of {', '.join(map(repr, TUNES))}")
        if self.tune == "off" and isinstance(self.algorithm.head, AutomaticClassifier):
            reason = "a classifier is chosen by how good it is on held-out images; name one, or tune on some"
            raise InvalidParameter("tune", self.tune, reason)
        if self.tune == "off" and self.algorithm.automatic is not None:
            reason = "an extractor is chosen by how good heads are on held-out images; name one, or tune on some"
            raise InvalidParameter("tune", self.tune, reason)
        # Two sets of the same options are the same parameters, however they are written.
        object.__setattr__(self, "augmentation", augmentation_of(self.augmentation))
        if self.tune == "off" and self.chooses_views:
            reason = "views are chosen by how good heads are on held-out images; name some, or tune on some images"
            raise InvalidParameter("tune", self.tune, reason)
        if self.tune == "validation" and self.validation.kind is ValidationKind.NONE:
            reason = "there are no validation images to choose on; give some, or choose by 'cross-validation'"
            raise InvalidParameter("tune", self.tune, reason)
        if self.on_bad_image not in ("skip", "fail"):
            raise InvalidParameter("on_bad_image", self.on_bad_image, "must be 'skip' or 'fail'")
        if not isinstance(self.allow_truncated, bool):
            raise InvalidParameter("allow_truncated", self.allow_truncated, "must be True or False")
        check_choices(self.backend, self.precision, self.accelerator, self.decoder)
        object.__setattr__(self, "precision", plain_precision(self.precision))
        if self.groups is not None:
            check_expression(self.groups)
        if self.groups is not None and self.algorithm.automatic is not None:
            reason = "an extractor is chosen on some of the images, whole groups or not; name an extractor"
            raise InvalidParameter("groups", self.groups, reason)
        needs_validation = isinstance(self.algorithm, FineTune) and self.algorithm.keep != "always"
        if needs_validation and self.validation.kind is ValidationKind.NONE:
            reason = "fine-tuning is kept only if validation images say it is better; give some, or keep='always'"
            raise InvalidParameter("validation", "none", reason)
        if self.precision in MIXED and type(self.algorithm) is TransferLearning:
            reason = "is of fine-tuning; to extract features say 'bf16-true' or '32-true', or leave it out"
            raise InvalidParameter("precision", self.precision, reason)

    @property
    def views(self) -> ViewPlan:
        """The views of each training image that are made; where they are to be chosen, those of all candidates."""
        return ViewPlan(options=options_of(augmentation_of(self.augmentation)), seed=self.seed)

    def ties(self, keys: Sequence[str]) -> Callable[[], Array] | None:
        """Finds which of the training images belong together, int64 [n]: the same number for these; None for none.

        It raises `InvalidParameter` with the key that `groups` does not match.
        """
        groups = self.groups
        return None if groups is None else lambda: groups_of(keys, groups)

    @property
    def chooses_views(self) -> bool:
        """Whether it is to be chosen which of the views are trained on."""
        return isinstance(self.augmentation, AutomaticAugmentation)

    @property
    def selects(self) -> bool:
        """Whether there is something to choose before training."""
        return self.tune != "off" and self._can_select

    @property
    def _can_select(self) -> bool:
        """Whether `tune` makes a difference."""
        head = self.algorithm.head
        if self.chooses_views:
            return True
        return isinstance(head, AutomaticClassifier) or (isinstance(head, LogisticRegressor) and head.l2 is None)

    def to_json(self) -> dict[str, Json]:
        """What a session fixes. A validation source is compared by its images, so its URL is left out."""
        validation = self.validation.to_json()
        validation.pop("source", None)
        augmentation = augmentation_to_json(augmentation_of(self.augmentation))
        return {
            "validation": validation,
            "seed": self.seed,
            **({"augmentation": augmentation} if augmentation else {}),
            "algorithm": {
                "feature_extractor": self._extractor_json(),
                "classifier": self.algorithm.head.to_json(),
                **({"finetune": self.algorithm.tuning_json()} if isinstance(self.algorithm, FineTune) else {}),
            },
            **({"tune": self.tune} if self._can_select else {}),
            "on_bad_image": self.on_bad_image,
            **({"allow_truncated": True} if self.allow_truncated else {}),
            **({} if self.precision == "auto" else {"precision": self.precision}),
            **({} if self.backend == "auto" else {"backend": self.backend}),
            **({} if self.accelerator == "auto" else {"accelerator": self.accelerator}),
            **({} if self.decoder == "auto" else {"decoder": self.decoder}),
            **({} if self.groups is None else {"groups": self.groups}),
        }

    def _extractor_json(self) -> dict[str, Json]:
        if (automatic := self.algorithm.automatic) is not None:
            return automatic.to_json()
        spec = self.algorithm.extractor
        return {**spec.to_json(), "identity": spec.identity}

    def settings(self) -> dict[str, Json]:
        """What a session remembers beside `to_json`, and may be another the next time: where weights lie."""
        spec = self.algorithm.feature_extractor
        place = None if isinstance(spec, AutomaticExtractor | str) else recorded_place(spec)
        return {} if place is None else {EXTRACTOR_WEIGHTS: place[0]}

    @classmethod
    def from_json(
        cls,
        stored: Mapping[str, Json],
        settings: Mapping[str, Json],
        storage_options: Mapping[str, object] | None = None,
    ) -> ModelParameters:
        """The parameters of a session, from what it fixes and from the settings of its newest attempt.

        `storage_options` are fsspec's, to reach the weights of a library's network.
        Raises `InvalidParameter` for an extractor or head that this version does not have, `DamagedData` for what was
        never written.
        """
        with as_written("the session's parameters"):
            return cls._from_json(stored, settings, storage_options)

    @classmethod
    def _from_json(
        cls,
        stored: Mapping[str, Json],
        settings: Mapping[str, Json],
        storage_options: Mapping[str, object] | None,
    ) -> ModelParameters:
        algorithm = cast(dict[str, dict[str, Json]], stored["algorithm"])
        place = settings.get(EXTRACTOR_WEIGHTS)
        weights = None if place is None else as_text(place)
        validation = cast(dict[str, Json], stored["validation"])
        if validation["kind"] == ValidationKind.DATA.value:
            validation = {**validation, "source": settings["validation_source"]}
        iterations, seed = settings.get("iterations"), stored["seed"]
        if not isinstance(seed, int):
            raise ValueError("the seed is no whole number")
        return cls(
            validation=Validation.from_json(validation),
            max_iterations=iterations if isinstance(iterations, int) else DEFAULT_ITERATIONS,
            seed=seed,
            augmentation=augmentation_from_json(stored.get("augmentation", [])),
            algorithm=algorithm_of(
                stored_extractor(algorithm["feature_extractor"], weights, storage_options),
                classifier_from_json(algorithm["classifier"]),
                algorithm.get("finetune"),
            ),
            tune=cast(Tune, stored.get("tune", "cross-validation")),  # Checked when it is made.
            on_bad_image="fail" if stored["on_bad_image"] == "fail" else "skip",
            allow_truncated=stored.get("allow_truncated", False) is True,
            precision=cast(PrecisionChoice, stored.get("precision", "auto")),
            backend=cast(BackendChoice, stored.get("backend", "auto")),
            accelerator=cast(AcceleratorChoice, stored.get("accelerator", "auto")),
            decoder=cast(DecoderChoice, stored.get("decoder", "auto")),
            groups=cast(str | None, stored.get("groups")),
        )
