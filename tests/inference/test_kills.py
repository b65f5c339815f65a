"""Processes that die at store calls, those of the session and that of the output: the output is that of no death."""

from __future__ import annotations

import secrets
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from mlsession.augment.options import augmentation_options
from mlsession.augment.views import ViewPlan
from mlsession.extractors.catalog import numerics_of
from mlsession.inference.images import image_source
from mlsession.inference.output import Output
from mlsession.inference.report import PredictionReport
from mlsession.inference.task import ImagePrediction
from mlsession.phases.listed import ListedImages
from mlsession.phases.recorded import EXTRACTOR
from mlsession.randomness import keyed_generator
from mlsession.session.policy import EveryIterations
from mlsession.store import MemorySpace, MemoryStore, Store
from mlsession.store.reading import ReadPolicy
from mlsession.testing.faults import Call, Fault, FaultPlan, FaultyStore, Process, ProcessDied, at, no_faults
from mlsession.testing.invariants import check_session
from tests.inference.conftest import tiny_model
from tests.session.attempts import Attempt

DEATHS = 10
"""Drawn for each format, in pairs: the second process dies, too."""


@dataclass(kw_only=True)
class World:
    """A session and an output in memory; features are shared by all worlds of a test."""

    photos: Path
    suffix: str
    features: MemorySpace
    views: ViewPlan = field(default_factory=ViewPlan)
    session: MemorySpace = field(default_factory=MemorySpace)
    folder: MemorySpace = field(default_factory=MemorySpace)

    def attempt(self, plan: FaultPlan = no_faults) -> tuple[Process, PredictionReport | None]:
        """One process; what it came to, None if it died."""
        process, source = Process(plan), image_source(self.photos)
        model, index = tiny_model(), source.list_images(ReadPolicy())

        def opener(space: MemorySpace) -> Callable[[], Store]:
            return lambda: FaultyStore(MemoryStore(space), process)

        task = ImagePrediction(
            model=model,
            images=ListedImages(keys=index.keys, read=lambda key: (self.photos / key).read_bytes()),
            kept=5,
            top_k=2,
            output=Output(url=f"memory://{self.name}"),
            numerics={EXTRACTOR: dict(numerics_of(model.feature_extractor, model.runtime()))},
            emit=lambda event: None,
            check=lambda: None,
            open_folder=opener(self.folder),
            session_url="",
            open_cache=lambda: MemoryStore(self.features),
            views=self.views,
        )
        attempt = Attempt(open_store=opener(self.session), policy=EveryIterations(iterations=1))
        try:
            return process, attempt.run(task, {})
        except ProcessDied:
            return process, None

    @property
    def name(self) -> str:
        return f"table{self.suffix}"

    @property
    def output(self) -> bytes | None:
        """What lies there."""
        value = self.folder.values.get(self.name)
        return None if value is None else value.data


@pytest.mark.parametrize(("suffix", "views"), [(".csv", ()), (".parquet", ()), (".csv", ("crop", "flip"))])
def test_after_any_death_the_output_is_the_same(shared_photos: Path, suffix: str, views: tuple[str, ...]) -> None:
    features, plan = MemorySpace(), ViewPlan(options=augmentation_options(views))
    unbroken = World(photos=shared_photos, suffix=suffix, features=features, views=plan)
    process, report = unbroken.attempt()
    assert report is not None
    assert (report.num_images, report.num_skipped) == (38, 2)
    assert any(call.key == unbroken.name for call in process.calls)
    seed = secrets.randbits(31)
    sys.stdout.write(f"seed {seed}\n")
    draws = keyed_generator(seed, "deaths", suffix)
    kinds = (Fault.CRASH_BEFORE, Fault.CRASH_HALFWAY, Fault.CRASH_AFTER)
    died = 0
    for number in draws.integers(1, len(process.calls) + 1, DEATHS // 2).tolist():
        world = World(photos=shared_photos, suffix=suffix, features=features, views=plan)
        for call in (number, int(draws.integers(1, len(process.calls) + 1))):
            died += world.attempt(at(call, kinds[int(draws.integers(len(kinds)))]))[1] is None
            assert world.output in (None, unbroken.output), "never a part of it"
        assert world.attempt()[1] == report
        assert world.output == unbroken.output
        assert check_session(MemoryStore(world.session)) is not None
    assert died >= DEATHS // 4


def test_after_a_death_while_the_output_is_written_an_older_one_is_whole(shared_photos: Path) -> None:
    world = World(photos=shared_photos, suffix=".csv", features=MemorySpace())
    MemoryStore(world.folder).put(world.name, b"of last week")

    def plan(call: Call) -> Fault | None:
        return Fault.CRASH_BEFORE if (call.key, call.operation) == (world.name, "put") else None

    process, report = world.attempt(plan)
    assert process.is_dead
    assert report is None
    assert world.output == b"of last week"
    _, report = world.attempt()
    assert report is not None
    assert (world.output or b"").startswith(b"path,label,confidence,label_2,confidence_2,reason\n")
