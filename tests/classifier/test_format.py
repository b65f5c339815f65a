"""The saved form of a classifier: heads of both kinds go round, and what is not ours is refused with its reason."""

from __future__ import annotations

from dataclasses import replace

import pytest
from safetensors.numpy import save

from mlsession.classifier.format import FORMAT, decode_model, encode_model
from mlsession.errors import DamagedData, ModelNotFound, NewerFormat
from mlsession.heads.protocol import Head
from mlsession.session.log.blobs import decode_arrays
from mlsession.session.log.canonical import canonical_json
from mlsession.session.phase import Json
from tests.classifier.heads import LABELS, WIDTH, drawn, logistic, model, perceptron


def about(given: Head, **changes: Json) -> dict[str, Json]:
    extractor = model(given).feature_extractor
    return {
        "format": FORMAT,
        "labels": list(LABELS),
        "head": given.kind,
        "temperature": 1.0,
        "feature_extractor": dict(extractor.to_json()),
        "extractor_identity": extractor.identity,
        "precision": "auto",
        "metadata": {},
        **changes,
    }


def written(given: Head, **changes: Json) -> bytes:
    """A file with other members; None leaves one out."""
    members = {name: value for name, value in about(given, **changes).items() if value is not None}
    return save(given.tensors(), {"mlsession": canonical_json(members).decode()})


@pytest.mark.parametrize("head", [logistic(), perceptron()])
def test_goes_round(head: Head) -> None:
    data = encode_model(model(head), {"author": "Ada"})
    again = decode_model(data, "file")
    assert (again.labels, again.feature_extractor) == (LABELS, model(head).feature_extractor)
    assert again.digest == model(head).digest
    assert again.head.kind == head.kind
    assert again.precision == "auto"
    features = drawn(5, WIDTH)
    assert again.head.probabilities(features).tobytes() == head.probabilities(features).tobytes()
    assert decode_arrays(data, "file").keys() == head.tensors().keys()


def test_the_precision_goes_round() -> None:
    exact = replace(model(logistic()), precision="float32")
    assert decode_model(encode_model(exact, {}), "file").precision == "float32"


@pytest.mark.parametrize("head", [logistic(), perceptron()])
def test_the_temperature_goes_round_and_changes_nothing_again(head: Head) -> None:
    tempered = replace(model(head.tempered(1.7)), temperature=1.7)
    again = decode_model(encode_model(tempered, {}), "file")
    assert again.temperature == 1.7
    assert again.digest == tempered.digest != model(head).digest


def test_a_file_without_a_temperature_has_one() -> None:
    assert decode_model(written(logistic(), temperature=None), "file").temperature == 1.0


def test_says_what_it_is() -> None:
    assert decode_model(written(logistic()), "file").digest == model(logistic()).digest
    assert model(logistic()).digest != model(perceptron()).digest


@pytest.mark.parametrize(
    ("changes", "error", "reason"),
    [
        ({"format": FORMAT + 1}, NewerFormat, r"file has model format 2, .* reads up to 1: use the newer"),
        ({"format": 0}, DamagedData, "its format is 0"),
        ({"format": None}, DamagedData, "its format is None"),
        ({"format": True}, DamagedData, "its format is True"),
        ({"format": "1"}, DamagedData, "its format is '1'"),
        ({"labels": None}, DamagedData, "labels or extractor"),
        ({"labels": ["cat"]}, DamagedData, "1 labels and 1280 features for a head of 3 and 1280"),
        ({"head": None}, DamagedData, "kind is not recorded"),
        ({"head": "forest"}, ModelNotFound, "needs a head that this version of mlsession has not"),
        ({"head": "multilayer_perceptron"}, DamagedData, r"no tensor 'layers\.0\.weight'"),
        ({"feature_extractor": {"kind": "nose"}}, ModelNotFound, "needs an extractor"),
        ({"extractor_identity": "other"}, ModelNotFound, "was trained on features of 'other'"),
        ({"temperature": 0}, DamagedData, "its temperature is 0, not a number above 0"),
        ({"temperature": "1"}, DamagedData, "its temperature is '1'"),
        ({"temperature": True}, DamagedData, "its temperature is True"),
        ({"precision": "int8"}, DamagedData, "its precision is 'int8'"),
        ({"precision": None}, DamagedData, "its precision is None"),
    ],
)
def test_refuses(changes: dict[str, Json], error: type[Exception], reason: str) -> None:
    with pytest.raises(error, match=reason):
        decode_model(written(logistic(), **changes), "file")


def test_refuses_other_files() -> None:
    with pytest.raises(DamagedData, match="not one of mlsession's classifiers"):
        decode_model(save(logistic().tensors()), "file")
    with pytest.raises(DamagedData, match="file"):
        decode_model(b"no safetensors at all", "file")


def test_a_newer_format_is_told_before_anything_else_is_looked_at() -> None:
    with pytest.raises(NewerFormat):
        decode_model(written(logistic(), format=9, labels=None, head="forest", feature_extractor=None), "file")
