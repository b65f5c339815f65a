"""The saved form of a classifier: one safetensors file that holds the head, and what it belongs to as JSON.

    tensors    weight float32 [K, D], bias float32 [K]
    metadata   "mlsession": canonical JSON with format, labels, feature_extractor, extractor_identity, metadata

The extractor's weights are not in the file: they are named by digest, and come with their package.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping

from safetensors.numpy import save as save_arrays

from mlsession.classifier.model import ImageModel
from mlsession.errors import DamagedData, InvalidParameter, ModelNotFound, NewerFormat
from mlsession.extractors.catalog import extractor_from_json
from mlsession.heads.linear import LogisticHead
from mlsession.session.log.blobs import decode_arrays
from mlsession.session.log.canonical import canonical_json, parse_object
from mlsession.session.phase import Json

FORMAT = 1
_MEMBER = "mlsession"


def encode_model(model: ImageModel, metadata: Mapping[str, Json]) -> bytes:
    """The bytes of a saved classifier; `metadata` is for people (author, licence, ...)."""
    about = {
        "format": FORMAT,
        "labels": list(model.labels),
        "feature_extractor": dict(model.feature_extractor.to_json()),
        "extractor_identity": model.feature_extractor.identity,
        "metadata": dict(metadata),
    }
    return save_arrays(dict(model.head.tensors()), {_MEMBER: canonical_json(about).decode()})


def decode_model(data: bytes, name: str) -> ImageModel:
    """Reads `encode_model` back. `name` is for messages.

    Raises `DamagedData`, `NewerFormat`, and `ModelNotFound` where this version cannot have its extractor.
    """
    tensors = decode_arrays(data, name)
    about = _about(data, name)
    version, labels, extractor = (about.get(key) for key in ("format", "labels", "feature_extractor"))
    if not isinstance(version, int) or version > FORMAT:
        raise NewerFormat(f"{name} has model format {version}; this version of mlsession reads up to {FORMAT}")
    if not isinstance(labels, list) or not isinstance(extractor, dict):
        raise DamagedData(name, "its labels or extractor are missing")
    try:
        spec = extractor_from_json(extractor)
    except InvalidParameter as error:
        raise ModelNotFound(f"{name} needs an extractor that this version of mlsession has not: {error}") from error
    if about.get("extractor_identity") != spec.identity:
        raise ModelNotFound(
            f"{name} was trained on features of {about.get('extractor_identity')!r}, "
            f"and this version of mlsession has {spec.identity!r}; use the version that wrote it"
        )
    head = LogisticHead.from_tensors(tensors)
    if len(labels) != len(head.bias):
        raise DamagedData(name, f"it has {len(labels)} labels for {len(head.bias)} outputs")
    return ImageModel(labels=tuple(str(label) for label in labels), feature_extractor=spec, head=head)


def _about(data: bytes, name: str) -> dict[str, Json]:
    length = struct.unpack("<Q", data[:8])[0]
    text = json.loads(data[8 : 8 + length]).get("__metadata__", {}).get(_MEMBER)
    if not isinstance(text, str):
        raise DamagedData(name, "it is a safetensors file, but not one of mlsession's classifiers")
    return parse_object(text.encode(), name)
