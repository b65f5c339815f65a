"""The choosing phase: which candidate is kept, on what, and exact resume after a crash at every store call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from mlsession.errors import DamagedData, ModifiedTrainingData
from mlsession.extractors.halves import to_half
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.options import LogisticRegressor
from mlsession.phases.choose import Candidate, Choosing
from mlsession.phases.chosen_extractor import USED, ExtractorChoice, extractor_chosen
from mlsession.phases.donation import DonatedRows
from mlsession.phases.featured import Picture
from mlsession.phases.listed import StampedRows
from mlsession.phases.pictures import BATCH
from mlsession.phases.sampled import Sample, sampled_rows
from mlsession.randomness import keyed_generator
from mlsession.session.log.blobs import decode_state, encode_state
from mlsession.session.phase import Array, Json, Past, Phase, PhaseRunner, PhaseState
from mlsession.session.policy import EveryIterations
from mlsession.store.memory import MemorySpace, MemoryStore
from mlsession.testing.invariants import check_session
from tests.session.attempts import Attempt, attempt_on
from tests.session.stores import Crash, Fate, MortalStore

CLASSES = ("cat", "dog")
IMAGES, WIDTH = 40, 4
LABELS = np.arange(IMAGES) % 2
DIGESTS = keyed_generator(0, "contents").integers(0, 256, (IMAGES, 32), dtype=np.uint8)


def features(apart: float, seed: int = 0) -> Array:
    """float16 [IMAGES, WIDTH]: the classes lie so far apart, in standard deviations."""
    noise = keyed_generator(seed, "features").normal(size=(IMAGES, WIDTH))
    noise[:, 0] += apart * LABELS
    return to_half(noise.astype(np.float32))


NOISE, POOR, GOOD, BEST = features(0.0), features(1.2), features(2.8), features(9.0)


@dataclass
class Made:
    """A `FeatureSource` of features that are there; notes which images it was asked for."""

    rows: Array
    asked: list[int] = field(default_factory=list)
    unreadable: frozenset[int] = frozenset()
    replaced: frozenset[int] = frozenset()
    num_views = 1
    num_reused = 0

    def batches(
        self,
        rows: range,
        key_of: Callable[[int], str],
        bytes_of: Callable[[int], bytes],
        size: int = BATCH,
        *,
        augmented: bool = False,
        stamps: StampedRows | None = None,
    ) -> Iterator[tuple[Picture, ...]]:
        for start in range(rows.start, rows.stop, size):
            batch = range(start, min(start + size, rows.stop))
            self.asked += batch
            yield tuple(self._picture(row) for row in batch)

    def _picture(self, row: int) -> Picture:
        reason = "broken" if row in self.unreadable else ""
        found = np.zeros_like(self.rows[row]) if reason else self.rows[row]
        digest = (DIGESTS[row] ^ 1 if row in self.replaced else DIGESTS[row]).tobytes()
        return Picture(row=row, digest=digest, features=found[None], reason=reason, made=(0,))

    def close(self) -> None:
        return


def everything(labels: Array, digests: Array) -> Array:
    return np.ones(len(labels), dtype=np.bool_)


SAMPLE = Sample(labels=LABELS, key_of=str, bytes_of=lambda row: b"", usable=everything, digest="all")


@dataclass(frozen=True)
class Choice:
    """A task of this phase alone, of candidates called a, b, ..."""

    sources: Sequence[Made]
    sample: Sample = SAMPLE

    name = "choice"
    phases = (Phase.CHOOSING,)

    def runner(self, phase: str, past: Past) -> PhaseRunner:
        candidates = [
            Candidate(name=name, features=lambda source=source: source)  # type: ignore[misc]  # mypy knows no defaults here.
            for name, source in zip("abcdef", self.sources, strict=False)
        ]
        return Choosing(self.sample, candidates, CLASSES, LogisticRegressor(), 0, lambda: torch_numerics(1), past)

    def inputs(self, phase: str) -> str:
        return ""

    def is_complete(self, phase: str, state: PhaseState) -> bool:
        return True

    def result(self, past: Past) -> tuple[bytes, DonatedRows]:
        return encode_state(past.state(Phase.CHOOSING)), sampled_rows(past)


INTERVAL = 1
CRASHES = (10, 60, 101, 160)
"""Store calls: in the midst of extracting by the first candidate, of judging it, of extracting by the second one, of
judging that."""
RESUMED = {(16, 0), (40, 0), (40, 32), (40, 40)}
"""How many images are not asked for again."""
PARAMETERS: Mapping[str, Json] = {}


def chosen(*candidates: Array, unreadable: frozenset[int] = frozenset(), sample: Sample = SAMPLE) -> ExtractorChoice:
    """What comes of an undisturbed run."""
    space = MemorySpace()
    sources = [Made(rows, unreadable=unreadable) for rows in candidates]
    attempt_on(space, 100).run(Choice(sources, sample), PARAMETERS)
    return choice_in(space)


def choice_in(space: MemorySpace) -> ExtractorChoice:
    from mlsession.session.parameters import SessionParameters
    from mlsession.session.session import TrainingSession

    with TrainingSession(lambda: MemoryStore(space), SessionParameters()) as session:
        found = extractor_chosen(session.past.state(Phase.CHOOSING))
    assert found is not None
    return found


def test_a_candidate_that_is_surely_better_is_kept() -> None:
    choice = chosen(NOISE, GOOD, POOR)
    assert choice.kept == "b"
    assert [each.kept.kind for each in choice.comparisons] == ["b", "b"]
    assert [(each.first.kind, each.second.kind) for each in choice.comparisons] == [("a", "b"), ("b", "c")]
    better, worse = (each.difference for each in choice.comparisons)
    assert better.difference > better.standard_error > 0 > worse.difference
    a, b, c = choice.ratings
    assert b.accuracy - a.accuracy == pytest.approx(better.difference)
    assert c.accuracy - b.accuracy == pytest.approx(worse.difference)
    assert (choice.folds, choice.judged, choice.images) == (5, IMAGES, IMAGES)
    assert choice.reason.startswith("b is ")
    assert "c is " in choice.reason


def test_the_first_one_is_kept_where_another_is_as_good() -> None:
    tie = chosen(POOR, POOR)
    assert (tie.kept, tie.comparisons[0].difference.difference) == ("a", 0.0)
    assert tie.reason == "b is no better than a"


def test_others_are_not_tried_once_nothing_could_be_better() -> None:
    first, second = Made(BEST), Made(BEST)
    space = MemorySpace()
    attempt_on(space, 100).run(Choice([first, second]), PARAMETERS)
    choice = choice_in(space)
    assert (choice.kept, [each.kind for each in choice.ratings], choice.comparisons) == ("a", ["a"], ())
    assert "b cannot be better" in choice.reason
    assert first.asked == list(range(IMAGES))
    assert second.asked == []


def test_of_too_few_images_nothing_is_chosen() -> None:
    few = replace(SAMPLE, labels=LABELS[:10])
    assert chosen(NOISE, GOOD, sample=few) == ExtractorChoice(names=("a", "b"), images=0)
    unreadable = chosen(NOISE, GOOD, unreadable=frozenset(range(25)))
    assert unreadable == ExtractorChoice(names=("a", "b"), images=IMAGES)
    assert unreadable.reason == "there are too few images to choose by"


def test_what_may_not_be_chosen_on_is_not_judged_and_all_rows_of_what_is_kept_can_be_taken_over() -> None:
    kept = {digest.tobytes() for digest in DIGESTS[:30]}

    def usable(labels: Array, digests: Array) -> Array:
        return np.array([digest.tobytes() in kept for digest in digests])

    space, broken = MemorySpace(), frozenset({7})
    sources = [Made(rows, unreadable=broken) for rows in (NOISE, GOOD)]
    encoded, rows = attempt_on(space, 3).run(Choice(sources, replace(SAMPLE, usable=usable)), PARAMETERS)
    used = decode_state(encoded, "choosing").arrays[USED]
    assert {digest.tobytes() for digest in used} == kept - {DIGESTS[7].tobytes()}
    choice = choice_in(space)
    assert (choice.kept, choice.judged, choice.images) == ("b", 29, IMAGES)
    assert len(rows.places) == IMAGES - 1
    assert DIGESTS[7].tobytes() not in rows.places
    for row in (0, 6, 8, IMAGES - 1):
        assert rows.features[rows.places[DIGESTS[row].tobytes()]].tobytes() == GOOD[row].tobytes()


def test_crashed_at_a_store_call_it_chooses_the_same_and_makes_nothing_twice() -> None:
    def task() -> Choice:
        return Choice([Made(POOR), Made(GOOD)])

    def attempt(space: MemorySpace, fate: Fate) -> Attempt:
        return Attempt(open_store=lambda: MortalStore(space, fate), policy=EveryIterations(iterations=INTERVAL))

    fate = Fate(at=-1, after=False)
    state, rows = attempt(MemorySpace(), fate).run(task(), PARAMETERS)
    resumed_after = set[tuple[int, ...]]()
    for at in CRASHES:
        assert at < fate.calls
        space = MemorySpace()
        with pytest.raises(Crash):
            attempt(space, Fate(at, at % 2 == 0)).run(task(), PARAMETERS)
        check_session(MemoryStore(space))
        again = task()
        found, its_rows = attempt_on(space, INTERVAL).run(again, PARAMETERS)
        assert found == state, f"after a crash at call {at} of {fate.calls}"
        assert its_rows.features.tobytes() == rows.features.tobytes()
        resumed_after.add(tuple(IMAGES - len(source.asked) for source in again.sources))
        check_session(MemoryStore(space))
    assert resumed_after == RESUMED


def test_a_state_of_other_images_is_refused() -> None:
    space, fate = MemorySpace(), Fate(at=12, after=True)
    with pytest.raises(Crash):
        Attempt(open_store=lambda: MortalStore(space, fate), policy=EveryIterations(iterations=1)).run(
            Choice([Made(POOR), Made(GOOD)]), PARAMETERS
        )
    with pytest.raises(DamagedData, match="a sample of other images"):
        attempt_on(space).run(Choice([Made(POOR), Made(GOOD)], replace(SAMPLE, digest="others")), PARAMETERS)


@pytest.mark.parametrize("change", ["replaced", "unreadable"])
def test_an_image_that_changes_in_between_is_named_and_put_back_it_goes_on(change: str) -> None:
    space = MemorySpace()
    few = frozenset({39})
    changed = Made(GOOD, unreadable=few) if change == "unreadable" else Made(GOOD, replaced=few)
    with pytest.raises(
        ModifiedTrainingData, match=r"the training data changed .*: 1 replaced \(such as 39\); put them back"
    ):
        attempt_on(space, 1).run(Choice([Made(POOR), changed]), PARAMETERS)
    found, _ = attempt_on(space, 1).run(Choice([Made(POOR), Made(GOOD)]), PARAMETERS)
    assert found == attempt_on(MemorySpace(), 1).run(Choice([Made(POOR), Made(GOOD)]), PARAMETERS)[0]
