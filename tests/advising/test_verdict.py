"""What holds of every verdict, on evidence that was drawn at random."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations
from typing import Any

import numpy as np
import pytest

from mlsession.advising.advice import Advice, Severity, Verdict
from mlsession.advising.evidence import ConflictingCopies, Evidence, SmallImages
from mlsession.advising.intervals import Share
from mlsession.advising.verdict import EXPLAINS, OPPOSED, RULES, advise, in_order
from mlsession.metrics.report import ClassifierMetrics
from mlsession.randomness import keyed_generator
from tests.advising.made import evidence, metrics, right
from tests.advising.test_rules import FOUND

SEED, TRIALS = 7, 400


def drawn(trial: int) -> Evidence:
    """Any evidence at all."""
    generator = keyed_generator(SEED, "advice evidence", trial)
    classes = int(generator.integers(2, 8))

    def matrix(most: int) -> Any:
        table = generator.multinomial(1, [1 / classes] * classes, size=classes) * 0
        for label, count in enumerate(generator.integers(1, most, classes).tolist()):
            chances = generator.dirichlet([0.3] * classes) * generator.uniform(0, 1) + 1e-9
            chances[label] += generator.uniform(0, 4)
            table[label] = generator.multinomial(count, chances / chances.sum())
        return table

    def share(most: int = 400) -> Share:
        count = int(generator.integers(1, most))
        return Share(part=int(generator.integers(0, count + 1)), count=count)

    def maybe(value: Any) -> Any:
        return value if generator.random() < 0.5 else None

    wrong, sure = generator.integers(0, 60, (2, 3)).tolist()
    test = matrix(80)
    bins = {place: (wrong[number], sure[number]) for number, place in enumerate((0.2, 0.6, 0.95))}
    length = int(generator.integers(1, 30))
    parts: dict[str, Any] = {
        "training": matrix(90),
        "validation": maybe(matrix(20)),
        "test": maybe(metrics(test, bins)),
        "split_off": bool(generator.integers(2)),
        "leaked": {"test": Share(part=0, count=int(generator.integers(0, 3)))} if generator.random() < 0.2 else {},
        "out_of_fold": maybe(share()),
        "losses": tuple(np.sort(generator.uniform(0.1, 2, length))[::-1].tolist()),
        "limit": length + int(generator.integers(0, 2)),
        "converged": bool(generator.integers(2)),
        "small_images": maybe(SmallImages(share=share(), median_side=32)),
        "conflicting_copies": maybe(ConflictingCopies(pictures=1, wrong=share())),
        "skipped": share(),
    }
    return evidence(**parts)


def found(verdict: Verdict) -> tuple[Advice, ...]:
    return (verdict.advice, *verdict.others)


@pytest.fixture(scope="module")
def verdicts() -> list[tuple[int, Evidence, Verdict]]:
    return [(trial, given := drawn(trial), advise(given)) for trial in range(TRIALS)]


def test_no_verdict_contradicts_itself(verdicts: list[tuple[int, Evidence, Verdict]]) -> None:
    for trial, _, verdict in verdicts:
        rules = [advice.rule for advice in found(verdict)]
        assert len(rules) == len(set(rules)), f"seed {SEED}, trial {trial}"
        for pair in OPPOSED:
            assert not set(pair) <= set(rules), f"seed {SEED}, trial {trial}: {rules}"


def test_the_draws_reach_every_rule(verdicts: list[tuple[int, Evidence, Verdict]]) -> None:
    reached = {advice.rule for _, _, verdict in verdicts for advice in found(verdict)}
    assert reached >= set(RULES) - {"alike_labels"}, set(RULES) - reached


def test_a_verdict_does_not_depend_on_the_order_of_the_classes(
    verdicts: list[tuple[int, Evidence, Verdict]],
) -> None:
    for trial, given, verdict in verdicts[:100]:
        order = keyed_generator(SEED, "advice order", trial).permutation(len(given.classes)).tolist()
        turned = advise(_turned(given, order))
        expected = [(advice.rule, advice.severity, round(advice.gain, 12)) for advice in found(verdict)]
        shown = [(advice.rule, advice.severity, round(advice.gain, 12)) for advice in found(turned)]
        assert shown == expected, f"seed {SEED}, trial {trial}"


def test_the_order_of_advices_does_not_depend_on_how_they_were_found() -> None:
    advices = [advice for rule, parts in FOUND.items() if (advice := RULES[rule](evidence(**parts[0]))) is not None]
    expected = in_order(advices)
    assert in_order(advices[::-1]) == expected
    for few in permutations(advices[2:6]):
        assert in_order(list(few)) == in_order(advices[2:6])


def test_more_of_the_same_evidence_takes_no_advice_back(verdicts: list[tuple[int, Evidence, Verdict]]) -> None:
    """Ten times the images with the same shares prove what they proved; only what there were too few of may go."""
    by_count = {"few_test_images", "few_images", "no_better_than_guessing", "imbalance"}
    for trial, given, verdict in verdicts:
        more = {advice.rule for advice in found(advise(_ten_times(given)))}
        for advice in found(verdict):
            if advice.rule not in by_count | {"nothing"}:
                assert advice.rule in more, f"seed {SEED}, trial {trial}: {advice}"


def test_severity_comes_first(verdicts: list[tuple[int, Evidence, Verdict]]) -> None:
    severities = list(Severity)
    for _, _, verdict in verdicts:
        ranks = [severities.index(advice.severity) for advice in found(verdict) if advice.severity is not Severity.RISK]
        assert ranks == sorted(ranks)


def test_an_explained_advice_stands_behind() -> None:
    parts = {**FOUND["small_images"][0], "test": right([40] * 5, 9)}
    rules = [advice.rule for advice in found(advise(evidence(**parts)))]
    assert rules[0] == "small_images"
    assert "overfitting" in rules


def test_a_risk_that_explains_something_proven_counts_as_proven() -> None:
    few = right([4, 60, 60, 60, 60])
    table = right([12] * 5)
    table[0, 1], table[0, 0], table[1, 0], table[1, 1] = 4, 8, 4, 8
    verdict = advise(evidence(training=few, test=table))
    assert (verdict.advice.rule, verdict.advice.severity) == ("few_images", Severity.RISK)
    assert "confused_pair" in [advice.rule for advice in verdict.others]


def test_nothing_is_a_verdict_and_says_how_sure_it_is() -> None:
    verdict = advise(evidence())
    assert (verdict.advice.rule, verdict.others) == ("nothing", ())
    assert (
        verdict.evidence == "test images: 97.5 % (195 of 200) right, which of more such images may be 94.3 % to 98.9 %"
    )
    assert verdict.advice.command == ("results", "animals.mlsession", "--part", "test", "--errors")
    assert advise(evidence(test=right([40] * 5))).advice.command == ()
    untested = advise(evidence(test=None, out_of_fold=Share(part=295, count=300)))
    assert untested.evidence.startswith("training images held back in turn: 98.3 %")


def test_only_mistakes_that_are_listed_are_to_be_looked_at() -> None:
    """What was held back in turn is in no list, and the validation images may all be right."""
    held_back = Share(part=295, count=300)
    allright = advise(evidence(test=None, validation=right([8] * 5), split_off=False, out_of_fold=held_back))
    assert allright.advice.rule == "nothing"
    assert (allright.next_step, allright.advice.command) == ("test it on new images, taken where it will be used", ())
    some = advise(evidence(test=None, validation=right([8] * 5, [1, 0, 0, 0, 0]), out_of_fold=held_back))
    assert some.next_step.startswith("look at the 1 validation image that it gets wrong")


def test_rules_that_explain_exist() -> None:
    assert EXPLAINS.keys() <= RULES.keys()
    assert {rule for rules in EXPLAINS.values() for rule in rules} <= RULES.keys()


def test_a_verdict_is_shown() -> None:
    verdict = advise(evidence(test=right([40] * 5, [15, 1, 1, 1, 1])))
    assert verdict.limit in str(verdict)
    assert verdict.advice.command_line in str(verdict)
    page = verdict._repr_html_()
    assert page.count("<div") == page.count("</div>")
    assert verdict.limit in page
    shown = verdict.to_json()
    assert shown["rule"] == verdict.advice.rule
    assert isinstance(shown["others"], list)
    assert len(shown["others"]) == len(verdict.others)


def _turned(given: Evidence, order: list[int]) -> Evidence:
    def turn(table: ClassifierMetrics) -> ClassifierMetrics:
        matrix = np.ascontiguousarray(table.confusion_matrix[np.ix_(order, order)])
        return replace(table, classes=tuple(table.classes[place] for place in order), confusion_matrix=matrix)

    return _with(given, {part: turn(table) for part, table in given.metrics.items()}, given)


def _ten_times(given: Evidence) -> Evidence:
    def more(table: ClassifierMetrics) -> ClassifierMetrics:
        sure = None if table.confidence_counts is None else table.confidence_counts * 10
        return replace(table, confusion_matrix=table.confusion_matrix * 10, confidence_counts=sure)

    return _with(given, {part: more(table) for part, table in given.metrics.items()}, given, 10)


def _with(given: Evidence, parts: dict[str, ClassifierMetrics], like: Evidence, times: int = 1) -> Evidence:
    def scaled(share: Share) -> Share:
        return Share(part=share.part * times, count=share.count * times)

    return replace(
        given,
        classes=next(iter(parts.values())).classes,
        metrics=parts,
        leaked={part: scaled(share) for part, share in like.leaked.items()},
        out_of_fold=None if like.out_of_fold is None else scaled(like.out_of_fold),
        skipped=scaled(like.skipped),
    )


def test_chance_is_rarely_taken_for_a_limit() -> None:
    """Mistakes that fall anywhere alike, at an accuracy of 94 %: what is found then is found by chance."""
    trials, seen = 300, 0
    for trial in range(trials):
        generator = keyed_generator(SEED, "advice chance", trial)
        chances = np.full((10, 10), 0.06 / 9)
        np.fill_diagonal(chances, 0.94)
        tables = [np.array([generator.multinomial(each, row) for row in chances]) for each in (20, 3)]
        parts = dict(zip(("test", "validation"), tables, strict=True))
        given = evidence(training=right([52] * 10), out_of_fold=Share(part=489, count=520), **parts)
        seen += advise(given).advice.rule != "nothing"
    assert seen <= 0.05 * trials, f"seed {SEED}: {seen} of {trials}"
