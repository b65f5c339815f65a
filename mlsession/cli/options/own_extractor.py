"""From what was typed of the extractor to the extractor. Raises `InvalidParameter`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mlsession.cli.options.arguments import Options, extractor
from mlsession.errors import InvalidParameter

if TYPE_CHECKING:
    from mlsession.extractors.automatic import AutomaticExtractor
    from mlsession.extractors.catalog import FeatureExtractorSpec

_CUSTOM = "custom:"


def chosen_extractor(
    name: str,
    weights: str | None,
    output: str | None,
    said: Sequence[str],
    storage_options: Options | None = None,
) -> FeatureExtractorSpec | AutomaticExtractor:
    """The extractor that `name` stands for; `output` and `said`, NAME=VALUE each, are of `custom:PATH` alone."""
    if output is None and not said:
        return extractor(name, weights, storage_options)
    if not name.startswith(_CUSTOM):
        option, value = ("extractor-output", output) if output is not None else ("extractor-option", said[0])
        raise InvalidParameter(option, value, f"is of --extractor {_CUSTOM}PATH; leave it out for {name}")
    if weights is not None:
        reason = "a custom extractor has its weights in its own file; leave this out"
        raise InvalidParameter("extractor_weights", weights, reason)
    from mlsession.extractors.custom.options import CustomFeatureExtractor

    path = name.removeprefix(_CUSTOM)
    return CustomFeatureExtractor(path, output, storage_options=storage_options, **input_options(said))


def input_options(said: Sequence[str]) -> dict[str, Any]:
    """The options of `CustomFeatureExtractor` that are written as NAME=VALUE; pure."""
    found: dict[str, Any] = {}
    readers = {
        "input_side": _whole,
        "mean": _three,
        "std": _three,
        "scale": _number,
        "layout": lambda _, text: text.upper(),
        "crop": _truth,
    }
    for item in said:
        name, separator, text = item.partition("=")
        member = name.replace("-", "_")
        if not separator or member not in readers:
            known = ", ".join(each.replace("_", "-") for each in readers)
            raise InvalidParameter("extractor-option", item, f"write it as name=value; the names are {known}")
        if member in found:
            raise InvalidParameter("extractor-option", name, "is given twice; keep one")
        found[member] = readers[member](name, text)
    return found


def _whole(name: str, text: str) -> int:
    if not text.isdecimal():
        raise InvalidParameter(name, text, "must be a whole number of pixels")
    return int(text)


def _number(name: str, text: str) -> float:
    """Also a fraction such as 1/255."""
    above, separator, below = text.partition("/")
    try:
        found = float(above) / float(below) if separator else float(above)
    except (ValueError, ZeroDivisionError):
        found = math.nan
    if not math.isfinite(found):
        raise InvalidParameter(name, text, "must be a finite number")
    return found


def _three(name: str, text: str) -> tuple[float, ...]:
    found = tuple(_number(name, each) for each in text.split(","))
    if len(found) != 3:
        raise InvalidParameter(name, text, "must be three numbers with commas between, of red, green and blue")
    return found


def _truth(name: str, text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise InvalidParameter(name, text, "must be true or false")
    return text.lower() == "true"
