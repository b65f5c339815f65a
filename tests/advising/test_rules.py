"""Each rule on figures that just bear it, and on figures that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mlsession.advising.advice import Advice, Lever, Severity
from mlsession.advising.commands import TrainingLine
from mlsession.advising.evidence import ConflictingCopies, Evidence, SmallImages
from mlsession.advising.intervals import Share
from mlsession.advising.verdict import RULES, advise
from mlsession.scanning.labels import label_findings
from tests.advising.made import LINE, evidence, metrics, right

TESTED = TrainingLine(session="s", data="d", test="t", options={})

PAIR = right([40] * 5)
PAIR[0, 1] = PAIR[1, 0] = 12
PAIR[0, 0] = PAIR[1, 1] = 28

OUTNUMBERED = right([40] * 5)
OUTNUMBERED[0, 1], OUTNUMBERED[0, 0] = 20, 20

FOUND: dict[str, list[dict[str, Any]]] = {
    "leaked_images": [{"leaked": {"test": Share(part=50, count=50)}, "line": TESTED}],
    "no_better_than_guessing": [
        {"test": right([20] * 5, 16)},
        # Learned by what is held back of the training images, but not so these are named.
        {"test": right([20] * 5, 16), "out_of_fold": Share(part=290, count=300)},
        {
            "test": None,
            "validation": right([20] * 5, 16),
            "out_of_fold": Share(part=290, count=300),
            "split_off": False,
        },
        {"test": None, "validation": right([20] * 5, 16), "out_of_fold": Share(part=60, count=300)},
    ],
    "small_images": [
        {"small_images": SmallImages(share=Share(part=40, count=64), median_side=32), "test": right([40] * 5, 5)}
    ],
    "unlike_test_images": [
        {"test": right([40] * 5, 20), "out_of_fold": Share(part=290, count=300)},
        {"test": right([40] * 5, 20), "validation": right([6] * 5)},
    ],
    "wrong_labels": [{"out_of_fold": Share(part=230, count=300)}, {"validation": right([8] * 5, 4)}],
    "conflicting_copies": [
        {"conflicting_copies": ConflictingCopies(pictures=10, wrong=Share(part=11, count=300))},
        {"conflicting_copies": ConflictingCopies(pictures=1, wrong=Share(part=1, count=300))},
    ],
    "sure_mistakes": [{"test": metrics(right([40] * 5, 10), {0.9: (25, 80), 0.5: (25, 70)})}],
    "imbalance": [{"training": right([12, 60, 60, 60, 60]), "test": OUTNUMBERED}],
    "few_images": [
        {"training": right([4, 60, 60, 60, 60])},
        {"training": right([20, 60, 60, 60, 60]), "test": right([40] * 5, [15, 1, 1, 1, 1])},
        {"training": right([20] * 5), "test": right([40] * 5, 6)},
        {"pictures": (4, 60, 60, 60, 60)},
    ],
    "iteration_limit": [
        {"training": right([60] * 5, 20), "limit": 25, "losses": tuple(np.linspace(2, 1, 25).tolist())},
        {"training": right([60] * 5, 20), "limit": 1, "losses": (1.5,)},
    ],
    "underfitting": [{"training": right([60] * 5, 8), "converged": True, "test": right([40] * 5, 6)}],
    "overfitting": [{"test": right([40] * 5, 6)}, {"test": None, "out_of_fold": Share(part=250, count=300)}],
    "confused_pair": [{"test": PAIR}],
    "weak_class": [{"test": right([40] * 5, [15, 1, 1, 1, 1])}],
    "unreadable_images": [{"skipped": Share(part=30, count=300)}],
    "alike_labels": [{"findings": tuple(label_findings({"cat": 60, "Cat": 60}))}],
    "few_test_images": [
        {"test": right([6] * 5, 1)},
        {"test": right([80, 80, 80, 80, 3])},
        # However well it is known by the training images: of the test images it says nothing.
        {"test": right([1, 0, 0, 0, 0]), "out_of_fold": Share(part=290, count=300), "line": TESTED},
        # Three classes of ten photos, judged by cross-validation alone.
        {"training": right([10] * 3), "test": None, "out_of_fold": Share(part=30, count=30)},
    ],
    "no_test_images": [{"test": None}],
}

NOT_FOUND: dict[str, list[dict[str, Any]]] = {
    "leaked_images": [{"leaked": {"test": Share(part=0, count=0)}}],
    "no_better_than_guessing": [
        {"test": right([20] * 5, 10)},
        {"test": right([30, 2], [0, 2]), "training": right([60] * 2)},
        # A few images set aside say less than all the others, held back in turn.
        {"test": None, "validation": right([3] * 5, 3), "out_of_fold": Share(part=90, count=300)},
    ],
    "small_images": [
        {"small_images": SmallImages(share=Share(part=33, count=64), median_side=48), "test": right([40] * 5, 5)},
        {"small_images": SmallImages(share=Share(part=64, count=64), median_side=32)},
    ],
    "unlike_test_images": [
        {"test": right([40] * 5, 20)},
        {"test": right([4] * 5, 1), "validation": right([2] * 5)},
        {"test": right([40] * 5, 20), "validation": right([40] * 5), "split_off": False},
        # The test images have more of a class that is hard for training images, too.
        {
            "training": right([20, 120, 120, 120, 120]),
            "test": right([80, 20, 20, 20, 20], [40, 1, 1, 1, 1]),
            "out_of_fold": Share(part=465, count=500),
        },
        # Nothing is known of half of what was trained on.
        {"test": right([40, 0, 0, 0, 0], [20, 0, 0, 0, 0]), "out_of_fold": Share(part=290, count=300)},
    ],
    "wrong_labels": [{"out_of_fold": Share(part=280, count=300)}, {"validation": right([1] * 5, [1, 0, 0, 0, 0])}],
    "conflicting_copies": [{}],
    "sure_mistakes": [
        {"test": right([40] * 5, 10)},
        {"test": metrics(right([40] * 5, 10), {0.9: (5, 100), 0.5: (45, 50)})},
    ],
    "imbalance": [
        {"test": OUTNUMBERED},
        {"training": right([12, 60, 60, 60, 60])},
        {"training": right([4, 60, 60, 60, 60]), "test": OUTNUMBERED},
    ],
    "few_images": [
        {"training": right([20, 60, 60, 60, 60])},
        {"training": right([4, 60, 60, 60, 60]), "test": right([60] * 5)},
        {"training": right([20] * 5)},
    ],
    "iteration_limit": [
        {"training": right([60] * 5, 20), "limit": 25, "losses": tuple(np.linspace(2, 1, 24).tolist())},
        {"training": right([60] * 5, 20), "limit": 25, "losses": (1.0,) * 25},
        {"limit": 25, "losses": tuple(np.linspace(2, 1, 25).tolist())},
        {"training": right([60] * 5, 20), "limit": 1, "losses": (1.5,), "converged": True},
    ],
    "underfitting": [
        {"training": right([60] * 5, 8)},
        {"converged": True},
        {"training": right([60] * 5, 8), "test": right([40] * 5, 15), "converged": True},
    ],
    "overfitting": [
        {},
        {"training": right([60] * 5, 8), "test": right([40] * 5, 8)},
        {"test": right([4] * 5, [1, 0, 0, 0, 0])},
    ],
    "confused_pair": [{"test": right([40] * 5, 8)}, {"test": right([40, 40], 8), "training": right([60, 60])}],
    "weak_class": [{"test": right([40] * 5, 8)}, {"test": right([4] * 5, [4, 0, 0, 0, 0])}],
    "unreadable_images": [{"skipped": Share(part=3, count=300)}],
    "alike_labels": [{"findings": tuple(label_findings({"bird": 60, "birds": 60}))}],
    "few_test_images": [
        {},
        {"test": right([6] * 5, 1), "out_of_fold": Share(part=290, count=300)},
        {"test": None},
        {"test": None, "out_of_fold": Share(part=290, count=300)},
    ],
    "no_test_images": [{}, {"test": None, "out_of_fold": Share(part=290, count=300)}],
}


def cases(table: dict[str, list[dict[str, Any]]]) -> list[Any]:
    return [
        pytest.param(rule, parts, id=f"{rule}-{place}") for rule in table for place, parts in enumerate(table[rule])
    ]


def asked(rule: str, given: Evidence) -> Advice | None:
    return RULES[rule](given)


@pytest.mark.parametrize(("rule", "parts"), cases(FOUND))
def test_it_is_found(rule: str, parts: dict[str, Any]) -> None:
    advice = asked(rule, evidence(**parts))
    assert advice is not None
    assert advice.rule == rule
    for text in (advice.limit, advice.evidence, advice.next_step):
        assert text.strip() == text != ""
        assert "  " not in text
        assert not text.endswith(".")
        assert "nan" not in text
    assert advice.command_line == "" or advice.command_line.startswith("mlsession ")
    assert advice.next_step.endswith(":") == bool(advice.command)


@pytest.mark.parametrize(("rule", "parts"), cases(NOT_FOUND))
def test_it_is_not_found(rule: str, parts: dict[str, Any]) -> None:
    assert asked(rule, evidence(**parts)) is None


@pytest.mark.parametrize(("rule", "parts"), cases(FOUND))
def test_without_names_there_is_no_command(rule: str, parts: dict[str, Any]) -> None:
    advice = asked(rule, evidence(**{**parts, "line": TrainingLine()}))
    assert advice is not None
    assert advice.command == ()
    assert not advice.next_step.endswith(":")


def test_every_rule_has_cases() -> None:
    assert list(FOUND) == list(NOT_FOUND) == list(RULES)


def test_leaked_images_are_left_out_of_the_figures() -> None:
    leaked = asked("leaked_images", evidence(leaked={"test": Share(part=100, count=100)}, line=TESTED))
    assert leaked is not None
    assert "95.0 % (95 of 100), and not 97.5 %" in leaked.evidence
    assert leaked.command == ("scan", "d", "--test", "t")
    assert leaked.severity is Severity.FIGURES
    one = asked("leaked_images", evidence(leaked={"test": Share(part=1, count=1)}, line=TESTED))
    assert one is not None
    assert one.severity is Severity.RISK


def test_test_images_labelled_otherwise_are_told_from_a_model_that_has_learned_nothing() -> None:
    first, second = (asked("no_better_than_guessing", evidence(**FOUND["no_better_than_guessing"][n])) for n in (0, 1))
    assert first is not None
    assert second is not None
    assert first.limit == "the model is hardly better than always giving the same answer"
    assert second.limit == "on the test images the model is hardly better than always giving the same answer"
    assert second.evidence == (
        "test images: 20.0 % (20 of 100) right; always saying a gets 20.0 % right; "
        "training images held back in turn: 96.7 % (290 of 300) right"
    )
    assert second.next_step == (
        "check that the labels of the test images mean what those of the training images mean; this lists the wrong "
        "answers:"
    )
    swapped = np.array([[0, 20], [20, 0]])
    worse = asked("no_better_than_guessing", evidence(training=right([60, 60]), test=swapped))
    assert worse is not None
    assert worse.limit == "the model is worse than always giving the same answer"


def test_few_images_of_all_classes_are_judged_by_the_most_that_are_known() -> None:
    few = {"training": right([20] * 5), "test": None, "validation": right([1] * 5, [1, 0, 0, 0, 0])}
    assert asked("few_images", evidence(**few)) is None
    advice = asked("few_images", evidence(**few, out_of_fold=Share(part=80, count=100)))
    assert advice is not None
    assert advice.evidence == "20 to 20 of each; training images held back in turn: 20.0 % (20 of 100) wrong"


def test_copies_of_one_picture_are_one_image() -> None:
    advice = asked("few_images", evidence(training=right([30] * 3), test=None, pictures=(30, 1, 2)))
    assert advice is not None
    assert advice.limit == "classes b and c have very few different training images"
    assert advice.evidence == "fewer than 10 different training images: b 1, c 2"
    # Of a class some pictures of which are validated on, fewer are trained on than there are.
    assert evidence(training=right([8] * 3), pictures=(9, 9, 7)).different_counts == (8, 8, 7)


def test_a_curve_of_too_few_images_is_not_advised() -> None:
    small = {"training": right([7] * 5), "test": right([40] * 5, 20)}
    refused, drawn = (
        asked("overfitting", evidence(**{**small, **more})) for more in ({}, {"training": right([8] * 5)})
    )
    assert refused is not None
    assert drawn is not None
    assert (refused.command, drawn.command) == ((), ("learning-curve", "animals.mlsession"))


def test_few_conflicting_copies_are_a_risk() -> None:
    few, many = (
        asked("conflicting_copies", evidence(**parts, line=LINE)) for parts in reversed(FOUND["conflicting_copies"])
    )
    assert few is not None
    assert many is not None
    assert (few.severity, many.severity) == (Severity.RISK, Severity.PROVEN)
    assert few.evidence.startswith("1 picture is among the training images under more than one label")
    assert many.evidence.endswith("of all of them 3.7 % (11 of 300) have a wrong one at least")
    assert many.command == ("review", "animals.mlsession", "--output", "fixes.csv")


def test_weights_are_advised_once() -> None:
    parts = FOUND["imbalance"][0]
    first, second = (asked("imbalance", evidence(**parts, is_weighted=given)) for given in (False, True))
    assert first is not None
    assert second is not None
    assert first.command == (
        "train",
        "animals",
        "--session",
        "animals-balanced.mlsession",
        "--class-weight",
        "balanced",
    )
    assert (first.lever, second.lever) == (Lever.WEIGHTS, Lever.IMAGES)
    assert "--class-weight" not in second.command


def test_a_small_first_try_is_told_that_it_is_small() -> None:
    """Of images judged in turn a fifth set aside would tell even less: more of them are asked for."""
    parts = {"training": right([10] * 3), "test": None, "out_of_fold": Share(part=30, count=30)}
    advice = asked("few_test_images", evidence(**parts))
    assert advice is not None
    assert advice.evidence == (
        "training images held back in turn, each judged by a model that has not seen it: 100.0 % (30 of 30) right, "
        "which of more such images may be 88.6 % to 100.0 %; there are no images to validate or to test on"
    )
    assert advice.next_step == "add training images, 80 or more in all, or test it on as many others"
    assert advise(evidence(**parts, converged=True)).advice.rule != "nothing"


def test_a_perceptron_that_was_no_better_is_not_advised() -> None:
    parts = {**FOUND["underfitting"][0], "larger_extractor": "lite2"}
    first, second = (asked("underfitting", evidence(**parts, is_perceptron_no_better=tried)) for tried in (False, True))
    assert first is not None
    assert second is not None
    assert first.command[-2:] == ("--classifier", "mlp")
    assert second.command[-2:] == ("--extractor", "lite2")
    assert second.evidence.endswith("though more iterations change nothing, nor does a hidden layer")


def test_training_on_takes_up_the_same_session() -> None:
    advice = asked("iteration_limit", evidence(**FOUND["iteration_limit"][0]))
    assert advice is not None
    assert advice.command_line == "mlsession train animals --session animals.mlsession --iterations 50"


def test_a_changed_option_takes_the_place_of_the_one_there_was() -> None:
    line = TrainingLine(session="s.mlsession", data="d", test="t", options={"--seed": "3", "--iterations": "9"})
    words = line.again({"--iterations": "18"}, "longer")
    assert " ".join(words) == "train d --session s-longer.mlsession --test t --seed 3 --iterations 18"
    assert TrainingLine(session="s", data="d").again({}) == ()


@pytest.mark.parametrize("rule", ["few_test_images", "no_test_images"])
def test_images_are_set_aside_in_the_groups_and_with_the_labels_of_the_session(rule: str) -> None:
    """Without them photos of one patient would be on both sides, and the accuracy on the test images too high."""
    options = {"--label-from": "name:_:1", "--seed": "3", "--group-by": "(p[0-9])_"}
    parts = FOUND[rule][0]
    told, unknown = (
        asked(rule, evidence(**{**parts, "line": TrainingLine(session="s", data="d", options=said)}))
        for said in (options, None)
    )
    assert told is not None
    assert told.command == ("split", "d", "--test", "0.2", "--label-from", "name:_:1", "--group-by", "(p[0-9])_")
    assert unknown is not None
    assert unknown.command == ()
    assert not unknown.next_step.endswith(":")


def test_a_scan_labels_images_as_the_session_does() -> None:
    line = TrainingLine(session="s", data="d", test="t", options={"--label-from": "name", "--group-by": "(a)"})
    advice = asked("leaked_images", evidence(leaked={"test": Share(part=20, count=20)}, line=line))
    assert advice is not None
    assert advice.command == ("scan", "d", "--test", "t", "--label-from", "name")


def test_names_from_outside_cannot_break_a_line() -> None:
    odd = ("a\nb; rm -rf", *"bcde")
    given = evidence(test=PAIR)
    verdict = advise(Evidence(classes=odd, metrics=given.metrics, line=LINE))
    assert verdict.advice.rule == "confused_pair"
    assert "\n" not in verdict.limit + verdict.evidence + verdict.next_step
    assert "'a\nb; rm -rf'" in verdict.advice.command_line
