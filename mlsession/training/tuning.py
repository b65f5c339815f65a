"""What a session tunes its network with: recorded when it is made, looked up again when it goes on."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields

from mlsession.augment.epochs import needs_augmenter
from mlsession.augment.identity import augmenter_identity, installed_augmenter
from mlsession.augment.options import AugmentationOption, Flip, augmentation_options
from mlsession.errors import UnusableData
from mlsession.events import Event, FindingMade, NumericsChanged
from mlsession.extractors.library.extractor import LibraryExtractor
from mlsession.extractors.running.batched import picture_numerics
from mlsession.extractors.running.runtime import Surroundings, recorded_device
from mlsession.finetuning.options import FineTune
from mlsession.finetuning.runtime import TuningRuntime, chosen_tuning, tuning_of
from mlsession.session.log.blobs import as_written
from mlsession.session.log.members import as_object
from mlsession.session.phase import Json
from mlsession.training.parameters import ModelParameters

FINETUNING = "finetuning"
"""The member of a session's numerics id that says what the network is tuned with; absent where it is not."""
UNDIVIDED = "undivided_groups"
"""What `FindingMade` calls it where groups let nothing be held out."""
OPTIONS = tuple(item.name for item in fields(FineTune) if item.name not in ("feature_extractor", "classifier"))
"""Of `FineTune`, but for those that every training has."""


def tuning_here(parameters: ModelParameters) -> dict[str, Json]:
    """That member for a session that is made on this machine; {} without fine-tuning. Raises `InvalidParameter`."""
    if not isinstance(parameters.algorithm, FineTune):
        return {}
    around = Surroundings.here(parameters.accelerator)
    if needs_augmenter(_augmentation(parameters)):
        installed_augmenter()
    return {FINETUNING: {**chosen_tuning(parameters.precision, around).numerics(around), **_pictures_here(parameters)}}


def recorded_tuning(
    numerics: Mapping[str, Json], parameters: ModelParameters, emit: Callable[[Event], None]
) -> TuningRuntime:
    """What the session with this numerics id tunes with; what of it is not as recorded is told.

    Raises `IncompatibleParameters` if it cannot be had here, `DamagedData`.
    """
    with as_written("the session's numerics"):
        recorded = as_object(numerics[FINETUNING])
        around = Surroundings.here(recorded_device(recorded))
        runtime = tuning_of(recorded, around)
    for what, new in {**runtime.numerics(around), **_pictures_here(parameters)}.items():
        original = recorded.get(what)
        if original != new:
            emit(NumericsChanged(what=f"{FINETUNING}.{what}", original=str(original), new=new))
    return runtime


def _pictures_here(parameters: ModelParameters) -> dict[str, str | int]:
    """What makes the pixels that the network is tuned on, and, where it is a library's, the network."""
    spec, found = parameters.algorithm.extractor, picture_numerics()
    if isinstance(spec, LibraryExtractor):
        from mlsession.extractors.library.networks import library_version

        found["library"] = library_version(spec)
    if needs_augmenter(_augmentation(parameters)):
        found["augmenter"] = augmenter_identity()
    return found


def _augmentation(parameters: ModelParameters) -> tuple[AugmentationOption, ...]:
    """All that may be done to images in an epoch."""
    algorithm = parameters.algorithm
    return algorithm.augmentation_of(parameters.views.options) if isinstance(algorithm, FineTune) else ()


def check_validation(parameters: ModelParameters, images: int) -> None:
    """Raises `UnusableData` where fine-tuning needs validation images, and of `images` ones none is held out."""
    if _needs_validation(parameters) and not parameters.validation.ratio_for(images):
        raise UnusableData(
            "validation",
            f"fine-tuning is kept only if validation images say that it is better, and of {images:,} images none is "
            "held out; hold some out (Validation.split(0.2), --validation 0.2), or keep it always (keep='always')",
        )


def tell_undivided(parameters: ModelParameters, emit: Callable[[Event], None]) -> None:
    """Says that images were to be held out, and that groups let none be.

    Raises `UnusableData` where fine-tuning needs them: nothing that comes after could be finished.
    """
    none = "groups are not divided (groups, --group-by), and none of them can be spared from training"
    others = "give images of other groups to validate on (Validation.data, --validation DIR)"
    if _needs_validation(parameters):
        raise UnusableData(
            "validation",
            "fine-tuning is kept only if validation images say that it is better, and none can be held out: "
            f"{none}; in a new session {others}, or keep it always (keep='always')",
        )
    sentence, cure = f"nothing is held out to validate on: {none}", f"to have validation metrics, {others}"
    emit(FindingMade(kind=UNDIVIDED, severity="warning", sentence=sentence, cure=f"{cure} in a new session"))


def _needs_validation(parameters: ModelParameters) -> bool:
    """Whether fine-tuning cannot do without images that are held out of the training images."""
    algorithm = parameters.algorithm
    return isinstance(algorithm, FineTune) and algorithm.keep != "always" and parameters.validation.source is None


def tuning_words(options: FineTune) -> Mapping[str, str | tuple[str, ...]] | None:
    """What says these on a command line, but for what is the default; None where nothing can."""
    usual, said = FineTune(), dict[str, str | tuple[str, ...]]({"--fine-tune": ""})
    further: list[str] = []
    for name in OPTIONS:
        value = getattr(options, name)
        if value == getattr(usual, name):
            continue
        text = _named(value) if name == "augmentation" else json.dumps(value).strip('"')
        if text is None:
            return None
        if name in ("epochs", "learning_rate", "batch_size", "unfreeze"):
            said[f"--{name.replace('_', '-')}"] = text
        else:
            further.append(f"{name.replace('_', '-')}={text}")
    return {**said, "--fine-tune-option": tuple(further)} if further else said


def _named(options: object) -> str | None:
    """Options of augmentation by their names; None where they are not the usual ones of these names."""
    if not isinstance(options, tuple):
        return None
    names: list[str] = []
    for option in options:
        flips = [("flip", option.horizontal), ("flip-vertical", option.vertical)] if isinstance(option, Flip) else []
        names += [name for name, is_on in flips if is_on] if flips else [option.kind]
    return (",".join(names) or "none") if augmentation_options(names) == options else None
