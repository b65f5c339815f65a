"""The plan of views: how many an image has, and what is done to it for each; pure.

View 0 is the image itself. The others follow in the order of the options, each the outcome of one `Effect` with exact
values. Those are drawn from (seed, content of the image, kind of the option, place among the option's views), so they
are the same in every run, thread and order, whatever other options there are, and copies of an image have the same
views. A view is named by what is done to which content: where two sessions do the same, they share its features.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from mlsession.augment.options import AugmentationOption, Blur, Crop, Expose, Flip, Noise, Range, Rotate, name_of
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Json


@dataclass(frozen=True, slots=True)
class Effect:
    """What is done to a picture, exactly; `transforms.Augmenter` does it."""

    kind: str
    values: Mapping[str, float]

    def to_json(self) -> dict[str, Json]:
        """Names the effect: equal for equal values only."""
        return {"kind": self.kind, **self.values}


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewPlan:
    """The views of each training image."""

    options: tuple[AugmentationOption, ...] = ()
    """As `augmentation_options` or `AutomaticAugmentation` gives them."""
    seed: int = 0

    def __len__(self) -> int:
        """Views of an image, itself among them: 1 + the sum of the options'."""
        return 1 + sum(option.views for option in self.options)

    def effect(self, digest: bytes, view: int) -> Effect:
        """What makes a view, 1 or more, of the image whose bytes have this SHA-256."""
        option, place = list(_placed(self.options))[view - 1]
        return drawn(option, place, keyed_generator(self.seed, "augmentation", digest.hex(), option.kind, place))

    def views_of(self, names: Collection[str]) -> tuple[int, ...]:
        """View 0 and those of the options of these names (`options.name_of`), ascending."""
        placed = enumerate(_placed(self.options), start=1)
        return (0, *(view for view, (option, _) in placed if name_of(option) in names))

    def only(self, names: Collection[str]) -> ViewPlan:
        """The plan of the options of these names: it makes the same views of an image."""
        return ViewPlan(options=tuple(option for option in self.options if name_of(option) in names), seed=self.seed)

    def to_json(self) -> dict[str, Json]:
        """Names the plan: equal for equal plans only."""
        return {"options": [option.to_json() for option in self.options], "seed": self.seed}

    @property
    def needs_wide(self) -> frozenset[int]:
        """The views that are cut out of the whole picture, not made of the square that the network sees."""
        placed = enumerate(_placed(self.options), start=1)
        return frozenset(view for view, (option, _) in placed if isinstance(option, Crop | Rotate))


def describe(effect: Effect) -> str:
    """An effect in a few words, with its values."""
    return _WORDS[effect.kind](effect.values)


def _placed(options: tuple[AugmentationOption, ...]) -> Iterator[tuple[AugmentationOption, int]]:
    """Each view after the first as its option, and its place among that option's views."""
    return ((option, place) for option in options for place in range(option.views))


def drawn(option: AugmentationOption, place: int, generator: np.random.Generator) -> Effect:
    """What an option does at a place among its views, drawn from that place's slice of its range."""

    def sliced(ends: Range) -> float:
        """A value from this view's own slice of a range."""
        low, high = ends
        return float(low + (high - low) * (place + generator.random()) / option.views)

    match option:
        case Blur():
            return _effect("blur", radius=sliced(option.radius))
        case Crop():
            return _effect("crop", side=sliced(option.side), across=generator.random(), down=generator.random())
        case Expose():
            return _effect("expose", stops=sliced(option.stops))
        case Flip():
            ways = [(1, 0)] * option.horizontal + [(0, 1)] * option.vertical + [(1, 1)]
            horizontal, vertical = ways[place]
            return _effect("flip", horizontal=horizontal, vertical=vertical)
        case Noise():
            return _effect("noise", deviation=sliced(option.deviation), seed=int(generator.integers(2**31)))
        case Rotate():
            return _effect("rotate", degrees=sliced(option.degrees))


def _effect(kind: str, **values: float) -> Effect:
    return Effect(kind, MappingProxyType(values))


def _flip_words(values: Mapping[str, float]) -> str:
    if values["horizontal"] and values["vertical"]:
        return "flip both ways"
    return "flip left-right" if values["horizontal"] else "flip upside down"


_WORDS: Mapping[str, Callable[[Mapping[str, float]], str]] = MappingProxyType(
    {
        "blur": lambda values: f"blur {100 * values['radius']:.1f} % of side",
        "crop": lambda values: f"crop {100 * values['side']:.0f} % of side",
        "expose": lambda values: f"expose {values['stops']:+.1f} stops",
        "flip": _flip_words,
        "noise": lambda values: f"noise {values['deviation']:.0f} of 255",
        "rotate": lambda values: f"rotate {values['degrees']:+.1f}°",
    }
)
