from __future__ import annotations

from dataclasses import replace

import pytest

from mlsession.session.log.records import CheckpointEntry
from mlsession.session.standing import Standing, stand, valid_commits
from tests.session.log.values import DATE, blob

PHASES = ("extracting", "training", "evaluating")


def commit(number: int, phase: str, ended: bool = True, inputs: str = "") -> CheckpointEntry:
    return CheckpointEntry(
        number=number,
        parent=number - 1,
        phase=phase,
        iteration=1,
        item_count=1,
        date=DATE,
        metrics={},
        state=blob(1, number, "state"),
        adds=(),
        fresh=True,
        ended=ended,
        inputs=inputs,
        run=number,
    )


def standing(*entries: CheckpointEntry, incomplete: str = "", inputs: str = "") -> Standing:
    """Where a task stands; `incomplete` names a phase with more to do, `inputs` are those of evaluating today."""
    return stand(
        PHASES,
        {entry.phase: entry for entry in entries},
        lambda phase: inputs if phase == "evaluating" else "",
        lambda entry: entry.phase != incomplete,
    )


EXTRACTED, TRAINED, EVALUATED = commit(3, "extracting"), commit(7, "training"), commit(9, "evaluating")


def test_nothing_done_begins_with_the_first_phase() -> None:
    assert standing() == Standing(phase="extracting")


def test_an_ended_phase_hands_over_to_the_next() -> None:
    assert standing(EXTRACTED) == Standing(phase="training")
    assert standing(EXTRACTED, TRAINED) == Standing(phase="evaluating")


def test_all_ended_is_complete() -> None:
    assert standing(EXTRACTED, TRAINED, EVALUATED) == Standing(phase=None)


@pytest.mark.parametrize("entry", [EXTRACTED, TRAINED, EVALUATED])
def test_a_phase_that_has_not_ended_goes_on_from_its_commit(entry: CheckpointEntry) -> None:
    half = replace(entry, ended=False)
    before = [done for done in (EXTRACTED, TRAINED, EVALUATED) if done.number < entry.number]
    assert standing(*before, half) == Standing(phase=entry.phase, entry=half)


def test_a_raised_limit_goes_on_from_the_end() -> None:
    assert standing(EXTRACTED, TRAINED, EVALUATED, incomplete="training") == Standing(phase="training", entry=TRAINED)


def test_completeness_is_asked_only_of_phases_that_ended() -> None:
    asked: list[str] = []

    def is_complete(entry: CheckpointEntry) -> bool:
        asked.append(entry.phase)
        return True

    half = replace(TRAINED, ended=False)
    stand(PHASES, {"extracting": EXTRACTED, "training": half}, lambda phase: "", is_complete)
    assert asked == ["extracting"]


def test_what_came_before_a_newer_commit_of_an_earlier_phase_does_not_count() -> None:
    longer = commit(12, "training")
    assert standing(EXTRACTED, longer, EVALUATED) == Standing(phase="evaluating")
    assert standing(EXTRACTED, replace(longer, ended=False), EVALUATED).phase == "training"


def test_an_old_later_phase_does_not_count_while_an_earlier_one_runs() -> None:
    again = commit(12, "extracting", ended=False)
    assert standing(again, TRAINED, EVALUATED) == Standing(phase="extracting", entry=again)
    assert standing(commit(12, "extracting"), TRAINED, EVALUATED) == Standing(phase="training")


def test_other_inputs_start_only_their_phase_over() -> None:
    assert standing(EXTRACTED, TRAINED, EVALUATED, inputs="other test set") == Standing(phase="evaluating")
    same = commit(9, "evaluating", inputs="x")
    assert standing(EXTRACTED, TRAINED, same, inputs="x") == Standing(phase=None)
    assert standing(EXTRACTED, TRAINED, same) == Standing(phase="evaluating")


def test_a_missing_earlier_phase_hides_all_later_ones() -> None:
    assert standing(TRAINED, EVALUATED) == Standing(phase="extracting")
    newest = {"training": TRAINED, "evaluating": EVALUATED}
    assert valid_commits(PHASES, newest, lambda phase: "") == {}


def test_valid_commits_end_with_the_phase_that_runs() -> None:
    half = replace(TRAINED, ended=False)
    newest = {"extracting": EXTRACTED, "training": half, "evaluating": EVALUATED}
    assert valid_commits(PHASES, newest, lambda phase: "") == {"extracting": EXTRACTED, "training": half}
