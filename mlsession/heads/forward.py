"""Which kinds of views to train on: sets of them, judged on the same folds one after the other; pure.

    judge no views, then each kind alone
    together = the best kind alone, if it lowers the log loss
    for each other kind that lowers it alone, the best first:
        judge it together with those; keep it among them if the log loss is lower still
    of all sets the one with the least log loss is used, if it is surely better than no views

So K kinds take at most 2 K sets. What is compared on the way is the log loss, which moves with every image, and what is
decided in the end the accuracy: the best set must be more accurate than no views by more than the standard error of the
paired difference, see `heads.selecting.contest`. Only one set is put to that test: the best of many is ahead by chance.
Source of the way: forward selection, in its greedy form with one pass (Hastie, Tibshirani and Friedman, "The elements
of statistical learning", 2nd edition (2009), section 3.3.2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import cast

from mlsession.heads.paired import PairedDifference
from mlsession.session.phase import Json

NO_VIEWS: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class JudgedSet:
    """What out-of-fold predictions of images as they are say of heads that were fitted with some views."""

    views: tuple[str, ...]
    """Names of the kinds of views, ascending."""
    accuracy: float
    """The share of the judged images that got their label."""
    log_loss: float
    """With the best penalty and its temperature; mean over the judged images, weighted by class; nats."""

    def to_json(self) -> dict[str, Json]:
        """The stored form."""
        return {"views": list(self.views), "accuracy": self.accuracy, "log_loss": self.log_loss}

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> JudgedSet:
        """Read `to_json` back. Raises `KeyError` or `TypeError` for another object."""
        accuracy, log_loss = (float(cast(float, data[name])) for name in ("accuracy", "log_loss"))
        return cls(views=tuple(map(str, cast(list[Json], data["views"]))), accuracy=accuracy, log_loss=log_loss)


@dataclass(frozen=True, slots=True, kw_only=True)
class ViewsChoice:
    """Which kinds of views are trained on, and why."""

    judged: tuple[JudgedSet, ...] = ()
    """In the order in which they were; none where there was too little to judge on."""
    difference: PairedDifference | None = None
    """Of the best set with views to no views; None without any."""
    fits: int = 0
    """Heads that were fitted for it."""

    @property
    def best(self) -> JudgedSet | None:
        """The best set with views, whether it is kept or not; None where there was nothing to judge on."""
        sets = [each for each in self.judged if each.views]
        return min(sets, key=lambda each: each.log_loss) if sets else None

    @property
    def kept(self) -> tuple[str, ...]:
        """The kinds of views to train on."""
        is_kept = self.best is not None and self.difference is not None and self.difference.is_better
        return self.best.views if self.best is not None and is_kept else NO_VIEWS

    @property
    def reason(self) -> str:
        """Why, in a sentence without its full stop."""
        if self.best is None or self.difference is None:
            return "there are too few images to choose views by"
        name, points = "+".join(self.best.views), 100 * self.difference.difference
        if points <= 0:
            return f"{name} is {f'{-points:.2f} points worse than' if points < 0 else 'no better than'} no views"
        than = "more" if self.difference.is_better else "no more"
        error = 100 * self.difference.standard_error
        return f"{name} is {points:.2f} points better than no views, {than} than the standard error of {error:.2f}"

    def to_json(self) -> dict[str, Json]:
        """The stored form; what is kept, and why, is for those who read it."""
        return {
            "kept": list(self.kept),
            "reason": self.reason,
            "judged": [each.to_json() for each in self.judged],
            "difference": None if self.difference is None else self.difference.to_json(),
            "fits": self.fits,
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Json]) -> ViewsChoice:
        """Read `to_json` back. Raises `KeyError`, `TypeError` or `InvalidParameter` for another object."""
        difference = data["difference"]
        return cls(
            judged=tuple(JudgedSet.from_json(each) for each in cast(list[dict[str, Json]], data["judged"])),
            difference=None if difference is None else PairedDifference.from_json(cast(dict[str, Json], difference)),
            fits=int(cast(int, data["fits"])),
        )

    def with_set(self, judged: JudgedSet, fits: int) -> ViewsChoice:
        """After one more set, which took so many fits."""
        return replace(self, judged=(*self.judged, judged), fits=self.fits + fits)


def most_sets(kinds: int) -> int:
    """How many sets of so many kinds of views are judged, at most."""
    return max(2 * kinds, 1)


def next_set(judged: Sequence[JudgedSet], kinds: Sequence[str]) -> tuple[str, ...] | None:
    """Which set is to be judged after those; None where all have been. `kinds` are the names of all kinds of views."""
    losses = {each.views: each.log_loss for each in judged}
    alone = [NO_VIEWS, *((kind,) for kind in kinds)]
    for views in alone:
        if views not in losses:
            return views
    together = NO_VIEWS
    for kind in sorted(kinds, key=lambda kind: losses[kind,]):
        if losses[kind,] >= losses[NO_VIEWS]:
            break
        joined = tuple(sorted((*together, kind)))
        if joined not in losses:
            return joined
        if losses[joined] < losses[together]:
            together = joined
    return None
