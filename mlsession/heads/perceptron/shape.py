"""Where the layers of a perceptron lie in one flat vector of all its weights and biases; numpy and torch alike."""

from __future__ import annotations

from dataclasses import dataclass

from mlsession.errors import InternalError


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPlace:
    """One layer's part of the flat vector: its weight row by row, then its bias."""

    inputs: int
    outputs: int
    start: int

    @property
    def weight(self) -> slice:
        """[outputs * inputs]."""
        return slice(self.start, self.stop - self.outputs)

    @property
    def bias(self) -> slice:
        """[outputs]."""
        return slice(self.stop - self.outputs, self.stop)

    @property
    def stop(self) -> int:
        """Where the next layer's part begins."""
        return self.start + self.outputs * (self.inputs + 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkShape:
    """D features, the units of each hidden layer, K classes. Raises `InternalError` for fewer than three numbers."""

    sizes: tuple[int, ...]

    def __post_init__(self) -> None:
        if len(self.sizes) < 3 or min(self.sizes) < 1:
            raise InternalError(f"a perceptron cannot have layers of {self.sizes}")

    @property
    def layers(self) -> tuple[LayerPlace, ...]:
        """From the features on."""
        places, start = [], 0
        for inputs, outputs in zip(self.sizes, self.sizes[1:], strict=False):
            places.append(LayerPlace(inputs=inputs, outputs=outputs, start=start))
            start = places[-1].stop
        return tuple(places)

    @property
    def count(self) -> int:
        """P: all weights and biases."""
        return self.layers[-1].stop
