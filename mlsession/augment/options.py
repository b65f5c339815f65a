"""What may be done to training images, as frozen values: the six kinds of Create ML, with their ranges.

An option adds `views` new images for each original; several options add the sum of theirs, never the product, and each
new image has been changed in one way only. A range is split into as many equal slices as there are views, and each
view draws from its own slice: so the few views of one image are spread over what was asked for (stratified sampling;
Cochran, "Sampling Techniques", chapter 5). Units do not depend on the size of what the network sees.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import ClassVar, TypeAlias

from mlsession.errors import InvalidParameter
from mlsession.session.phase import Json

Range: TypeAlias = tuple[float, float]
"""The lowest and the highest value."""

MOST_VIEWS = 16
"""Of one option; an image is extracted once more for each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Ranged:
    """An option whose views draw one value from a range."""

    kind: ClassVar[str]
    views: int = 4
    """New images for each original, 1 to `MOST_VIEWS`."""

    def _check(self, name: str, found: object, lowest: float, highest: float) -> None:
        if isinstance(self.views, bool) or not isinstance(self.views, int) or not 1 <= self.views <= MOST_VIEWS:
            raise InvalidParameter(f"{self.kind}.views", self.views, f"must be a whole number from 1 to {MOST_VIEWS}")
        is_range = (
            isinstance(found, tuple)
            and len(found) == 2
            and all(isinstance(end, int | float) and not isinstance(end, bool) for end in found)
            and lowest <= found[0] <= found[1] <= highest
        )
        if not is_range:
            reason = f"must be a pair (lowest, highest) within {lowest:g} to {highest:g}"
            raise InvalidParameter(f"{self.kind}.{name}", found, reason)


@dataclass(frozen=True, slots=True, kw_only=True)
class Noise(_Ranged):
    """Gaussian noise, drawn for each pixel and channel; as a sensor's in poor light."""

    kind: ClassVar[str] = "noise"
    deviation: Range = (5.0, 20.0)
    """Standard deviation in levels of 0 to 255."""

    def __post_init__(self) -> None:
        self._check("deviation", self.deviation, 0.1, 128.0)

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.kind, "views": self.views, "deviation": _pair(self.deviation)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Blur(_Ranged):
    """A Gaussian blur; as of a lens out of focus."""

    kind: ClassVar[str] = "blur"
    radius: Range = (0.002, 0.008)
    """Standard deviation as a share of the picture's side; 0.008 is 2 pixels of 256."""

    def __post_init__(self) -> None:
        self._check("radius", self.radius, 0.0005, 0.1)

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.kind, "views": self.views, "radius": _pair(self.radius)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Crop(_Ranged):
    """A smaller square out of the picture, at any place in it, enlarged to what the network sees.

    Of a picture longer than 2:1 the middle is taken first.
    """

    kind: ClassVar[str] = "crop"
    side: Range = (0.6, 0.95)
    """The square's side as a share of the picture's short one."""

    def __post_init__(self) -> None:
        self._check("side", self.side, 0.1, 1.0)

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.kind, "views": self.views, "side": _pair(self.side)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Expose(_Ranged):
    """A longer or shorter exposure."""

    kind: ClassVar[str] = "expose"
    stops: Range = (-1.0, 1.0)
    """Each stop doubles the light; what becomes brighter than white is white."""

    def __post_init__(self) -> None:
        self._check("stops", self.stops, -4.0, 4.0)

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.kind, "views": self.views, "stops": _pair(self.stops)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotate(_Ranged):
    """A turned picture, as of a camera held askew; corners without picture are mirrored in, never black."""

    kind: ClassVar[str] = "rotate"
    degrees: Range = (-15.0, 15.0)
    """Counter-clockwise."""

    def __post_init__(self) -> None:
        self._check("degrees", self.degrees, -180.0, 180.0)

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.kind, "views": self.views, "degrees": _pair(self.degrees)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Flip:
    """Mirror images: one view for either direction, three for both (each alone, and the two together).

    Upside down is not the default as it is in Create ML: few photos are ever seen so, and text never is.
    """

    kind: ClassVar[str] = "flip"
    horizontal: bool = True
    """Left and right exchanged."""
    vertical: bool = False
    """Upside down."""

    def __post_init__(self) -> None:
        for name, value in (("horizontal", self.horizontal), ("vertical", self.vertical)):
            if not isinstance(value, bool):
                raise InvalidParameter(f"flip.{name}", value, "must be True or False")
        if not (self.horizontal or self.vertical):
            raise InvalidParameter("flip", "neither direction", "choose horizontal, vertical or both, or leave it out")

    @property
    def views(self) -> int:
        """New images for each original."""
        return 3 if self.horizontal and self.vertical else 1

    def to_json(self) -> dict[str, Json]:
        return {"kind": self.kind, "horizontal": self.horizontal, "vertical": self.vertical}


def _pair(ends: Range) -> list[Json]:
    return [float(end) for end in ends]


AugmentationOption: TypeAlias = Blur | Crop | Expose | Flip | Noise | Rotate

_KINDS: Mapping[str, type[Blur] | type[Crop] | type[Expose] | type[Noise] | type[Rotate]] = MappingProxyType(
    {"blur": Blur, "crop": Crop, "expose": Expose, "noise": Noise, "rotate": Rotate}
)

NAMES = ("blur", "crop", "expose", "flip", "flip-vertical", "noise", "rotate")
"""What `option_named` knows. "flip" is horizontal only; with "flip-vertical" it is Create ML's."""


def option_named(name: str) -> AugmentationOption:
    """The option that a name stands for, with its usual ranges. Raises `InvalidParameter`."""
    if name == "flip":
        return Flip()
    if name == "flip-vertical":
        return Flip(horizontal=False, vertical=True)
    if name not in _KINDS:
        raise InvalidParameter("augmentation", name, f"must be one of {', '.join(NAMES)}")
    return _KINDS[name]()


def name_of(option: AugmentationOption) -> str:
    """What `option_named` knows it by; of a flip in both directions that of the horizontal one."""
    if isinstance(option, Flip):
        return "flip" if option.horizontal else "flip-vertical"
    return option.kind


def augmentation_options(given: Collection[AugmentationOption | str]) -> tuple[AugmentationOption, ...]:
    """Options given by name or as they are, in one order: at most one of a kind, the kinds ascending.

    Flips are joined: "flip" and "flip-vertical" give both directions. Raises `InvalidParameter`.
    """
    if isinstance(given, str) or not isinstance(given, Collection):
        raise InvalidParameter("augmentation", given, 'must be a set or list of names or options, as {"flip"}')
    chosen: dict[str, AugmentationOption] = {}
    for item in given:
        option: object = option_named(item) if isinstance(item, str) else item
        if not isinstance(option, AugmentationOption):
            reason = f"must hold names ({', '.join(NAMES)}) or options such as Rotate(degrees=(-10, 10))"
            raise InvalidParameter("augmentation", item, reason)
        chosen[option.kind] = _joined(chosen.get(option.kind, option), option)
    return tuple(chosen[kind] for kind in sorted(chosen))


def _joined(one: AugmentationOption, other: AugmentationOption) -> AugmentationOption:
    """Two options of a kind as one."""
    if isinstance(one, Flip) and isinstance(other, Flip):
        return Flip(horizontal=one.horizontal or other.horizontal, vertical=one.vertical or other.vertical)
    if one != other:
        raise InvalidParameter("augmentation", one.kind, "is given twice with different values; keep one")
    return one


def option_from_json(stored: Mapping[str, Json]) -> AugmentationOption:
    """The inverse of `to_json`. Raises `InvalidParameter` for what no option of this version gives."""
    kind = stored.get("kind")
    values = {
        name: tuple(value) if isinstance(value, list) else value for name, value in stored.items() if name != "kind"
    }
    build = Flip if kind == "flip" else _KINDS.get(kind) if isinstance(kind, str) else None
    try:
        if build is not None:
            return build(**values)  # type: ignore[arg-type]
    except TypeError:
        pass
    raise InvalidParameter("augmentation", dict(stored), "is of another version of mlsession; use that one")
