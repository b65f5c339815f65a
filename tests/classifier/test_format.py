"""The saved form of a classifier: heads of both kinds go round, and what is not ours is refused with its reason."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from safetensors.numpy import save

from mlsession.classifier.format import FORMAT, decode_model, encode_model
from mlsession.classifier.model import ImageModel
from mlsession.errors import DamagedData, ModelNotFound, NewerFormat
from mlsession.extractors.catalog import scene_print
from mlsession.extractors.tuned import TunedExtractor, tensor_digest
from mlsession.heads.protocol import Head
from mlsession.session.log.blobs import decode_arrays
from mlsession.session.log.canonical import canonical_json
from mlsession.session.phase import Arrays, Json
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


@pytest.mark.parametrize("head", [logistic(), perceptron()])
def test_another_bit_anywhere_is_noticed(head: Head) -> None:
    """Of labels, temperature and weights alike: none of them makes a classifier that answers otherwise unsaid."""
    data = encode_model(model(head), {"author": "Ada"})
    for place in (data.index(b"Ada"), data.index(LABELS[0].encode()), len(data) - 1, len(data) - 4 * WIDTH):
        changed = bytearray(data)
        changed[place] ^= 1
        with pytest.raises(DamagedData, match="file is damaged: it is not what was written"):
            decode_model(bytes(changed), "file")
    for length in (0, 7, len(data) // 2, len(data) - 1):
        with pytest.raises(DamagedData, match="file is damaged: not the arrays that were written"):
            decode_model(data[:length], "file")


def test_refuses_other_files() -> None:
    with pytest.raises(DamagedData, match="not one of mlsession's classifiers"):
        decode_model(save(logistic().tensors()), "file")
    with pytest.raises(DamagedData, match="file"):
        decode_model(b"no safetensors at all", "file")


def test_a_newer_format_is_told_before_anything_else_is_looked_at() -> None:
    with pytest.raises(NewerFormat):
        decode_model(written(logistic(), format=9, labels=None, head="forest", feature_extractor=None), "file")


def tuned() -> ImageModel:
    """The last layer of the network is another."""
    tensors = {"head.convolution.bias": drawn(WIDTH), "head.convolution.weight": drawn(WIDTH, 320, 1, 1)}
    spec = TunedExtractor(base=scene_print(), tensors=tensors)
    return replace(model(logistic()), feature_extractor=spec)


def test_a_fine_tuned_network_goes_round() -> None:
    before = tuned()
    data = encode_model(before, {})
    again = decode_model(data, "file")
    assert again.feature_extractor == before.feature_extractor
    assert isinstance(again.feature_extractor, TunedExtractor)
    assert isinstance(before.feature_extractor, TunedExtractor)
    for name, tensor in before.feature_extractor.tensors.items():
        np.testing.assert_array_equal(again.feature_extractor.tensors[name], tensor)
    assert again.head.tensors().keys() == before.head.tensors().keys()
    assert again.digest == before.digest != model(logistic()).digest
    stored = decode_arrays(data, "file")
    assert tensor_digest(stored) == before.digest
    assert {name for name in stored if name.startswith("network.")} == {
        "network.head.convolution.bias",
        "network.head.convolution.weight",
    }
    # Four bytes for each tuned number, and little else.
    assert 0 < len(data) - 4 * sum(tensor.size for tensor in stored.values()) < 2_000


def written_tuned(tensors: Arrays, **changes: Json) -> bytes:
    spec = tuned().feature_extractor
    members = about(logistic(), feature_extractor=spec.to_json(), extractor_identity=spec.identity, **changes)
    return save({**logistic().tensors(), **tensors}, {"mlsession": canonical_json(members).decode()})


def test_refuses_other_tuned_tensors_than_were_written() -> None:
    tensors = {name: tensor for name, tensor in tuned().tensors().items() if name.startswith("network.")}
    assert decode_model(written_tuned(tensors), "file").digest == tuned().digest
    name = "network.head.convolution.bias"
    for damaged, reason in (
        ({}, "are missing"),
        ({**tensors, name: -tensors[name]}, r"file is damaged: of scene_print:2 \(fine-tuned\), its tensors are"),
        ({**tensors, name: tensors[name].astype(np.float16)}, "must be float32"),
        ({**tensors, "network.more": tensors[name]}, "its tensors are"),
    ):
        with pytest.raises(DamagedData, match=reason):
            decode_model(written_tuned(damaged), "file")
    with pytest.raises(DamagedData, match="holds tensors of a fine-tuned network, and names scene_print:2"):
        decode_model(
            save({**logistic().tensors(), **tensors}, {"mlsession": canonical_json(about(logistic())).decode()}), "file"
        )
