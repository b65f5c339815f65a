"""What parameters of the library are called on a command line, so that errors name what was typed; pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

from mlsession.errors import IncompatibleParameters, InvalidParameter

_CALLED = MappingProxyType(
    {
        "augmentation": "augment",
        "ratio": "validation",
        "feature_extractor": "extractor",
        "weights": "extractor-weights",
        "groups": "group-by",
        "url": "session",
    }
)
"""Parameters of the library whose options have other names."""
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
    message, value = str(error), error.value
    if option := option_of(error.parameter, arguments):
        return option + message.removeprefix(error.parameter)
    typed = list(_typed(arguments))
    for option, text in typed:
        if text is not None and _dashed(text.partition("=")[0]) == _dashed(error.parameter) and "=" in text:
            return f"{option} {text}: {error.reason}"
    if isinstance(value, str) and [text for _, text in typed].count(value) == 1:
        option = next(option for option, text in typed if text == value)
        return f"{option}={value!r}: {error.reason}"
    if isinstance(value, str) and value in _before_end(arguments):
        return f"{value!r}: {error.reason}"
    return error.reason if value is None else message


def fixed_words(error: IncompatibleParameters, arguments: Sequence[str]) -> str:
    """What differs from the session, by the option that says it, with the part that differs in brackets.

    >>> error = IncompatibleParameters("validation.ratio", 0.1, 0.2, "go back")
    >>> fixed_words(error, ["train", "animals"])
    '--validation (ratio) was 0.1 when this session was made and is 0.2 now; go back'
    """
    parameter, message = error.parameter, str(error)
    if tuple(arguments[:1]) == ("train",):
        parts = parameter.split(".")
        for count in range(len(parts), 0, -1):
            if option := FIXED.get(".".join(parts[:count])):
                rest = f" ({'.'.join(parts[count:]).replace('_', ' ')})" if parts[count:] else ""
                return option + rest + message.removeprefix(parameter)
    option = option_of(parameter.rpartition(".")[2], arguments)
    return message if option is None else option + message.removeprefix(parameter)


def option_of(parameter: str, arguments: Sequence[str]) -> str | None:
    """The option of a command line that gave a parameter of the library, as it was typed; None where none did."""
    name = _dashed(parameter.lstrip("-"))
    typed = {option for option, _ in _typed(arguments)}
    return next((f"--{each}" for each in (name, _CALLED.get(parameter, name)) if f"--{each}" in typed), None)


def value_of(option: str, arguments: Sequence[str]) -> str | None:
    """What was typed for an option, the last time; None for nothing."""
    return next((text for name, text in reversed(list(_typed(arguments))) if name == option), None)


def _typed(arguments: Sequence[str]) -> Iterator[tuple[str, str | None]]:
    """The options of a command line, each with the text that may be its value: of a flag it is none of its own."""
    words = _before_end(arguments)
    for place, word in enumerate(words):
        if word.startswith("--"):
            name, separator, text = word.partition("=")
            following = words[place + 1] if place + 1 < len(words) else None
            yield name, text if separator else following


def _before_end(arguments: Sequence[str]) -> Sequence[str]:
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _dashed(name: str) -> str:
    return name.replace("_", "-")
