"""From what was typed of fine-tuning to its options; pure. Raises `InvalidParameter`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from mlsession.errors import InvalidParameter
from mlsession.extractors.automatic import AutomaticExtractor
from mlsession.extractors.catalog import FeatureExtractorSpec
from mlsession.finetuning.options import FineTune
from mlsession.heads.options import ClassifierOptions
from mlsession.training.algorithms import Algorithm, TransferLearning
from mlsession.training.tuning import OPTIONS


@dataclass(frozen=True, slots=True, kw_only=True)
class TuningArguments:
    """The options of fine-tuning, as typed; None where one was not."""

    fine_tune: bool = False
    epochs: int | None = None
    learning_rate: float | None = None
    batch_size: str | None = None
    unfreeze: str | None = None
    options: Sequence[str] = ()
    """NAME=VALUE each."""

    def algorithm(
        self, extractor: FeatureExtractorSpec | AutomaticExtractor, classifier: ClassifierOptions
    ) -> Algorithm:
        """What is to be trained."""
        given = self._given()
        if self.fine_tune:
            return FineTune(feature_extractor=extractor, classifier=classifier, **given)  # type: ignore[arg-type]  # Checked there.
        for name, value in given.items():
            raise InvalidParameter(name, value, "is of fine-tuning: give --fine-tune, too, or leave it out")
        return TransferLearning(feature_extractor=extractor, classifier=classifier)

    def _given(self) -> dict[str, object]:
        said: dict[str, object] = {"epochs": self.epochs, "learning_rate": self.learning_rate}
        said |= {
            name: None if text is None else _value(text)
            for name, text in (("batch_size", self.batch_size), ("unfreeze", self.unfreeze))
        }
        found = {name: value for name, value in said.items() if value is not None}
        for name, value in map(_pair, self.options):
            if name in found:
                raise InvalidParameter("fine-tune-option", name, "is given twice; keep one")
            found[name] = value
        return found


def _pair(item: str) -> tuple[str, object]:
    name, separator, text = item.partition("=")
    found = name.replace("-", "_")
    if not separator or found not in OPTIONS:
        known = ", ".join(each.replace("_", "-") for each in OPTIONS)
        raise InvalidParameter("fine-tune-option", item, f"write it as name=value; the names are {known}")
    if found == "augmentation":
        return found, [] if text == "none" else [each.strip() for each in text.split(",")]
    return found, _value(text)


def _value(text: str) -> object:
    """A number, true or false; text otherwise."""
    try:
        value: object = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return value if isinstance(value, int | float) else text
