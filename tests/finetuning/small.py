"""A fine-tuning that takes a moment: small pictures, a network of timm with random weights, and such a head."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import nn

from mlsession.augment.options import augmentation_options
from mlsession.devices.crew import Crew
from mlsession.events import Event
from mlsession.extractors.catalog import FeatureExtractorSpec, timm_extractor
from mlsession.extractors.trainable import trainable_network
from mlsession.finetuning.options import FineTune
from mlsession.finetuning.runtime import TuningRuntime
from mlsession.heads.logistic.head import LogisticHead
from mlsession.phases.corpus import Corpus, Part
from mlsession.phases.features import FeatureTable
from mlsession.phases.finetune import FineTuning
from mlsession.phases.tuning.work import TuningWork
from mlsession.session.phase import PhaseState, Step
from tests.augment.pictures import digest_of, png
from tests.extractors.networks import save_weights, timm_network

CLASSES = ("dark", "light", "mixed")
TRAINING, VALIDATION = 18, 7
PLAIN = TuningRuntime(precision="32-true")


def small_extractor(folder: Path, name: str = "test_efficientnet") -> FeatureExtractorSpec:
    """A network that sees 32 pixels, of pictures of 37."""
    found = timm_extractor(name, save_weights(timm_network(name), folder / f"{name}.safetensors"))
    return replace(found, network_side=32)


class Small:
    """25 pictures of three kinds, the last 7 of them held out."""

    def __init__(self, spec: FeatureExtractorSpec, *, is_known: bool = False) -> None:
        """`is_known`: the features of a picture give its label away, and the head knows how."""
        self.spec = spec
        self._is_known = is_known
        self.labels = np.arange(TRAINING + VALIDATION, dtype=np.int64) % 3
        self.files = {f"{row:02}.png": png(_picture(row)) for row in range(len(self.labels))}
        self.events: list[Event] = []
        self.read: list[str] = []
        self.load_table: Callable[[], FeatureTable] | None = None
        """What gives the features, where that is not `table`."""

    def corpus(self) -> Corpus:
        def read(key: str) -> bytes:
            self.read.append(key)
            return self.files[key]

        return Corpus(classes=CLASSES, training=Part(keys=tuple(self.files), labels=self.labels, read=read))

    def table(self, validation: int = VALIDATION) -> FeatureTable:
        count = len(self.labels)
        held_out = np.arange(count) >= count - validation
        digests = [np.frombuffer(digest_of(data), dtype=np.uint8) for data in self.files.values()]
        features = np.random.default_rng(3).normal(size=(count, self.spec.dimension)).astype(np.float16)
        if self._is_known:
            features[:, :3] = 100 * np.eye(3)[self.labels]
        return FeatureTable(
            features=features,
            labels=self.labels,
            image=np.arange(count, dtype=np.int64),
            digests=np.stack(digests),
            original=np.ones(count, dtype=np.bool_),
            training=~held_out,
            validation=held_out,
        )

    def head(self) -> LogisticHead:
        drawn = np.random.default_rng(1).normal(size=(3, self.spec.dimension), scale=0.05).astype(np.float32)
        if self._is_known:
            drawn[:, :3] = np.eye(3)
        return LogisticHead(weight=drawn, bias=np.zeros(3, dtype=np.float32))

    def tuning(
        self,
        options: FineTune,
        *,
        seed: int = 0,
        validation: int = VALIDATION,
        runtime: TuningRuntime = PLAIN,
        world: Crew | None = None,
        neighbours: int = 1,
        build: Callable[[FeatureExtractorSpec], nn.Module] = trainable_network,
    ) -> FineTuning:
        work = TuningWork(
            options=options,
            runtime=runtime,
            corpus=self.corpus(),
            load_table=self.load_table or (lambda: self.table(validation)),
            head=self.head,
            augmentation=options.augmentation_of(augmentation_options(())),
            seed=seed,
            emit=self.events.append,
            build=build,
        )
        return FineTuning(work, world, neighbours)


def states(runner: FineTuning, state: PhaseState | None = None) -> Iterator[tuple[Step, PhaseState]]:
    """Each step with the state that may be saved after it."""
    for step in runner.run(state):
        yield step, step.snapshot()


def last(runner: FineTuning, state: PhaseState | None = None) -> PhaseState:
    """How it ends."""
    *_, (_, final) = states(runner, state)
    return final


def same(one: PhaseState, other: PhaseState) -> bool:
    """Whether two states have the same values, to the bit."""
    if one.data != other.data or one.arrays.keys() != other.arrays.keys():
        return False
    return all(array.tobytes() == other.arrays[name].tobytes() for name, array in one.arrays.items())


def _picture(row: int) -> npt.NDArray[np.uint8]:
    drawn = np.random.default_rng(row).integers(0, 90, size=(40 + row, 50, 3))
    return (drawn + (0, 150, 80)[row % 3]).astype(np.uint8)
