"""Verdicts on images that were fitted to, in part; and what follows from them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from mlsession.cli.running.learning import curve_lines
from mlsession.curves.curve import ClassOutlook, Estimate, LearningCurve, Needed, Projection, Trend
from mlsession.curves.measured import Judged, PartRows, judge
from mlsession.curves.power import PowerLaws
from mlsession.curves.projected import (
    RESAMPLED,
    accuracy_laws,
    least_error,
    measured_points,
    needed,
    outlook,
    projections,
    resampled,
    trend_of,
)
from mlsession.curves.sentences import class_sentence, whole_sentence
from mlsession.curves.splits import Turns
from mlsession.errors import UnusableData
from mlsession.extractors.numerics import torch_numerics
from mlsession.heads.options import LogisticRegressor
from mlsession.randomness import keyed_generator
from mlsession.training.findings.learning import _curve
from tests.curves.made import made_material

FEW = Turns(1, 2)
IMAGES = np.array([50.0, 71.0, 100.0, 141.0, 200.0])


def made_verdicts(floor: float, rise: float, exponent: float, count: int, seed: int = 0) -> Judged:
    """Verdicts on `count` images of two classes, wrong as often as a law says; the first class is never wrong."""
    generator = keyed_generator(seed, "verdicts")
    errors = floor + rise * (IMAGES / 200) ** -exponent
    hardness = (generator.random((4, 1, count)) * 0.05 + generator.random((1, 1, count))) % 1
    labels = np.repeat([0, 1], count // 2)
    correct = (hardness >= 2 * errors[:, np.newaxis]) | (labels == 0)
    return Judged(
        labels=labels,
        correct=correct,
        losses=np.where(correct, 0.1, 2.0).astype(np.float32),
        images=IMAGES,
        class_images=np.stack([IMAGES / 2] * 2, axis=1),
    )


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As a session has it."""
    with torch_numerics(1):
        yield


def test_heads_are_asked_about_images_that_they_have_not_seen() -> None:
    """Labels that are drawn cannot be learned: who has seen them would know them all the same."""
    material = made_material(each=12, classes=2, width=60)
    drawn = np.sort(keyed_generator(3, "drawn").permutation(24) % 2)[keyed_generator(4, "drawn").permutation(24)]
    said = judge(replace(material, labels=drawn), LogisticRegressor(), None, FEW, seed=0)
    assert said.correct[:, -1].mean() < 0.75
    assert said.images.tolist() == sorted(said.images.tolist())
    assert said.class_images.sum(axis=1) == pytest.approx(said.images)


def test_views_are_fitted_to_with_their_image() -> None:
    material = made_material(each=6)
    rows = PartRows(material, np.array([1, 2, 5]))
    (block,) = rows()
    assert len(rows) == 4
    assert block["labels"].tolist() == rows.labels.tolist() == [1, 2, 2, 1]
    assert rows.originals.tolist() == [True, True, False, True]
    assert np.array_equal(rows.take(np.array([3, 0]))["features"], block["features"][[3, 0]])
    assert len(set(rows.contents.tolist())) == 3


def test_a_curve_follows_from_the_material_and_tells_how_far_it_is() -> None:
    told: list[tuple[int, int]] = []
    material = made_material(each=10)
    one = judge(material, LogisticRegressor(), 2.0, FEW, 0, lambda done, total: told.append((done, total)))
    assert told == [(done, 10) for done in range(10)]
    again = judge(material, LogisticRegressor(), 2.0, FEW, 0)
    assert np.array_equal(one.losses, again.losses)
    assert not np.array_equal(one.losses, judge(material, LogisticRegressor(), 200.0, FEW, 0).losses)
    curves = resampled(one, 4, seed=0)
    points = measured_points(one, curves)
    for size, point in enumerate(points):
        assert point.accuracy == pytest.approx(one.correct[:, size].mean())
        assert point.log_loss == pytest.approx(one.losses[:, size].mean(), rel=1e-5)
        shares = np.bincount(one.labels, minlength=4) / len(one.labels)
        assert np.dot(point.recall, shares) == pytest.approx(point.accuracy)
        assert 0 < point.accuracy_error < 0.2
    assert points[-1].accuracy > points[0].accuracy
    assert points[-1].images_per_class == 8


def test_standard_errors_are_those_of_the_binomial_law() -> None:
    """Images that are right or wrong in all repeats alike vary as single draws do."""
    said = made_verdicts(0.2, 0.0, 1.0, count=400)
    said = replace(said, correct=np.repeat(said.correct[:1], 4, axis=0))
    point = measured_points(said, resampled(said, 2, seed=0))[-1]
    wrong = 1 - point.recall[1]
    assert point.accuracy_error == pytest.approx(np.sqrt(wrong * (1 - wrong) / 200) / 2, rel=0.15)


@pytest.mark.parametrize("wrong", [0, 1])
def test_images_that_are_all_right_or_all_wrong_leave_doubt(wrong: int) -> None:
    """Of classes of which drawing images anew changes nothing: of 92 images without a mistake 4 in 100 may be wrong."""
    said = made_verdicts(0.0, 0.0, 1.0, count=92)
    labels = np.repeat([0, 1], [90, 2])
    said = replace(said, labels=labels, correct=np.broadcast_to((labels == 0) | (wrong == 0), said.correct.shape))
    curves = resampled(said, 2, seed=0)
    assert all(0.01 < point.accuracy_error < 0.02 for point in measured_points(said, curves))
    now, found = projections(accuracy_laws(said, curves), 92, 400, least_error(92))
    for each in (now, *(projection.accuracy for projection in found)):
        assert 0.01 < each.high - each.low < 0.06
        assert each.low <= each.value <= each.high <= 1
    assert least_error(1_000_000) < 1e-5


def test_what_was_hidden_is_expected() -> None:
    said = made_verdicts(0.02, 0.10, 0.7, count=4_000)
    laws = accuracy_laws(said, resampled(said, 2, seed=0))
    now, found = projections(laws, 250, 1_000)
    assert [(each.factor, each.images) for each in found] == [(1.5, 375), (2.0, 500), (4.0, 1_000)]
    for each in (Projection(factor=1, images=250, accuracy=now, gain=now), *found):
        truth = 1 - 0.02 - 0.10 * (each.images / 200) ** -0.7
        assert each.accuracy.low < truth < each.accuracy.high
        assert each.accuracy.value == pytest.approx(truth, abs=0.015)
    for each in found:
        truth = 0.10 * (1.25**-0.7 - (each.images / 200) ** -0.7)
        assert each.gain.low - 0.003 < truth < each.gain.high + 0.003
        assert each.gain.high - each.gain.low < each.accuracy.high - each.accuracy.low
    assert trend_of(found[1].gain) is Trend.RISING


def test_nothing_is_said_of_too_many_images() -> None:
    said = made_verdicts(0.02, 0.10, 0.7, count=400)
    laws = accuracy_laws(said, resampled(said, 2, seed=0))
    assert [each.factor for each in projections(laws, 500, 1_000)[1]] == [1.5, 2.0]
    assert projections(laws, 1_000, 1_000)[1] == ()
    assert [each.images for each in needed(laws, 1_000, 1_000)] == [None, None]


def test_images_needed_are_those_at_which_a_gain_is_reached() -> None:
    same = np.ones(RESAMPLED)
    laws = PowerLaws(floor=0 * same, rise=0.1 * same, exponent=same, unit=100.0)
    one, two = needed(laws, 100, 400)
    assert (one.points, two.points) == (1, 2)
    assert one.images == one.low == one.high == pytest.approx(100 / 0.9 - 100, abs=1)
    assert two.images == pytest.approx(25, abs=1)
    flat = PowerLaws(floor=0.1 * same, rise=0.0 * same, exponent=same, unit=100.0)
    assert {each.images for each in needed(flat, 100, 400)} == {None}


def test_more_images_are_asked_of_the_class_that_gains() -> None:
    said = made_verdicts(0.02, 0.10, 0.7, count=2_000)
    curves = resampled(said, 2, seed=0)
    laws, counts = accuracy_laws(said, curves), np.array([125, 125])
    gains, stays = outlook(said, curves, laws, ("easy", "hard"), counts, counts)
    assert (gains.label, stays.label) == ("hard", "easy")
    assert (gains.trend, stays.trend) == (Trend.RISING, Trend.FLAT)
    assert (stays.more, stays.recall) == (0, 1.0)
    # By the law itself: each 62 more images bring this class a point of recall until 4 times as many are there.
    assert 150 < gains.more <= 375
    few = np.array([125, 40])
    (gains, _) = outlook(said, curves, laws, ("easy", "hard"), np.array([125, 125]), few)
    assert gains.more <= 35, "nothing is asked beyond four times the images that were measured on"


def curve(trend: Trend, gain: Estimate, more: int) -> LearningCurve:
    of_class = ClassOutlook(label="cup\n", images=20, recall=0.7, gain=gain, trend=trend, more=more, is_least=False)
    return LearningCurve(
        url="",
        images=100,
        sampled=100,
        classes=("cup\n",),
        unjudged=(),
        repeats=4,
        points=(),
        trend=trend,
        now=gain,
        projections=(Projection(factor=2.0, images=200, accuracy=gain, gain=gain),),
        needed=(Needed(points=1, images=1_234, low=None, high=None),),
        outlook=(of_class,),
    )


def test_people_see_what_was_measured_and_what_is_expected() -> None:
    said = made_verdicts(0.02, 0.10, 0.7, count=2_000)
    curves = resampled(said, 2, seed=0)
    laws, counts = accuracy_laws(said, curves), np.array([1_250, 1_250])
    now, found = projections(laws, 2_500, 5_000)
    made = replace(
        curve(Trend.RISING, now, more=0),
        images=2_500,
        sampled=1_250,
        classes=("easy", "hard"),
        unjudged=("alone",),
        points=measured_points(said, curves),
        now=now,
        projections=found,
        outlook=outlook(said, curves, laws, ("easy", "hard"), counts, counts),
    )
    lines = curve_lines(made)
    assert lines[:2] == [
        "2,500 images in 2 classes, measured on a sample of 1,250",
        "left out, too few different images: alone",
    ]
    rows = [line.split() for line in lines[4:]]
    assert [row[0] for row in rows[:8]] == ["50", "71", "100", "141", "200", "2,500", "3,750", "5,000"]
    assert rows[4][2] == f"{100 * made.points[-1].accuracy:.1f}"
    assert lines[9].endswith(f"%  expected, {100 * now.low:.1f} to {100 * now.high:.1f} %")
    assert whole_sentence(made) in lines
    assert class_sentence(made) in lines
    header, *table = made.table().decode().splitlines()
    assert header == "images,images_per_class,label,accuracy,standard_error,log_loss"
    assert len(table) == 15
    assert table[1].startswith("50,25,easy,1.0,")
    assert made.to_json()["trend"] == "rising"


def test_two_sentences_say_what_it_comes_to() -> None:
    sure = curve(Trend.RISING, Estimate(value=0.02, low=0.01, high=0.03), more=41)
    assert whole_sentence(sure) == (
        "Twice as many images are expected to bring 2.0 points (1.0 to 3.0); one point takes about 1,200 more in all."
    )
    assert class_sentence(sure) == r"Take about 41 more images of cup\n."
    flat = curve(Trend.FLAT, Estimate(value=0.001, low=-0.001, high=0.003), more=0)
    assert "hardly worth it: twice as many are expected to bring 0.1 points (0.0 to 0.3)" in whole_sentence(flat)
    assert r"the lowest recall has cup\n, 70 % of 20 images" in class_sentence(flat)
    unclear = curve(Trend.UNCLEAR, Estimate(value=0.02, low=0.0, high=0.05), more=0)
    assert "cannot be told well from these: of twice as many 2.0 points (0.0 to 5.0)" in whole_sentence(unclear)
    assert "be said from 100: measure on more" in whole_sentence(replace(unclear, projections=()))


def test_sentences_do_not_contradict_each_other() -> None:
    unclear = curve(Trend.UNCLEAR, Estimate(value=0.02, low=0.0, high=0.05), more=36)
    assert whole_sentence(unclear).startswith("What more images bring for all classes together cannot be told well")
    assert class_sentence(unclear) == (
        r"For the recall of cup\n alone more are worth taking: about 36 more images of cup\n."
    )
    flat = replace(unclear, trend=Trend.FLAT, outlook=unclear.outlook * 2)
    assert whole_sentence(flat).startswith("More images for all classes together are hardly worth it: twice")
    assert class_sentence(flat).startswith("For the recall of some classes alone more are worth taking: about 36 more")


def test_of_classes_that_are_told_rightly_none_is_called_the_lowest() -> None:
    right = curve(Trend.FLAT, Estimate(value=0.0, low=0.0, high=0.0), more=0)
    right = replace(right, outlook=(replace(right.outlook[0], recall=1.0),))
    assert class_sentence(right).endswith("a point: every image of every class that was held out is told rightly.")
    near = replace(right, outlook=(replace(right.outlook[0], recall=0.996),))
    assert "99.6 % of 20 images" in class_sentence(near)


def test_a_class_of_two_images_is_the_one_to_be_added_to() -> None:
    """That both were told wrongly is no recall of 0, and no reason to call more images useless."""
    flat = curve(Trend.FLAT, Estimate(value=0.0, low=0.0, high=0.0), more=0)
    rare = replace(flat, outlook=(flat.outlook[0], replace(flat.outlook[0], label="rare", images=2, recall=0.0)))
    assert class_sentence(rare) == (
        "Of rare (2) there are too few images to tell what more bring: take more of these first."
    )
    assert "too few" not in class_sentence(flat)
    alone = replace(rare, unjudged=("alone", "other\n"))
    assert class_sentence(alone).startswith(r"Of alone, other\n, rare (2) there are too few images")


def of_two(recalls: tuple[float, float], now: Estimate, images: tuple[int, int] = (60, 40)) -> LearningCurve:
    found = curve(Trend.FLAT, Estimate(value=0.0, low=0.0, high=0.0), more=0)
    return replace(
        found,
        now=now,
        outlook=tuple(
            replace(found.outlook[0], label=label, images=count, recall=recall)
            for label, count, recall in zip("ab", images, recalls, strict=True)
        ),
    )


def test_where_nothing_is_learned_labels_are_to_be_looked_at() -> None:
    """And not where a rare class is found, though no more images are right than by always saying the common one."""
    low = Estimate(value=0.58, low=0.53, high=0.63)
    assert whole_sentence(of_two((0.9, 0.1), low)) == (
        "What was learned is no better than always saying one class (60.0 %), with few images or many: look at the "
        "labels first (mlsession review)."
    )
    assert "hardly worth it" in whole_sentence(of_two((0.6, 0.7), low))
    assert "hardly worth it" in whole_sentence(of_two((0.9, 0.1), Estimate(value=0.7, low=0.61, high=0.8)))


def test_a_class_of_which_no_image_was_held_out_is_left_out() -> None:
    """Of very many images only some folds are held out, and the two images of a rare class may be in others."""
    said = made_verdicts(0.02, 0.10, 0.7, count=400)
    rare = np.stack([IMAGES / 2, np.full(5, 2.0), IMAGES / 2], axis=1)
    with_rare = replace(said, labels=said.labels * 2, class_images=rare, images=rare.sum(axis=1))
    assert with_rare.told.tolist() == [True, False, True]
    told = with_rare.of_told()
    assert (told.labels.tolist(), told.images.tolist()) == (said.labels.tolist(), said.images.tolist())
    assert np.array_equal(told.class_images, said.class_images)
    assert said.told.all()
    assert measured_points(told, resampled(told, 2, seed=0)) == measured_points(said, resampled(said, 2, seed=0))


def test_a_curve_names_the_class_of_which_no_image_was_held_out() -> None:
    material = made_material(each=20, classes=2)
    rare = material.labels.copy()
    rare[:2] = 2
    material = replace(material, labels=rare, classes=("a", "b", "rare"))
    judged = next(
        said for seed in range(20) if not (said := judge(material, LogisticRegressor(), 2.0, FEW, seed)).told.all()
    )
    found = _curve("", material, material, judged, ("alone",), FEW, seed=0)
    assert (found.classes, found.unjudged) == (("a", "b"), ("alone", "rare"))
    assert (found.images, found.sampled) == (38, 38)
    assert {each.label: each.images for each in found.outlook} == {"a": 19, "b": 19}
    assert all(len(point.recall) == 2 and 0 <= point.accuracy <= 1 for point in found.points)
    only = replace(judged, labels=np.zeros_like(judged.labels))
    with pytest.raises(UnusableData, match="all but one class have too few images"):
        _curve("", material, material, only, (), FEW, seed=0)
