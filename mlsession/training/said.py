"""How a session is trained, as somebody would type it; pure. What a command line cannot say is left unsaid."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields

from mlsession.advising.commands import TrainingLine
from mlsession.augment.automatic import AUTO, augmentation_named
from mlsession.augment.options import NAMES, Flip, augmentation_options, name_of
from mlsession.data.rows import COLUMNS
from mlsession.data.validation import ValidationKind
from mlsession.extractors.automatic import AutomaticExtractor
from mlsession.extractors.catalog import NAMES as EXTRACTORS
from mlsession.extractors.custom.options import CustomFeatureExtractor
from mlsession.extractors.library.extractor import LibraryExtractor
from mlsession.finetuning.options import FineTune
from mlsession.heads.options import (
    AutomaticClassifier,
    ClassifierOptions,
    HeadOptions,
    MultilayerPerceptron,
    other_options,
)
from mlsession.session.phase import Json
from mlsession.session.session import TrainingSession
from mlsession.training.images.inputs import CORRECTIONS, TRAINING_INDEX
from mlsession.training.parameters import DEFAULT_ITERATIONS, EXTRACTOR_WEIGHTS, ModelParameters
from mlsession.training.tuning import tuning_words

_FOLDER = "folder"
"""What labels images if nothing else is said."""


_Said = dict[str, str | tuple[str, ...]]
"""As `TrainingLine.options`."""


def training_line(
    session: TrainingSession, parameters: ModelParameters, *, repeats_corrections: bool = False
) -> TrainingLine:
    """The line that trains a session as it was trained last; parts of it are "" or None where nobody can type them.

    `repeats_corrections`: the caller adds a table with what was corrected of the training images, which cannot be told
    from the session.
    """
    settings = session.settings
    sources = {name: _source(settings.get(f"{name}_source")) for name in ("training", "validation", "test")}
    data, test = sources["training"], sources["test"]
    repeated = {CORRECTIONS[TRAINING_INDEX]} if repeats_corrections else set[str]()
    is_corrected = any(name in session.attachments for name in CORRECTIONS.values() if name not in repeated)
    said = None if is_corrected else _options(parameters, settings, sources["validation"])
    rules = {rule for source in sources.values() if source is not None for rule in [source[1]]}
    if said is not None and (len(rules) != 1 or (settings.get("test_source") is not None and test is None)):
        said = None
    if said is not None and rules != {_FOLDER}:
        said = {"--label-from": rules.pop(), **said}
    return TrainingLine(
        session=session.url,
        data=data[0] if data is not None else "",
        test=test[0] if test is not None else "",
        options=said,
    )


def _source(stored: Json) -> tuple[str, str] | None:
    """A source as `train` takes it, and what labels its images; None where it takes no such source."""
    if not isinstance(stored, dict):
        return None
    url = stored.get("url")
    match stored.get("kind"):
        case "labeled_directories":
            rule = _FOLDER
        case "manifest" if (stored.get("path_column"), stored.get("label_column")) == COLUMNS:
            rule = _FOLDER
        case "labeled_files":
            rule = f"name:{stored.get('separator')}:{stored.get('position')}"
        case _:
            return None
    return (url, rule) if isinstance(url, str) else None


def _options(
    parameters: ModelParameters, settings: Mapping[str, Json], validation: tuple[str, str] | None
) -> _Said | None:
    """The options that are not the default; None where there are no such options."""
    algorithm, usual = parameters.algorithm, ModelParameters()
    held_out = _validation(parameters, validation)
    extractor = _extractor(parameters, settings)
    head = _head(algorithm.head)
    augmented = _augmentation(parameters)
    if held_out is None or extractor is None or head is None or augmented is None:
        return None
    iterations = settings.get("iterations", DEFAULT_ITERATIONS)
    plain = {
        "--iterations": "" if iterations == DEFAULT_ITERATIONS else str(iterations),
        "--seed": str(parameters.seed) if parameters.seed else "",
        "--group-by": parameters.groups or "",
    }
    for name in ("tune", "on_bad_image", "precision", "backend", "accelerator", "decoder"):
        value = getattr(parameters, name, None)
        if value != getattr(usual, name, None):
            plain[f"--{name.replace('_', '-')}"] = str(value)
    further = {name: value for name, value in plain.items() if value}
    tuned = tuning_words(algorithm) if isinstance(algorithm, FineTune) else {}
    if tuned is None:
        return None
    said: _Said = {**held_out, **extractor, **head, **tuned, **augmented, **further}
    return {**said, "--allow-truncated": ""} if parameters.allow_truncated else said


def _validation(parameters: ModelParameters, source: tuple[str, str] | None) -> dict[str, str] | None:
    validation = parameters.validation
    match validation.kind:
        case ValidationKind.NONE:
            return {"--validation": "none"}
        case ValidationKind.DATA:
            return None if source is None else {"--validation": source[0]}
        case _ if validation.seed != parameters.seed:
            return None  # On a command line one seed is for all.
        case ValidationKind.SPLIT:
            return {"--validation": repr(validation.ratio)}
    return {}


def _extractor(parameters: ModelParameters, settings: Mapping[str, Json]) -> _Said | None:
    spec = parameters.algorithm.feature_extractor
    if isinstance(spec, AutomaticExtractor):
        return {"--extractor": AUTO} if spec == AutomaticExtractor() else None
    if isinstance(spec, LibraryExtractor):
        weights = settings.get(EXTRACTOR_WEIGHTS)
        found: _Said = {"--extractor": spec.name}
        return {**found, "--extractor-weights": weights} if isinstance(weights, str) else found
    if isinstance(spec, CustomFeatureExtractor):
        place = settings.get(EXTRACTOR_WEIGHTS)
        return None if not isinstance(place, str) else {"--extractor": f"custom:{place}", **_of_custom(spec)}
    names = [name for name, known in EXTRACTORS.items() if known == spec]
    if not names:
        return None
    return {} if spec == ModelParameters().algorithm.feature_extractor else {"--extractor": names[0]}


def _of_custom(spec: CustomFeatureExtractor) -> _Said:
    said = {name.replace("_", "-"): value for name, value in spec.contents.said().items()}
    options = tuple(f"{name}={value}" for name, value in said.items())
    return {"--extractor-output": spec.contents.output, **({"--extractor-option": options} if options else {})}


def _head(head: ClassifierOptions) -> _Said | None:
    said: _Said = {}
    weight = head.class_weight
    if isinstance(weight, Mapping):
        if any(_is_cut(label) for label in weight):
            return None
        said["--class-weight"] = tuple(f"{label}={value!r}" for label, value in weight.items())
    elif weight is not None:
        said["--class-weight"] = str(weight)
    layers = MultilayerPerceptron().layer_sizes
    if isinstance(head, AutomaticClassifier):
        # Of the one that is tried there is no option for its layers.
        said["--classifier"] = "auto"
        return _with_others(said, head.perceptron) if head.perceptron.layer_sizes == layers else None
    if isinstance(head, MultilayerPerceptron):
        said["--classifier"] = "mlp"
        if head.layer_sizes != layers:
            said["--layer-sizes"] = ",".join(map(str, head.layer_sizes))
    return _with_others(said, head)


def _with_others(said: _Said, head: HeadOptions) -> _Said:
    """And what is not the default of the options that have no name of their own on a command line."""
    given = {name: getattr(head, name) for name in other_options(head)}
    usual = {field.name: field.default for field in fields(head)}
    others = tuple(
        f"{name.replace('_', '-')}={json.dumps(value)}" for name, value in given.items() if value != usual[name]
    )
    return {**said, "--classifier-option": others} if others else said


def _is_cut(label: str) -> bool:
    """Whether `train` takes what is before a comma for a label of its own; see `cli.options.arguments.class_weight`."""
    *before, _ = label.split(",")
    return bool(before) and all("=" in part for part in before)


def _augmentation(parameters: ModelParameters) -> dict[str, str] | None:
    options, names = parameters.views.options, list[str]()
    if parameters.chooses_views:
        names = [name_of(option) for option in options]
        said = [AUTO, *(names if len(names) < len(NAMES) else [])]
        return {"--augment": ",".join(said)} if augmentation_named(said) == parameters.augmentation else None
    for option in options:
        if isinstance(option, Flip):
            names += [*(["flip"] if option.horizontal else []), *(["flip-vertical"] if option.vertical else [])]
        else:
            names.append(option.kind)
    if not options:
        return {}
    return {"--augment": ",".join(names)} if augmentation_options(names) == options else None
