"""What Apple's sample app "Classifying Images with Vision and Core ML" takes of a model, read back from both forms.

Vision gives classifications (not raw arrays) for a model that names its predicted label and its dictionary of
probabilities, and scales pictures for one image input; the app changes nothing but the name of the model's class.
"""

from __future__ import annotations

from typing import Any

import pytest

from mlsession.coreml.silence import coremltools_module
from mlsession.export import ModelMetadata
from mlsession.export.conversion import Form, convert
from tests.export.networks import LABELS, MeanColour

METADATA = ModelMetadata(
    author="A", short_description="B", license="C", version="D", additional={"mlsession.model_digest": "E"}
)


@pytest.mark.parametrize("form", Form)
def test_a_model_has_what_the_sample_asks_of_it(form: Form) -> None:
    data = convert(form, MeanColour(3), LABELS, METADATA, 256).model
    proto = coremltools_module().proto
    spec: Any = proto.Model_pb2.Model.FromString(data)
    # The oldest systems: iOS 13 and macOS 10.15, and iOS 15 and macOS 12.
    assert spec.specificationVersion == {Form.NEURAL_NETWORK: 4, Form.PROGRAM: 6}[form]
    description = spec.description

    (image,) = description.input
    pixels = image.type.imageType
    assert image.name == "image"
    assert (pixels.width, pixels.height) == (256, 256)
    assert pixels.colorSpace == proto.FeatureTypes_pb2.ImageFeatureType.RGB
    assert not image.type.isOptional
    assert ".centerCrop" in image.shortDescription

    outputs = {each.name: each.type for each in description.output}
    assert (description.predictedFeatureName, description.predictedProbabilitiesName) == ("label", "labelProbability")
    assert outputs.keys() == {"label", "labelProbability"}
    assert outputs["label"].WhichOneof("Type") == "stringType"
    assert outputs["labelProbability"].dictionaryType.WhichOneof("KeyType") == "stringKeyType"

    shown = description.metadata
    assert (shown.author, shown.shortDescription, shown.license, shown.versionString) == ("A", "B", "C", "D")
    assert dict(shown.userDefined) | {
        "com.apple.coreml.model.preview.type": "imageClassifier",
        "mlsession.crop_and_scale": "centerCrop",
        "mlsession.model_digest": "E",
    } == dict(shown.userDefined)
