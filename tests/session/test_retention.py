"""Which checkpoints stay: properties of the pure decisions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlsession.errors import InvalidParameter
from mlsession.session.log.records import CheckpointEntry
from mlsession.session.retention import (
    BATCH,
    BATCH_BYTES,
    SPARE,
    Retention,
    best,
    is_removal_due,
    removable,
    superseded,
)
from mlsession.session.standing import valid_commits
from tests.session.log.values import DATE, blob

PHASES = ("extracting", "training", "evaluating")
Newest = Mapping[str, CheckpointEntry]


def commit(number: int, phase: str, run: int = 2, ended: bool = False, **metrics: float) -> CheckpointEntry:
    return CheckpointEntry(
        number=number,
        parent=number - 1,
        phase=phase,
        iteration=number,
        item_count=number,
        date=DATE,
        metrics=metrics,
        state=blob(1, number, "state"),
        adds=(),
        fresh=number == run,
        ended=ended,
        inputs="",
        run=run,
    )


def newest_of(commits: Sequence[CheckpointEntry]) -> dict[str, CheckpointEntry]:
    return {entry.phase: entry for entry in commits}


@st.composite
def histories(draw: st.DrawFn) -> tuple[tuple[CheckpointEntry, ...], Newest]:
    """A session's list: phases that run, are extended and start over in any order; some of it removed already."""
    commits: list[CheckpointEntry] = []
    runs: dict[str, int] = {}
    for number in range(2, draw(st.integers(2, 40))):
        phase = draw(st.sampled_from(PHASES))
        if phase not in runs or draw(st.integers(0, 4)) == 0:
            runs[phase] = number
        metrics = draw(st.dictionaries(st.sampled_from(["accuracy", "validation_accuracy"]), st.floats(0, 1)))
        commits.append(commit(number, phase, runs[phase], draw(st.booleans()), **metrics))
    newest = newest_of(commits)
    # Removals leave a list that such a decision could have left.
    chosen = draw(st.frozensets(st.integers(2, 40)))
    gone = removable(commits, newest, PHASES, chosen)
    return tuple(entry for entry in commits if entry not in gone), newest


rules = st.builds(Retention, keep_last=st.none() | st.integers(2, 5), keep_best=st.none() | st.integers(1, 3))


def resting(live: Sequence[CheckpointEntry], entry: CheckpointEntry) -> list[CheckpointEntry]:
    """What counted of the earlier phases when a checkpoint was made, by the definition."""
    before = newest_of([each for each in live if each.number < entry.number])
    phases = PHASES[: PHASES.index(entry.phase)]
    return list(valid_commits(phases, before, lambda phase: before[phase].inputs).values())


@settings(max_examples=40)  # Drawing a history takes longer than deciding.
@given(histories(), st.frozensets(st.integers(2, 40)))
def test_what_is_needed_stays_whatever_is_chosen(
    history: tuple[tuple[CheckpointEntry, ...], Newest], chosen: frozenset[int]
) -> None:
    live, newest = history
    gone = removable(live, newest, PHASES, chosen)
    left = [entry for entry in live if entry not in gone]
    assert {entry.number for entry in gone} <= chosen
    assert all(entry in left for entry in newest.values())
    for entry in left:
        assert all(base in left for base in resting(live, entry))
    # Nothing stays without one of these reasons.
    needed = {base.number for entry in left for base in resting(live, entry)} | {e.number for e in newest.values()}
    assert all(entry.number in needed or entry.number not in chosen for entry in left)
    # Asked again, it finds nothing more.
    assert removable(left, newest, PHASES, chosen) == ()


@settings(max_examples=40)  # Drawing a history takes longer than deciding.
@given(histories(), rules)
def test_the_rule_keeps_what_it_says(history: tuple[tuple[CheckpointEntry, ...], Newest], rule: Retention) -> None:
    live, newest = history
    gone = superseded(live, newest, PHASES, rule)
    left = [entry for entry in live if entry not in gone]
    if rule.keeps_all:
        assert gone == ()
        return
    for phase, last in newest.items():
        present = [entry for entry in live if (entry.phase, entry.run) == (phase, last.run)]
        assert all(entry in left for entry in present[-SPARE:])
        if phase == "training":
            assert all(entry in left for entry in present[-(rule.keep_last or SPARE) :])
            assert all(entry in left for entry in best(present, rule.keep_best or 0))
        if not last.ended:
            assert all(entry in left for entry in live if entry.phase == phase and entry.run != last.run)
    # A step at a time comes to the same.
    assert superseded(left, newest, PHASES, rule) == ()


@settings(max_examples=40)  # Drawing a history takes longer than deciding.
@given(histories(), rules)
def test_what_stays_is_bounded(history: tuple[tuple[CheckpointEntry, ...], Newest], rule: Retention) -> None:
    live, newest = history
    if rule.keeps_all or not all(entry.ended for entry in newest.values()):
        return
    left = [entry for entry in live if entry not in superseded(live, newest, PHASES, rule)]
    own = (rule.keep_last or SPARE) + (rule.keep_best or 0)
    # Evaluations rest on a training state each, and all of these on what was extracted.
    assert len(left) <= (SPARE + own + 2 * SPARE) * len(PHASES)


def test_the_usual_training() -> None:
    live = [
        *(commit(number, "extracting", 2, number == 9) for number in range(2, 10)),
        *(commit(number, "training", 10, number == 19, accuracy=float(number == 13)) for number in range(10, 20)),
        *(commit(number, "evaluating", 20, number == 24) for number in range(20, 25)),
    ]
    gone = {entry.number for entry in superseded(live, newest_of(live), PHASES, Retention(keep_last=3, keep_best=1))}
    assert {entry.number for entry in live} - gone == {8, 9, 13, 17, 18, 19, 23, 24}
    assert superseded(live, newest_of(live), PHASES, Retention()) == ()


def test_an_evaluation_keeps_the_training_state_that_it_measured() -> None:
    live = [
        commit(2, "extracting", ended=True),
        commit(3, "training", 3),
        commit(4, "training", 3, ended=True),
        commit(5, "evaluating", 5, ended=True),
        commit(6, "training", 3),
        commit(7, "training", 3, ended=True),
        commit(8, "evaluating", 8, ended=True),
    ]
    newest = newest_of(live)
    everything = {entry.number for entry in live}
    assert [entry.number for entry in removable(live, newest, PHASES, everything)] == [3, 4, 5, 6]
    assert [entry.number for entry in removable(live, newest, PHASES, everything - {5})] == [3, 6]
    # Of a task whose order is not known nothing of the kind can be said.
    assert [entry.number for entry in removable(live, newest, (), everything - {5})] == [3, 4, 6]


def test_an_earlier_run_stays_until_the_present_one_has_ended() -> None:
    old = [commit(2, "extracting", ended=True), commit(3, "training", 3), commit(4, "training", 3, ended=True)]
    new = [commit(6, "extracting", 6, ended=True), commit(7, "training", 7)]
    rule = Retention(keep_last=2)
    assert superseded([*old, *new], newest_of([*old, *new]), PHASES, rule) == ()
    new.append(commit(8, "training", 7, ended=True))
    gone = superseded([*old, *new], newest_of([*old, *new]), PHASES, rule)
    assert [entry.number for entry in gone] == [2, 3, 4]


@pytest.mark.parametrize(
    ("values", "count", "expected"),
    [
        ([{"accuracy": 0.5}, {"accuracy": 0.9}, {"accuracy": 0.7}], 2, [3, 4]),
        ([{"accuracy": 0.9}, {"accuracy": 0.9}, {"accuracy": 0.9}], 2, [2, 3]),
        ([{"accuracy": 0.9, "validation_accuracy": 0.1}, {"accuracy": 0.1, "validation_accuracy": 0.2}], 1, [3]),
        ([{"accuracy": math.nan}, {"accuracy": 0.1}], 2, [3]),
        ([{"accuracy": 0.5}, {"validation_accuracy": math.nan, "accuracy": 0.6}], 1, [3]),
        ([{"loss": 0.5}, {}], 1, []),
        ([{"accuracy": 0.5}], 0, []),
    ],
)
def test_the_best(values: list[dict[str, float]], count: int, expected: list[int]) -> None:
    entries = [commit(number, "training", 2, False, **metrics) for number, metrics in enumerate(values, start=2)]
    assert [entry.number for entry in best(entries, count)] == expected


def test_removals_come_in_batches() -> None:
    waiting = [commit(number, "training") for number in range(2, 2 + BATCH)]
    assert is_removal_due(waiting)
    assert not is_removal_due(waiting[1:])
    assert not is_removal_due([])
    large = replace(waiting[0], state=replace(waiting[0].state, size=BATCH_BYTES))
    assert is_removal_due([large])


@pytest.mark.parametrize("wrong", [{"keep_last": 1}, {"keep_last": True}, {"keep_best": 0}, {"keep_last": 2.5}])
def test_a_rule_that_cannot_be(wrong: dict[str, int]) -> None:
    with pytest.raises(InvalidParameter, match="must be a whole number of"):
        Retention(**wrong)
