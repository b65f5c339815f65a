"""Augmentation that is chosen: which options are worth trying, each of them alone and together; pure.

    ml.ModelParameters(augmentation="auto")                            # --augment auto
    ml.AutomaticAugmentation(exclude={"flip-vertical"})                # --augment auto,-flip-vertical
    ml.AutomaticAugmentation(options={"crop", "flip"})                 # --augment auto,crop,flip
    ml.AutomaticAugmentation(options={"crop", ml.Rotate(degrees=(-90, 90), views=2)})

Extracting makes the views of all candidates. Which of them are trained on is decided afterwards, on features and by how
good heads are on images that they were not fitted to; see `mlsession.heads.forward`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias, cast

from mlsession.augment.options import (
    NAMES,
    AugmentationOption,
    Flip,
    augmentation_options,
    name_of,
    option_from_json,
    option_named,
)
from mlsession.errors import InvalidParameter
from mlsession.session.phase import Json

AUTO = "auto"
"""The name of `AutomaticAugmentation()`."""
AUTOMATIC = "automatic"
"""Its kind, as it is stored."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AutomaticAugmentation:
    """Those options that make the classifier more accurate on images that it has not seen, or none.

    The usual candidates are all options, each with one view drawn from the whole of its range, and flips left-right and
    upside down apart from each other: extracting takes eight times as long as without augmentation. A flip that changes
    what an image means (of text, of left and right hands) can be excluded, as any other option.
    """

    options: Collection[AugmentationOption | str] = NAMES
    """What may be chosen. A name has one view; an option has the views that it says, but a flip in both directions is
    two candidates, of one view each. Kept as a tuple of options in the order of their names."""
    exclude: Collection[str] = ()
    """Names of what may not. Kept as (): what is excluded is no candidate any more."""

    def __post_init__(self) -> None:
        # Two sets of the same candidates are the same parameters, however they are written.
        object.__setattr__(self, "options", _candidates(self.options, self.exclude))
        object.__setattr__(self, "exclude", ())

    @property
    def candidates(self) -> tuple[AugmentationOption, ...]:
        """The options, in order; each is tried alone."""
        return cast(tuple[AugmentationOption, ...], self.options)  # Names have become options above.

    def to_json(self) -> dict[str, Json]:
        """The stored form."""
        return {"kind": AUTOMATIC, "options": [option.to_json() for option in self.candidates]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Json]) -> AutomaticAugmentation:
        """The inverse of `to_json`. Raises `InvalidParameter` for what no choice of this version gives."""
        if stored.get("kind") != AUTOMATIC:
            raise InvalidParameter("augmentation", dict(stored), "is of another version of mlsession; use that one")
        return cls(options=_read(stored.get("options")))


Augmentation: TypeAlias = Literal["auto"] | AutomaticAugmentation | Collection[AugmentationOption | str]
"""As it may be given; see `augmentation_of`."""


def augmentation_of(given: Augmentation) -> AutomaticAugmentation | tuple[AugmentationOption, ...]:
    """What is given, in one form: a choice, or the options of `augmentation_options`. Raises `InvalidParameter`."""
    if isinstance(given, AutomaticAugmentation):
        return given
    return AutomaticAugmentation() if given == AUTO else augmentation_options(given)


def augmentation_to_json(choice: AutomaticAugmentation | tuple[AugmentationOption, ...]) -> Json:
    """The stored form: an object for a choice, a list of options otherwise."""
    if isinstance(choice, AutomaticAugmentation):
        return choice.to_json()
    return [option.to_json() for option in choice]


def augmentation_from_json(stored: Json) -> AutomaticAugmentation | tuple[AugmentationOption, ...]:
    """The inverse of `augmentation_to_json`. Raises `InvalidParameter` for what it never gave."""
    return (
        AutomaticAugmentation.from_json(stored) if isinstance(stored, Mapping) else augmentation_options(_read(stored))
    )


def _read(stored: Json) -> list[AugmentationOption]:
    """A list of options. Raises `InvalidParameter` for anything else."""
    if not isinstance(stored, list) or not all(isinstance(each, Mapping) for each in stored):
        raise InvalidParameter("augmentation", stored, "must be a list of options")
    return [option_from_json(each) for each in stored if isinstance(each, Mapping)]


def options_of(choice: AutomaticAugmentation | tuple[AugmentationOption, ...]) -> tuple[AugmentationOption, ...]:
    """The options whose views are made: of a choice all candidates."""
    return choice.candidates if isinstance(choice, AutomaticAugmentation) else choice


def augmentation_named(names: Collection[str]) -> AutomaticAugmentation | tuple[AugmentationOption, ...]:
    """What names stand for as they are typed: with "auto" among them a choice, of the others or without "-others".

    Raises `InvalidParameter` for names that are none, and for a choice both of some and without others.
    """
    if AUTO not in names:
        return augmentation_options(names)
    others = [name for name in names if name != AUTO]
    without = [name[1:] for name in others if name.startswith("-")]
    if without and len(without) < len(others):
        reason = "either names what to choose from (auto,crop,rotate) or what to leave out (auto,-flip-vertical)"
        raise InvalidParameter("augmentation", ",".join(names), reason)
    return AutomaticAugmentation(options=NAMES if without or not others else others, exclude=without)


def _candidates(
    given: Collection[AugmentationOption | str], exclude: Collection[str]
) -> tuple[AugmentationOption, ...]:
    if isinstance(exclude, str) or not isinstance(exclude, Collection):
        raise InvalidParameter("exclude", exclude, 'must be a set or list of names, as {"flip-vertical"}')
    unknown = [name for name in exclude if name not in NAMES]
    if unknown:
        raise InvalidParameter("exclude", unknown[0], f"must be one of {', '.join(NAMES)}")
    named = [_tried(item) if isinstance(item, str) else item for item in _collection(given)]
    apart = [part for option in augmentation_options(named) for part in _apart(option)]
    found = [option for option in sorted(apart, key=name_of) if name_of(option) not in exclude]
    if not found:
        raise InvalidParameter("augmentation", "auto", "is left with no option to try; exclude fewer")
    return tuple(found)


def _collection(given: object) -> Collection[AugmentationOption | str]:
    """Raises `InvalidParameter` for what is none."""
    if isinstance(given, str) or not isinstance(given, Collection):
        raise InvalidParameter("options", given, 'must be a set or list of names or options, as {"flip", "crop"}')
    return given


def _tried(name: str) -> AugmentationOption:
    """An option by name, with as few views as it can have: what it is worth shows with one."""
    option = option_named(name)
    return option if isinstance(option, Flip) else replace(option, views=1)


def _apart(option: AugmentationOption) -> Iterator[AugmentationOption]:
    """Flips direction by direction; another option as it is."""
    if isinstance(option, Flip):
        yield from [Flip()] if option.horizontal else []
        yield from [Flip(horizontal=False, vertical=True)] if option.vertical else []
    else:
        yield option
