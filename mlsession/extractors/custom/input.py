"""How a network of one's own takes its picture: what its file says, and what has to be said beside it; pure.

What a file does not say:

| option | default |
|-|-|
| `input_side` | 224 pixels, where the file leaves height and width free |
| `layout` | "NCHW", where the file leaves open which axis the channels are on |
| `mean`, `std`, `scale` | where none is given those of ImageNet on a scale where white is 1, as networks of torch want it: (x / 255 - mean) / std; where one is given the others are 0, 1 and 1 / 255 |
| `crop` | True: pictures are prepared a little larger, and the network sees their centre, see `framing` |

A channel x from 0 to 255 enters as (x * scale - mean) / std, rounded to half precision (float16) where the network takes
that. A Core ML file says all but `crop`; a network that takes whole numbers (uint8) takes them as they are.
"""  # noqa: E501 (a table)

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias, cast, get_args

from mlsession.errors import InvalidParameter
from mlsession.extractors.framing import first_pixel, picture_side
from mlsession.session.phase import Json

Layout: TypeAlias = Literal["NCHW", "NHWC"]
"""Where the channels are in a network's input: before height and width, or after."""
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
Three: TypeAlias = tuple[float, float, float]

MOST_SIDE = 2_048
"""Pixels along one side of what a network sees."""
MOST_AT_ONCE = 256
"""Pictures that a network may demand at once."""
DEFAULT_SIDE = 224
IMAGENET_MEAN: Three = (0.485, 0.456, 0.406)
IMAGENET_STD: Three = (0.229, 0.224, 0.225)
Kind: TypeAlias = Literal["float32", "float16", "uint8"]
_KINDS: tuple[Kind, ...] = get_args(Kind)


@dataclass(frozen=True, slots=True, kw_only=True)
class InputOptions:
    """What a person says of the input; None where the file or the default decides."""

    input_side: int | None = None
    mean: Sequence[float] | None = None
    std: Sequence[float] | None = None
    scale: float | None = None
    layout: Layout | None = None
    crop: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Declared:
    """What a file says of its one input."""

    name: str
    shape: tuple[int | None, ...] | None = None
    """By axis; None: free. None in all: nothing is said."""
    kind: str = "float32"
    """The type of its numbers."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PictureInput:
    """What is done to a prepared picture, uint8 [side, side, 3] RGB, before a network sees it."""

    network_side: int
    """Pixels that the network sees."""
    crop: bool
    """Whether pictures are larger, and the network sees their centre."""
    layout: Layout = "NCHW"
    kind: Kind = "float32"
    """The type of its numbers; of float16 they are computed in float32 first."""
    channels: Literal["RGB", "BGR"] = "RGB"
    scale: float = 1.0
    mean: Three = (0.0, 0.0, 0.0)
    """In the order of `channels`, as `std`."""
    std: Three = (1.0, 1.0, 1.0)
    batch: int | None = None
    """Pictures that the network takes at once; None: any number. Does not change what features mean."""

    def __post_init__(self) -> None:
        side = self.network_side
        if type(side) is not int or not 1 <= side <= MOST_SIDE:
            raise InvalidParameter("input_side", side, f"must be a whole number of pixels from 1 to {MOST_SIDE}")
        if type(self.crop) is not bool:
            raise InvalidParameter("crop", self.crop, "must be True or False")
        if self.layout not in LAYOUTS:
            raise InvalidParameter("layout", self.layout, f"must be one of {', '.join(LAYOUTS)}")
        if self.kind not in _KINDS or self.channels not in ("RGB", "BGR"):
            raise InvalidParameter("feature_extractor", f"{self.kind} {self.channels}", "is no kind of input")
        if not _is_number(self.scale) or self.scale == 0:
            raise InvalidParameter("scale", self.scale, "must be a finite number other than 0")
        object.__setattr__(self, "scale", float(self.scale))  # 1 and 1.0 are the same, also in an identity.
        for parameter, values, least in (("mean", self.mean, -math.inf), ("std", self.std, 0.0)):
            if len(values) != 3 or not all(_is_number(value) and value > least for value in values):
                raise InvalidParameter(parameter, values, "must be three finite numbers, those of std above 0")

    @property
    def side(self) -> int:
        """Pixels of the prepared picture."""
        return picture_side(self.network_side) if self.crop else self.network_side

    @property
    def first(self) -> int:
        """Where the part that the network sees begins, from the left and from above."""
        return first_pixel(self.network_side) if self.crop else 0

    @property
    def words(self) -> str:
        """For an identity."""
        what = f"{self.side}>{self.network_side} {self.layout} {self.kind} {self.channels}"
        if self.kind == "uint8":
            return what
        mean, std = (",".join(map(repr, values)) for values in (self.mean, self.std))
        return f"{what} (x*{self.scale!r}-({mean}))/({std})"

    def said(self, *, is_described: bool) -> dict[str, str]:
        """The options that lead to it, as texts by name; fewer where the file `is_described` by itself."""
        found = {} if self.crop else {"crop": "false"}
        if is_described:
            return found
        if self.network_side != DEFAULT_SIDE:
            found["input_side"] = str(self.network_side)
        if self.layout != LAYOUTS[0]:
            found["layout"] = self.layout
        if self.kind != "uint8" and (self.scale, self.mean, self.std) != (1 / 255, IMAGENET_MEAN, IMAGENET_STD):
            found["scale"] = repr(self.scale)
            found |= {name: ",".join(map(repr, each)) for name, each in (("mean", self.mean), ("std", self.std))}
        return found

    def to_json(self) -> dict[str, Json]:
        """For a session's record; `from_json` takes it back. Without `batch`, which the file says."""
        return {
            "network_side": self.network_side,
            "crop": self.crop,
            "layout": self.layout,
            "input": self.kind,
            "channels": self.channels,
            "scale": self.scale,
            "mean": list(self.mean),
            "std": list(self.std),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> PictureInput:
        """What `to_json` gave. Raises `InvalidParameter`."""
        given = {name: value.get(name) for name in ("network_side", "crop", "layout", "channels", "scale")}
        three = {name: _three(name, value.get(name)) for name in ("mean", "std")}
        kinds = {"kind": value.get("input")}
        return cls(**given, **three, **kinds)  # type: ignore[arg-type]  # checked there


def picture_input(declared: Declared, options: InputOptions, file: str) -> PictureInput:
    """The input of a network whose file says `declared`; `file` is for messages.

    Raises `InvalidParameter` for an input that is no square RGB picture, and for options that contradict the file.
    """
    if declared.kind not in _KINDS:
        kinds = ", ".join(_KINDS)
        raise _refused(file, f"its input {declared.name!r} is {declared.kind}, none of {kinds}; convert the model")
    shape = declared.shape or (None, None, None, None)
    if len(shape) != 4:
        raise _refused(
            file, f"its input {declared.name!r} has the shape {_shown(shape)}, not that of pictures (4 axes)"
        )
    if shape[0] is not None and shape[0] > MOST_AT_ONCE:
        reason = f"takes {shape[0]:,} pictures at once; export it for any number, or {MOST_AT_ONCE} at most"
        raise _refused(file, reason)
    layout = _layout(declared.name, shape, options.layout, file)
    height, width = shape[2:] if layout == "NCHW" else shape[1:3]
    if height is not None and width is not None and height != width:
        raise _refused(file, f"its input {declared.name!r} is a picture of {width} x {height} pixels, not a square")
    side = height or width
    if side is not None and options.input_side not in (None, side):
        raise InvalidParameter("input_side", options.input_side, f"{file} takes {side} x {side} pixels; leave it out")
    scaling = {"scale": options.scale, "mean": options.mean, "std": options.std}
    given = {name: value for name, value in scaling.items() if value is not None}
    if declared.kind == "uint8":
        _check_none(given, file, "takes whole numbers from 0 to 255 (uint8) as they are")
        numbers = dict[str, object]()
    elif given:
        numbers = {"scale": 1 / 255, **given}
        numbers |= {name: _three(name, given[name]) for name in ("mean", "std") if name in given}
    else:
        numbers = {"scale": 1 / 255, "mean": IMAGENET_MEAN, "std": IMAGENET_STD}
    asked = DEFAULT_SIDE if options.input_side is None else options.input_side
    numbers |= {"network_side": asked if side is None else side, "batch": shape[0], "kind": declared.kind}
    return PictureInput(crop=options.crop, layout=layout, **numbers)  # type: ignore[arg-type]  # checked there


def described_input(options: InputOptions, made: PictureInput, file: str) -> PictureInput:
    """The input of a file that says all of it, as Core ML's do. Raises `InvalidParameter` for options of it."""
    given = {
        name: getattr(options, name)
        for name in ("input_side", "layout", "mean", "std", "scale")
        if getattr(options, name) is not None
    }
    _check_none(given, file, "says itself how it takes its picture")
    return made


def _check_none(given: Mapping[str, object], file: str, why: str) -> None:
    for name, value in given.items():
        raise InvalidParameter(name, value, f"{file} {why}; leave it out")


def _layout(name: str, shape: Sequence[int | None], asked: Layout | None, file: str) -> Layout:
    if asked is not None and asked not in LAYOUTS:
        raise InvalidParameter("layout", asked, f"must be one of {', '.join(LAYOUTS)}")
    fits = {"NCHW": shape[1] in (3, None), "NHWC": shape[3] in (3, None)}
    certain = [layout for layout, axis in (("NCHW", 1), ("NHWC", 3)) if shape[axis] == 3]
    if not any(fits.values()):
        raise _refused(file, f"its input {name!r} has the shape {_shown(shape)}: no axis of 3 channels (RGB)")
    if asked is not None:
        if not fits[asked]:
            raise InvalidParameter("layout", asked, f"{file} takes pictures of the shape {_shown(shape)}; leave it out")
        return asked
    return cast(Layout, certain[0] if len(certain) == 1 else "NCHW" if fits["NCHW"] else "NHWC")


def _refused(file: str, reason: str) -> InvalidParameter:
    return InvalidParameter("feature_extractor", file, reason)


def _shown(shape: Sequence[int | None]) -> str:
    return f"[{', '.join('any' if size is None else str(size) for size in shape)}]"


def _is_number(value: object) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) if isinstance(value, float) else abs(value) < 2**53


def _three(parameter: str, value: object) -> Three:
    if not (isinstance(value, list | tuple) and len(value) == 3 and all(map(_is_number, value))):
        raise InvalidParameter(parameter, value, "must be three finite numbers, those of std above 0")
    first, second, third = map(float, value)
    return first, second, third
