"""What is said of a choice before training, in one line."""

from __future__ import annotations

from dataclasses import replace

from mlsession.cli.printing.chosen import chosen_words
from mlsession.heads.chosen import Chosen, Score
from mlsession.heads.comparison import Comparison, Rating
from mlsession.heads.forward import JudgedSet, ViewsChoice
from mlsession.heads.options import LogisticRegressor, MultilayerPerceptron
from mlsession.heads.paired import PairedDifference

SCORE = Score(strength=30.0, temperature=0.61, log_loss=0.2, log_loss_error=0.01, accuracy=0.9, accuracy_error=0.03)
PENALTY = Chosen(
    options=LogisticRegressor(l2=0.5),
    kind="cross-validation",
    folds=5,
    judged=100,
    strength=30.0,
    temperature=0.61,
    scores=(SCORE,),
)


def compared(chosen: Chosen, gained: int) -> Chosen:
    first = Rating(kind="logistic_regressor", accuracy=0.9, log_loss=0.2)
    second = Rating(kind="multilayer_perceptron", accuracy=0.89 + gained / 100, log_loss=0.3)
    difference = PairedDifference(judged=100, gained=gained, lost=1)
    return replace(chosen, comparisons=(Comparison(first=first, second=second, difference=difference),))


def test_a_penalty_that_was_chosen() -> None:
    expected = "penalty chosen by 5-fold cross-validation: strength 30 of 1 tried, temperature 0.61; "
    assert chosen_words(PENALTY) == f"{expected}90.0 % of 100 images right, log loss 0.2"
    assert "by 5-fold cross-validation (2 folds judged): strength 30" in chosen_words(replace(PENALTY, folds=2))
    assert "by the validation images: strength 30" in chosen_words(replace(PENALTY, kind="validation", folds=1))
    assert chosen_words(replace(PENALTY, strength=None, scores=())).startswith("penalty: the default one")


def test_a_kind_that_was_chosen() -> None:
    shares = "chosen by 5-fold cross-validation: logistic 90.0 %, mlp"
    assert chosen_words(compared(PENALTY, 2)) == (
        f"classifier logistic {shares} 91.0 % of 100 images right, apart by +1.00 points with a standard error of "
        "1.74; penalty: strength 30 of 1 tried, temperature 0.61"
    )
    perceptron = replace(PENALTY, options=MultilayerPerceptron(), strength=None, temperature=1.0)
    assert chosen_words(compared(perceptron, 6)) == (
        f"classifier mlp {shares} 95.0 % of 100 images right, apart by +5.00 points with a standard error of 2.61"
    )


def test_views_that_were_chosen() -> None:
    sets = [((), 0.9, 0.2), (("crop",), 0.93, 0.19), (("flip",), 0.94, 0.18), (("crop", "flip"), 0.97, 0.15)]
    judged = tuple(JudgedSet(views=views, accuracy=right, log_loss=loss) for views, right, loss in sets)
    views = ViewsChoice(judged=judged, difference=PairedDifference(judged=100, gained=8, lost=1), fits=90)
    shares = "chosen out of 4 sets: none 90.0 %, crop+flip 97.0 % right, apart by +7.00 points with a standard error of"
    told = chosen_words(replace(PENALTY, views=views))
    assert told.startswith(f"views crop, flip {shares} 2.93; penalty chosen by 5-fold cross-validation: strength 30")
    by_chance = replace(views, difference=PairedDifference(judged=100, gained=8, lost=6))
    assert chosen_words(replace(PENALTY, views=by_chance)).startswith("views none chosen out of 4 sets")
    perceptron = replace(PENALTY, options=MultilayerPerceptron(), strength=None, scores=(), views=views)
    assert chosen_words(perceptron) == f"views crop, flip {shares} 2.93"
    nothing = replace(PENALTY, kind="default", judged=0, strength=None, scores=(), views=ViewsChoice())
    assert chosen_words(nothing).startswith("views none, since there are too few images to choose by; penalty: the")
