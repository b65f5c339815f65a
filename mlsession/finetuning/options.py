"""What a person may choose about fine-tuning; a value that is stored, free of torch."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, fields
from typing import Literal, TypeAlias, cast

from mlsession.augment.options import AugmentationOption, augmentation_options, option_from_json
from mlsession.errors import InvalidParameter
from mlsession.extractors.automatic import AUTO, AutomaticExtractor
from mlsession.extractors.catalog import FeatureExtractorSpec, scene_print
from mlsession.extractors.custom.options import CustomFeatureExtractor
from mlsession.extractors.protocol import OwnExtractor
from mlsession.extractors.tuned import TunedExtractor
from mlsession.heads.options import ClassifierOptions, LogisticRegressor, checked_classifier
from mlsession.session.phase import Json

Schedule: TypeAlias = Literal["cosine", "linear", "constant"]
SCHEDULES: tuple[Schedule, ...] = ("cosine", "linear", "constant")
Keep: TypeAlias = Literal["better", "always"]
KEEPS: tuple[Keep, ...] = ("better", "always")
USUAL_AUGMENTATION: tuple[str, ...] = ("crop", "flip")
"""What is done to images where neither fine-tuning nor the session says what: mirrored left to right, and cut."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FineTune:
    """A head that is trained on cached features, as by `TransferLearning`, and then the network with it.

    The defaults are for some hundred to some thousand photos: few epochs, small steps, smaller ones further from the
    head. See docs/fine-tuning.md. Raises `InvalidParameter`.
    """

    feature_extractor: FeatureExtractorSpec = field(default_factory=scene_print)
    """One of `scene_print`, `lite1` and the libraries' networks: one that brings its own network cannot be tuned."""
    classifier: ClassifierOptions | Literal["auto"] = field(default_factory=LogisticRegressor)
    """As of `TransferLearning`; it is where the tuned head begins. Its class weights count in fine-tuning, too."""
    epochs: int = 5
    """Passes over the training images."""
    unfreeze: int | Literal["all"] = "all"
    """How many of the network's last blocks are tuned, see `extractors.trainable.depths`; the head is in any case."""
    learning_rate: float = 1e-3
    """Of AdamW at the head, after the warm-up: about how far a weight may move in a step, as a share of how large those
    of its channel were at the start, see `finetuning.point`; above 0, at most 1."""
    layer_decay: float = 0.9
    """The learning rate of each block is this times that of the next one towards the head; above 0, at most 1.

    Sources: Howard and Ruder, "Universal language model fine-tuning for text classification" (ACL 2018), section 3.2;
    Bao et al., "BEiT" (ICLR 2022), whose layer-wise decay is timm's `layer_decay`.
    """
    weight_decay: float = 0.01
    """The share of a weight that is lost each step is this times its learning rate; biases and what normalisations
    scale by keep theirs. Source: Loshchilov and Hutter, "Decoupled weight decay regularization" (ICLR 2019)."""
    label_smoothing: float = 0.0
    """This share of each label is spread over all classes; 0 or more, below 1. Source: Szegedy et al., "Rethinking the
    Inception architecture for computer vision" (CVPR 2016), section 7."""
    mixup: float = 0.0
    """Alpha of mixup: images of a step are blended in pairs, their labels likewise; 0: not. Source: Zhang et al.,
    "mixup: beyond empirical risk minimization" (ICLR 2018)."""
    warmup: float = 0.1
    """The share of the steps in which the learning rate rises to its full value; 0 or more, below 1."""
    schedule: Schedule = "cosine"
    """How the learning rate falls after the warm-up: to 0 on half a cosine or a straight line; or not at all. Source of
    the cosine: Loshchilov and Hutter, "SGDR" (ICLR 2017)."""
    ema: float | None = None
    """How much of an average of the weights stays in each step, such as 0.99; then the average is what is judged and
    kept. Above 0, below 1. In the first steps less stays, (1 + step) / (10 + step), as in timm. None: no average."""
    batch_size: int | Literal["auto"] = "auto"
    """Images of an optimiser step, over all devices. "auto" follows from the number of images: see `batch_size_for`."""
    gradient_accumulation: int | Literal["auto"] = "auto"
    """In how many parts a device computes its share of a step, one after the other: more of them need less memory.
    "auto": as many as needed, found in the first step, and kept by the session."""
    compile: bool = False
    """Whether `torch.compile` makes the network faster first, which takes minutes, and needs a compiler."""
    keep: Keep = "better"
    """"better": the tuned model is the session's if on the validation images it is better than the head alone in
    accuracy or log loss, and not worse in the other. "always": whatever they say, also without any."""
    augmentation: Collection[AugmentationOption | str] | None = None
    """What is done to each image, anew in each epoch: names or options, as of `ModelParameters`. None: the session's;
    `USUAL_AUGMENTATION` where it has none. () leaves images as they are."""

    def __post_init__(self) -> None:
        given: object = self.feature_extractor
        if given == AUTO or isinstance(given, AutomaticExtractor):
            reason = "extractors are compared by heads on frozen features, which says little of tuned ones; name one"
            raise InvalidParameter("feature_extractor", AUTO, f"{reason} to fine-tune, or train without fine-tuning")
        if isinstance(self.feature_extractor, OwnExtractor | CustomFeatureExtractor | TunedExtractor):
            is_own = not isinstance(self.feature_extractor, TunedExtractor)
            why = "brings its own network along, which cannot be tuned" if is_own else "was tuned already"
            reason = f"{why}; take scene_print, lite1 or one of a library"
            raise InvalidParameter("feature_extractor", self.feature_extractor.name, reason)
        object.__setattr__(self, "classifier", checked_classifier(self.classifier))
        self._check_numbers()
        for name, value, choices in (("schedule", self.schedule, SCHEDULES), ("keep", self.keep, KEEPS)):
            if value not in choices:
                raise InvalidParameter(name, value, f"must be one of {', '.join(map(repr, choices))}")
        if not isinstance(self.compile, bool):
            raise InvalidParameter("compile", self.compile, "must be True or False")
        if self.augmentation is not None:
            object.__setattr__(self, "augmentation", augmentation_options(self.augmentation))

    def _check_numbers(self) -> None:
        _check_count("epochs", self.epochs, 1)
        for name, value, least in (
            ("unfreeze", self.unfreeze, 1),
            ("batch_size", self.batch_size, 1),
            ("gradient_accumulation", self.gradient_accumulation, 1),
        ):
            word = "all" if name == "unfreeze" else "auto"
            if value != word:
                _check_count(name, value, least, f", or {word!r}")
        _check_range("learning_rate", self.learning_rate, above=0, most=1)
        _check_range("layer_decay", self.layer_decay, above=0, most=1)
        _check_range("weight_decay", self.weight_decay, least=0, below=1 / self.learning_rate)
        _check_range("label_smoothing", self.label_smoothing, least=0, below=1)
        _check_range("mixup", self.mixup, least=0)
        _check_range("warmup", self.warmup, least=0, below=1)
        if self.ema is not None:
            _check_range("ema", self.ema, above=0, below=1)
        for name in ("learning_rate", "layer_decay", "weight_decay", "label_smoothing", "mixup", "warmup", "ema"):
            value = getattr(self, name)
            object.__setattr__(self, name, None if value is None else float(value))

    @property
    def automatic(self) -> None:
        """As of `TransferLearning`: the extractor is not left open here."""
        return None

    @property
    def extractor(self) -> FeatureExtractorSpec:
        """As of `TransferLearning`."""
        return self.feature_extractor

    @property
    def head(self) -> ClassifierOptions:
        """The classifier's options."""
        return cast(ClassifierOptions, self.classifier)  # "auto" has become one of them above.

    def augmentation_of(
        self, session: tuple[AugmentationOption, ...], usual: Collection[str] = USUAL_AUGMENTATION
    ) -> tuple[AugmentationOption, ...]:
        """What is done to images in a session whose own augmentation is `session`; `usual` is done if that is none."""
        chosen = (session or usual) if self.augmentation is None else self.augmentation
        return augmentation_options(chosen)

    def tuning_json(self) -> dict[str, Json]:
        """What there is beside the extractor and the classifier, in stored form."""
        plain: dict[str, Json] = {name: getattr(self, name) for name in _PLAIN}
        if self.augmentation is None:
            return plain
        return {**plain, "augmentation": [option.to_json() for option in augmentation_options(self.augmentation)]}

    @classmethod
    def from_tuning_json(
        cls, stored: Mapping[str, Json], feature_extractor: FeatureExtractorSpec, classifier: ClassifierOptions
    ) -> FineTune:
        """The inverse of `tuning_json`. Raises `InvalidParameter` for what no option of this version gives."""
        unknown = stored.keys() - {*_PLAIN, "augmentation"}
        missing = set(_PLAIN) - stored.keys()
        for name in sorted(unknown | missing):
            reason = "is of another version of mlsession; use that one"
            raise InvalidParameter(f"finetune.{name}", stored.get(name), reason)
        augmentation = stored.get("augmentation")
        values = {name: stored[name] for name in _PLAIN}
        if isinstance(augmentation, list):
            options = [option_from_json(each) for each in augmentation if isinstance(each, dict)]
            return cls(feature_extractor=feature_extractor, classifier=classifier, augmentation=options, **values)  # type: ignore[arg-type]  # Checked when it is made.
        return cls(feature_extractor=feature_extractor, classifier=classifier, **values)  # type: ignore[arg-type]  # Likewise.


_PLAIN = tuple(
    item.name for item in fields(FineTune) if item.name not in ("feature_extractor", "classifier", "augmentation")
)
"""The options that are stored as they are."""


def _check_count(name: str, value: object, least: int, otherwise: str = "") -> None:
    if type(value) is not int or value < least:
        raise InvalidParameter(name, value, f"must be a whole number, {least} or more{otherwise}")


def _check_range(
    name: str,
    value: object,
    *,
    above: float | None = None,
    least: float | None = None,
    most: float | None = None,
    below: float | None = None,
) -> None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    number = float(value) if is_number else math.nan  # type: ignore[arg-type]  # Nothing holds of a NaN.
    asked: list[tuple[str, bool]] = []
    if above is not None:
        asked.append((f"above {above:g}", number > above))
    if least is not None:
        asked.append((f"at least {least:g}", number >= least))
    if most is not None:
        asked.append((f"at most {most:g}", number <= most))
    if below is not None:
        asked.append((f"below {below:g}", number < below))
    if not is_number or not all(held for _, held in asked):
        raise InvalidParameter(name, value, f"must be a number {' and '.join(words for words, _ in asked)}")
