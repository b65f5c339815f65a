"""What parameters of the library are called on a command line, so that errors name what was typed; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import MappingProxyType

from mlsession.cli.typed import FLAGS, TypedLine, typed_line
from mlsession.errors import IncompatibleParameters, InvalidParameter
from mlsession.store.location import redact

_CALLED = MappingProxyType(
    {
        "augmentation": "augment",
        "ratio": "validation",
        "feature_extractor": "extractor",
        "weights": "extractor-weights",
        "groups": "group-by",
    }
)
"""Parameters of the library whose options have other names."""
_OF_CLASSIFIER, _OF_TUNING, _OF_EXTRACTOR = "--classifier-option", "--fine-tune-option", "--extractor-option"
_NAMING = (_OF_CLASSIFIER, _OF_TUNING, _OF_EXTRACTOR)
"""Options whose text is NAME=VALUE of a parameter, and may be shown. That of --storage-option is none: a secret."""
_SECRET = "--storage-option"
_LOCATIONS = ("url", "path", "key")
"""Parameters of the library that may be a part of what was typed: a file's folder, or the last name in a path."""
CLASSIFIER_OPTIONS = (
    *("l2", "tolerance"),
    *("learning_rate", "weight_decay", "dropout", "batch_size", "early_stopping"),
)
TUNING_OPTIONS = (
    *("layer_decay", "weight_decay", "label_smoothing", "mixup", "warmup", "schedule", "ema"),
    *("gradient_accumulation", "compile", "keep", "augmentation"),
)
"""Those of a classifier and of fine-tuning that have no option of their own on a command line."""
FIXED = MappingProxyType(
    {
        "algorithm.feature_extractor": "--extractor",
        "algorithm.classifier": "--classifier",
        "algorithm.classifier.layer_sizes": "--layer-sizes",
        "algorithm.classifier.class_weight": "--class-weight",
        "algorithm.finetune": "--fine-tune",
        "algorithm.finetune.epochs": "--epochs",
        "algorithm.finetune.learning_rate": "--learning-rate",
        "algorithm.finetune.batch_size": "--batch-size",
        "algorithm.finetune.unfreeze": "--unfreeze",
        "augmentation": "--augment",
        "groups": "--group-by",
        "validation": "--validation",
        "validation.seed": "--seed",
        **{
            f"algorithm.classifier.{kind}{name}": f"{_OF_CLASSIFIER} {name.replace('_', '-')}"
            for kind in ("", "perceptron.")
            for name in CLASSIFIER_OPTIONS
        },
        **{f"algorithm.finetune.{name}": f"{_OF_TUNING} {name.replace('_', '-')}" for name in TUNING_OPTIONS},
        **{
            name: f"--{name.replace('_', '-')}"
            for name in (
                *("seed", "tune", "on_bad_image", "allow_truncated"),
                *("precision", "backend", "accelerator", "decoder"),
            )
        },
    }
)
"""The options of `train` for what a session fixes; of a parameter that is not here for what holds it."""


def error_words(error: InvalidParameter, arguments: Sequence[str]) -> str:
    """What is wrong with a parameter, by the name of the option that gave it, or by the word that was typed.

    Without either it is the library's name; and where nothing was given, only what is missing.
    """
    typed = typed_line(arguments)
    if subject := _named(error, typed) or _placed(error, typed):
        return f"{subject}: {error.reason}"
    return error.reason if error.value is None else str(error)


def fixed_words(error: IncompatibleParameters, arguments: Sequence[str]) -> str:
    """What differs from the session, by the option that says it, with the part that differs in brackets.

    >>> error = IncompatibleParameters("validation.ratio", 0.1, 0.2, "go back")
    >>> fixed_words(error, ["train", "animals"])
    '--validation (ratio) was 0.1 when this session was made and is 0.2 now; go back'
    """
    parameter, message = error.parameter, str(error)
    parts = parameter.split(".")
    if tuple(arguments[:1]) == ("train",):
        for count in range(len(parts), 0, -1):
            if option := FIXED.get(".".join(parts[:count])):
                rest = f" ({'.'.join(parts[count:]).replace('_', ' ')})" if parts[count:] else ""
                return option + rest + message.removeprefix(parameter)
    names = _names_of(parts[-1])
    option = next((each.name for each in typed_line(arguments).options if each.name in names), None)
    return message if option is None else option + message.removeprefix(parameter)


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """What was typed for an option, the last time; None for nothing."""
    return typed_line(arguments).text_of(option)


def _named(error: InvalidParameter, typed: TypedLine) -> str | None:
    """The options that are called as the parameter is, or name it in their text, as far as they may be meant.

    Those whose text gives the value are; where several do, each of them may be.
    """
    value, names = error.value, _names_of(error.parameter)
    found: list[tuple[str, str | None]] = []
    for each in typed.options:
        name, separator, part = (each.text or "").partition("=")
        if each.name in names:
            is_shown = value is not None and each.name not in FLAGS
            found.append((f"{each.name}={value!r}" if is_shown else each.name, each.text))
        elif each.name in _NAMING and separator and f"--{_dashed(name)}" in names:
            found.append((f"{each.name} {each.text}", part))
    fitting = [subject for subject, text in found if text is not None and _gives(text, value)]
    if fitting:
        return _either(fitting)
    return next((subject for subject, text in found if text is None or not _contradicts(text, value)), None)


def _placed(error: InvalidParameter, typed: TypedLine) -> str | None:
    """The option or word that is the value, or else of a location the one that it is a part of; see `_is_part`."""
    value = error.value
    if not isinstance(value, str):
        return None
    texts = [(each.name, redact(each.text)) for each in typed.options if each.text is not None and each.name != _SECRET]
    texts += [("", redact(word)) for word in typed.words]
    asked: list[Callable[[str], bool]] = [lambda text: text == value]
    if error.parameter in _LOCATIONS:
        asked.append(lambda text: _is_part(value, text))
    for is_meant in asked:
        meant = {(name, text): f"{name}={text!r}" if name else repr(text) for name, text in texts if is_meant(text)}
        words = [said for (name, _), said in meant.items() if not name]
        if meant:
            return words[0] if words else _either(list(meant.values()))
    return None


def _is_part(value: str, text: str) -> bool:
    """Whether a location is in a folder of this URL, or is called by this name."""
    return bool(value) and (text.endswith(f"/{value}") or ("://" in value and text.startswith(f"{value.rstrip('/')}/")))


def _gives(text: str, value: object) -> bool:
    """Whether a text is this value: as it stands, without its secrets, as a number, or as one of a list."""
    match value:
        case str():
            return value in (text, redact(text), *(each.strip() for each in text.split(",")))
        case bool():
            return text.lower() == str(value).lower()
        case int() | float():
            return repr(_number(text)) == repr(_number(value))  # So that nan is itself.
    return False


def _contradicts(text: str, value: object) -> bool:
    """Whether a text says another number, so that the value cannot be from here."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and _number(text) is not None and not _gives(text, value)


def _number(said: str | float) -> float | None:
    try:
        return float(said)
    except (ValueError, OverflowError):
        return None


def _names_of(parameter: str) -> tuple[str, str]:
    """What an option for a parameter is called, the name that is its own first."""
    name = _dashed(parameter.lstrip("-"))
    return f"--{name}", f"--{_CALLED.get(parameter, name)}"


def _either(subjects: Sequence[str]) -> str:
    return " or ".join(dict.fromkeys(subjects))


def _dashed(name: str) -> str:
    return name.replace("_", "-")
