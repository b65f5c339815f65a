"""What a person may choose about a head; values that are stored, free of torch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TypeAlias

from mlsession.errors import InvalidParameter
from mlsession.heads.class_weight import (
    ClassWeight,
    checked_class_weight,
    class_weight_from_json,
    class_weight_to_json,
)
from mlsession.session.phase import Json

LOGISTIC = "logistic_regressor"
PERCEPTRON = "multilayer_perceptron"
AUTOMATIC = "automatic"
DEFAULT_STRENGTH = 10.0
"""Of the penalty, where nothing is chosen: l2 is this times the mean variance of a feature, divided by the rows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogisticRegressor:
    """Multinomial logistic regression on features; `mlsession.heads.logistic.fit` has the objective and the solver."""

    l2: float | None = None
    """The penalty's strength in: mean cross-entropy + l2 / 2 * ||weights||^2, on features as they are; at least 0.

    scikit-learn's `C` is 1 / (rows * l2). None leaves it to `ModelParameters.tune`, and is
    10 * (mean variance of a feature) / rows where nothing is chosen: that does not depend on the unit of the features.
    """
    tolerance: float = 1e-5
    """The fit has converged when no element of the solver's gradient is larger than this."""
    class_weight: ClassWeight = None
    """How much a row of each class counts in the cross-entropy: "balanced", by label, or None for all alike."""

    def __post_init__(self) -> None:
        # In memory of its own, and the same value however it is written.
        object.__setattr__(self, "class_weight", checked_class_weight(self.class_weight))
        if self.l2 is not None and not (_is_number(self.l2) and math.isfinite(self.l2) and self.l2 >= 0):
            raise InvalidParameter("l2", self.l2, "the penalty must be a finite number, 0 or more, or None")
        if not (_is_number(self.tolerance) and math.isfinite(self.tolerance) and self.tolerance > 0):
            raise InvalidParameter("tolerance", self.tolerance, "the tolerance must be a finite number above 0")

    def to_json(self) -> dict[str, Json]:
        """The stored form."""
        return {
            "kind": LOGISTIC,
            "l2": None if self.l2 is None else float(self.l2),
            "tolerance": float(self.tolerance),
            "class_weight": class_weight_to_json(self.class_weight),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> LogisticRegressor:
        """Read `to_json` back. Raises `InvalidParameter` for another kind or a wrong value."""
        _check_kind(data, LOGISTIC)
        l2 = data.get("l2")
        return cls(
            l2=None if l2 is None else _number(data, "l2"),
            tolerance=_number(data, "tolerance"),
            class_weight=class_weight_from_json(data.get("class_weight")),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MultilayerPerceptron:
    """Hidden layers of ReLU units on features, then a softmax; see `mlsession.heads.perceptron.fit` for the fit.

    MultilayerPerceptron(layer_sizes=(128, 64))
    """

    layer_sizes: tuple[int, ...] = (100,)
    """Units of each hidden layer, from the features on; the last layer has one for each class, and is not named."""
    learning_rate: float = 1e-3
    """Of Adam: about how far a weight may move in a step; above 0, at most 1."""
    weight_decay: float = 0.0
    """The share of a weight that is lost each step is this times the learning rate; biases keep theirs."""
    dropout: float = 0.2
    """The chance of a hidden unit to be left out of a training step; 0 or more, below 1."""
    batch_size: int | None = None
    """Rows in a training step. None takes a 64th of the rows, as a power of two from 32 to 256."""
    tolerance: float = 1e-4
    """The fit has converged when 5 iterations (10 without early stopping) have lowered the lowest loss by less than
    this, in nats: that on the images held out, or without early stopping on those fitted to."""
    early_stopping: bool = True
    """Whether to hold out a tenth of 200 training images or more: the head is that of the iteration with the lowest
    loss on them, and its probabilities are calibrated on them; see `mlsession.heads.perceptron.stopping`."""
    class_weight: ClassWeight = None
    """How much a row of each class counts in the loss: "balanced", by label, or None for all alike."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "class_weight", checked_class_weight(self.class_weight))
        if not isinstance(self.early_stopping, bool):
            raise InvalidParameter("early_stopping", self.early_stopping, "must be True or False")
        sizes = self.layer_sizes
        if not isinstance(sizes, tuple) or not sizes or not all(_is_count(size) for size in sizes):
            raise InvalidParameter("layer_sizes", sizes, "must be a tuple of one or more whole numbers, each 1 or more")
        if not (_is_number(self.learning_rate) and 0 < self.learning_rate <= 1):
            raise InvalidParameter("learning_rate", self.learning_rate, "must be above 0, and at most 1")
        if not (_is_number(self.weight_decay) and 0 <= self.weight_decay * self.learning_rate < 1):
            reason = "must be 0 or more, and below 1 / learning_rate"
            raise InvalidParameter("weight_decay", self.weight_decay, reason)
        if not (_is_number(self.dropout) and 0 <= self.dropout < 1):
            raise InvalidParameter("dropout", self.dropout, "must be 0 or more, and below 1")
        if not (self.batch_size is None or _is_count(self.batch_size)):
            raise InvalidParameter("batch_size", self.batch_size, "must be a whole number, 1 or more, or None")
        if not (_is_number(self.tolerance) and math.isfinite(self.tolerance) and self.tolerance >= 0):
            raise InvalidParameter("tolerance", self.tolerance, "must be a finite number, 0 or more")

    def to_json(self) -> dict[str, Json]:
        """The stored form."""
        return {
            "kind": PERCEPTRON,
            "layer_sizes": list(self.layer_sizes),
            "learning_rate": float(self.learning_rate),
            "weight_decay": float(self.weight_decay),
            "dropout": float(self.dropout),
            "batch_size": self.batch_size,
            "tolerance": float(self.tolerance),
            "early_stopping": self.early_stopping,
            "class_weight": class_weight_to_json(self.class_weight),
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> MultilayerPerceptron:
        """Read `to_json` back. Raises `InvalidParameter` for another kind or a wrong value."""
        _check_kind(data, PERCEPTRON)
        sizes, batch_size = data.get("layer_sizes"), data.get("batch_size")
        if not isinstance(sizes, list):
            raise InvalidParameter("layer_sizes", sizes, "must be a list of whole numbers")
        return cls(
            layer_sizes=tuple(sizes),  # type: ignore[arg-type]  # checked when it is made
            learning_rate=_number(data, "learning_rate"),
            weight_decay=_number(data, "weight_decay"),
            dropout=_number(data, "dropout"),
            batch_size=batch_size,  # type: ignore[arg-type]  # checked when it is made
            tolerance=_number(data, "tolerance"),
            early_stopping=data.get("early_stopping"),  # type: ignore[arg-type]  # checked when it is made
            class_weight=class_weight_from_json(data.get("class_weight")),
        )


HeadOptions: TypeAlias = LogisticRegressor | MultilayerPerceptron
"""Any head, before it is fitted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticClassifier:
    """Logistic regression, unless a perceptron is better beyond the noise; see `mlsession.heads.selecting.contest`."""

    class_weight: ClassWeight = None
    """How much a row of each class counts in the loss of either, see `LogisticRegressor`."""
    perceptron: MultilayerPerceptron = field(default_factory=MultilayerPerceptron)
    """The one that is tried; its `class_weight` is that of here."""

    def __post_init__(self) -> None:
        if not isinstance(self.perceptron, MultilayerPerceptron):
            raise InvalidParameter("perceptron", self.perceptron, "must be a MultilayerPerceptron")
        weights = checked_class_weight(self.class_weight)
        if self.perceptron.class_weight not in (None, weights):
            reason = "give class_weight to AutomaticClassifier, which passes it on"
            raise InvalidParameter("perceptron.class_weight", self.perceptron.class_weight, reason)
        object.__setattr__(self, "class_weight", weights)
        object.__setattr__(self, "perceptron", replace(self.perceptron, class_weight=weights))

    @property
    def candidates(self) -> tuple[HeadOptions, ...]:
        """What is tried, in this order; a later one must beat those before it."""
        return LogisticRegressor(class_weight=self.class_weight), self.perceptron

    def to_json(self) -> dict[str, Json]:
        """The stored form."""
        weights = class_weight_to_json(self.class_weight)
        return {"kind": AUTOMATIC, "class_weight": weights, "perceptron": self.perceptron.to_json()}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> AutomaticClassifier:
        """Read `to_json` back. Raises `InvalidParameter` for another kind or a wrong value."""
        _check_kind(data, AUTOMATIC)
        perceptron = data.get("perceptron")
        if not isinstance(perceptron, dict):
            raise InvalidParameter("perceptron", perceptron, "must be the options of a multilayer perceptron")
        weights = class_weight_from_json(data.get("class_weight"))
        return cls(class_weight=weights, perceptron=MultilayerPerceptron.from_json(perceptron))


ClassifierOptions: TypeAlias = HeadOptions | AutomaticClassifier
"""A head, or the wish to have it chosen."""


def checked_classifier(given: object) -> ClassifierOptions:
    """The options that were given, or `AutomaticClassifier` for "auto". Raises `InvalidParameter` for anything else."""
    if given == "auto":
        return AutomaticClassifier()
    if not isinstance(given, LogisticRegressor | MultilayerPerceptron | AutomaticClassifier):
        reason = 'must be "auto", or a LogisticRegressor, MultilayerPerceptron or AutomaticClassifier'
        raise InvalidParameter("classifier", given, reason)
    return given


def candidates_of(options: ClassifierOptions) -> tuple[HeadOptions, ...]:
    """The heads that may be fitted, the one to begin with first."""
    return options.candidates if isinstance(options, AutomaticClassifier) else (options,)


def other_options(options: HeadOptions) -> tuple[str, ...]:
    """The names of those that are one number, or true or false; not layer sizes and class weights."""
    return tuple(field.name for field in fields(options) if field.name not in ("layer_sizes", "class_weight"))


def kind_of(options: HeadOptions) -> str:
    """As it is recorded with the head that they give."""
    return LOGISTIC if isinstance(options, LogisticRegressor) else PERCEPTRON


def classifier_from_json(data: Mapping[str, Json]) -> ClassifierOptions:
    """What the `to_json` of any choice gave. Raises `InvalidParameter`, also for a kind that is not here."""
    return AutomaticClassifier.from_json(data) if data.get("kind") == AUTOMATIC else options_from_json(data)


def options_from_json(data: Mapping[str, Json]) -> HeadOptions:
    """What the `to_json` of a head's options gave. Raises `InvalidParameter`, also for a kind that is not here."""
    kind = data.get("kind")
    if kind == LOGISTIC:
        return LogisticRegressor.from_json(data)
    if kind == PERCEPTRON:
        return MultilayerPerceptron.from_json(data)
    raise InvalidParameter("classifier", kind, f"this version of mlsession has {LOGISTIC} and {PERCEPTRON}")


def _check_kind(data: Mapping[str, Json], kind: str) -> None:
    if data.get("kind") != kind:
        raise InvalidParameter("classifier", data.get("kind"), f"this is not a {kind}")


def _number(data: Mapping[str, Json], name: str) -> float:
    value = data.get(name)
    if not _is_number(value):
        raise InvalidParameter(name, value, "must be a number")
    return float(value)  # type: ignore[arg-type]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1
