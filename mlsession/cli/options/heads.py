"""The option of `mlsession train` that says what no other does of the classifier, and what it comes to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from mlsession.errors import InvalidParameter

if TYPE_CHECKING:
    from mlsession.heads.options import ClassifierOptions, HeadOptions

HeadOption = Annotated[
    list[str],
    typer.Option(
        "--classifier-option",
        metavar="NAME=VALUE",
        help="Any other option of --classifier. logistic: l2=0.01 (the penalty, which then is not chosen) or "
        "tolerance=0.001; mlp, and the one that auto tries: learning-rate=0.003, dropout=0.5, weight-decay=0.1, "
        "batch-size=64, tolerance=0.001 or early-stopping=false. May be repeated.",
        show_default=False,
    ),
]


def with_options(head: ClassifierOptions, texts: Sequence[str]) -> ClassifierOptions:
    """The head with what `texts`, NAME=VALUE each, say of it; of one to be chosen they are of the perceptron.

    Raises `InvalidParameter`.
    """
    from mlsession.heads.options import AutomaticClassifier

    if isinstance(head, AutomaticClassifier):
        return replace(head, perceptron=replace(head.perceptron, **_given(head.perceptron, texts)))  # type: ignore[arg-type]  # Checked there.
    return replace(head, **_given(head, texts))  # type: ignore[arg-type]  # Checked there.


def _given(head: HeadOptions, texts: Sequence[str]) -> dict[str, object]:
    from mlsession.heads.options import other_options

    option, given = "classifier-option", dict[str, object]()
    known = {name.replace("_", "-"): name for name in other_options(head)}
    for item in texts:
        name, separator, text = item.partition("=")
        name = name.replace("_", "-")
        if not separator or name not in known:
            raise InvalidParameter(option, item, f"write it as name=value; here the names are {', '.join(known)}")
        if known[name] in given:
            raise InvalidParameter(option, item, f"{name} is given twice; keep one")
        given[known[name]] = _value(text)
    return given


def _value(text: str) -> object:
    """A number, true or false; text otherwise, which no option takes."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float) else text
