"""What a command line says of a classifier beside its kind."""

from __future__ import annotations

import pytest

from mlsession.cli.__main__ import run
from mlsession.cli.options.arguments import classifier
from mlsession.cli.options.heads import with_options
from mlsession.errors import InvalidParameter
from mlsession.heads.options import AutomaticClassifier, ClassifierOptions, LogisticRegressor, MultilayerPerceptron


@pytest.mark.parametrize(
    ("name", "texts", "expected"),
    [
        ("logistic", ["l2=0.01", "tolerance=1e-3"], LogisticRegressor(l2=0.01, tolerance=1e-3)),
        ("logistic", ["l2=0"], LogisticRegressor(l2=0.0)),
        ("logistic", [], LogisticRegressor()),
        (
            "mlp",
            ["learning-rate=0.003", "dropout=0", "weight_decay=0.5", "batch-size=64", "early-stopping=false"],
            MultilayerPerceptron(
                learning_rate=0.003, dropout=0.0, weight_decay=0.5, batch_size=64, early_stopping=False
            ),
        ),
        ("auto", ["dropout=0.5"], AutomaticClassifier(perceptron=MultilayerPerceptron(dropout=0.5))),
    ],
)
def test_options_of_a_head(name: str, texts: list[str], expected: ClassifierOptions) -> None:
    assert with_options(classifier(name), texts).to_json() == expected.to_json()


@pytest.mark.parametrize(
    ("name", "texts", "reason"),
    [
        ("logistic", ["dropout=0.5"], "the names are l2, tolerance$"),
        ("mlp", ["l2=0.5"], "names are learning-rate, weight-decay, dropout, batch-size, tolerance, early-stopping$"),
        ("mlp", ["layer-sizes=9"], "write it as name=value; here the names are"),
        ("auto", ["l2=0.5"], "here the names are learning-rate"),
        ("mlp", ["dropout"], "write it as name=value"),
        ("mlp", ["dropout=0.1", "dropout=0.2"], "dropout is given twice"),
        ("mlp", ["dropout=much"], "dropout='much': must be 0 or more"),
        ("mlp", ["dropout=true"], "dropout=True: must be 0 or more"),
        ("mlp", ["batch-size=1.5"], r"batch_size=1\.5: must be a whole number"),
        ("mlp", ["early-stopping=0"], "early_stopping=0: must be True or False"),
        ("logistic", ["l2=true"], "l2=True: the penalty must be a finite number"),
        ("logistic", ["l2=little"], "l2='little': the penalty must be a finite number"),
        ("logistic", ["tolerance=NaN"], "tolerance=nan: the tolerance must be a finite number"),
    ],
)
def test_what_no_head_takes_is_refused(name: str, texts: list[str], reason: str) -> None:
    with pytest.raises(InvalidParameter, match=reason):
        with_options(classifier(name), texts)


def test_it_is_called_as_it_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "fruits", "--classifier", "mlp", "--classifier-option", "dropout=2"]) == 2
    assert capsys.readouterr().err == "error: --classifier-option dropout=2: must be 0 or more, and below 1\n"
