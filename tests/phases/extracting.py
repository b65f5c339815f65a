"""Extracting without a session: a small corpus, an extractor that takes no time, and a past to go on from."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch

from mlsession.augment.options import AugmentationOption, augmentation_options
from mlsession.augment.views import ViewPlan
from mlsession.phases.cache import FeatureCache
from mlsession.phases.corpus import Corpus, Part
from mlsession.phases.extract import Extracting, Split
from mlsession.phases.features import FeatureTable, load_features
from mlsession.phases.featurize import Featurizer
from mlsession.session.phase import Array, Arrays, PhaseState, Step

SIDE = 32
DIMENSION = 48
CLASSES = ("bad", "good")


class Cells:
    """A `FeatureExtractor`: the mean colours of 4x4 cells of a picture. Counts what it was asked for."""

    name = identity = "cells"
    dimension = DIMENSION
    input_side = SIDE

    def __init__(self) -> None:
        self.num_pictures = 0

    def numerics(self) -> Mapping[str, str | int]:
        return {}

    def extract(self, images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        self.num_pictures += len(images)
        cells = images.reshape(len(images), 4, SIDE // 4, 4, SIDE // 4, 3).mean(axis=(2, 4))
        return np.asarray(cells.reshape(len(images), DIMENSION), dtype=np.float32)

    def network(self) -> torch.nn.Module:
        return torch.nn.AvgPool2d(SIDE // 4)


@dataclass
class Kept:
    """What a run has left: its additive output and its newest state. A `Past`."""

    adds: list[Arrays] = field(default_factory=list)
    last: PhaseState | None = None
    steps: list[Step] = field(default_factory=list)

    def state(self, phase: str) -> PhaseState:
        assert self.last is not None
        return self.last

    def newest_commit(self, phase: str) -> int:
        return len(self.steps)

    def rows(self, phase: str, block: int = 4096, names: Collection[str] | None = None) -> Iterator[Arrays]:
        """Those there are now, as in a session."""
        if not self.adds:
            return iter(())
        joined = {name: array for name, array in self.joined.items() if names is None or name in names}
        starts = range(0, len(joined["view"]), block)
        return iter([{name: array[start : start + block] for name, array in joined.items()} for start in starts])

    @property
    def joined(self) -> dict[str, Array]:
        return {name: np.concatenate([adds[name] for adds in self.adds]) for name in self.adds[0]}

    def take(self, step: Step) -> None:
        self.steps.append(step)
        self.adds.append(step.adds)
        self.last = step.snapshot()


@dataclass(frozen=True, kw_only=True)
class Images:
    """Files of a training source, and perhaps of a validation source, by key."""

    training: Mapping[str, bytes]
    validation: Mapping[str, bytes] | None = None
    reads: list[str] = field(default_factory=list)
    """Every key that was read, in any order."""

    def corpus(self) -> Corpus:
        validation = None if self.validation is None else self._part(self.validation)
        return Corpus(classes=CLASSES, training=self._part(self.training), validation=validation)

    def _part(self, files: Mapping[str, bytes]) -> Part:
        def read(key: str) -> bytes:
            self.reads.append(key)
            return files[key]

        labels = np.array([CLASSES.index(key.split("/")[0]) for key in files], dtype=np.int64)
        return Part(keys=tuple(files), labels=labels, read=read)


def hold_out(*places: int) -> Split:
    """A split that takes these of the readable images."""

    def split(labels: Array, digests: Array, rows: Array) -> npt.NDArray[np.bool_]:
        return np.isin(np.arange(len(labels)), places)

    return split


def extracting(
    images: Images,
    options: set[AugmentationOption | str],
    past: Kept,
    cache: FeatureCache | None = None,
    extractor: Cells | None = None,
    seed: int = 0,
    split: Split | None = None,
) -> Extracting:
    cells = extractor or Cells()
    plan = ViewPlan(options=augmentation_options(options), seed=seed)
    featurizer = Featurizer(lambda: cells, DIMENSION, SIDE, cache, plan, "effects/1")
    return Extracting(images.corpus(), featurizer, split or hold_out(1), past)


def extracted(images: Images, options: set[AugmentationOption | str], **given: object) -> Kept:
    """All of it, in one go."""
    kept = Kept()
    for step in extracting(images, options, Kept(), **given).run(None):  # type: ignore[arg-type]
        kept.take(step)
    return kept


def table(kept: Kept, images: Images) -> FeatureTable:
    return load_features(kept, images.corpus().labels)
