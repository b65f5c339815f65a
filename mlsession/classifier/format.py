"""The saved form of a classifier: one safetensors file that holds the head, and what it belongs to as JSON.

    tensors    of the head: `weight`, `bias`, or `layers.0.weight`, `layers.0.bias`, `layers.1.weight`, ...; float32
               of a fine-tuned network those that were tuned: `network.` and their names; float32
    metadata   "mlsession": canonical JSON with format, labels, head, temperature, feature_extractor,
               extractor_identity, precision, metadata, and sha256, by which damage is noticed: see `_digest`

The extractor's other weights are not in the file: they are named by digest, and come with their package, from the hub
of their library, or out of a file that the reader names.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

from safetensors.numpy import save as save_arrays

from mlsession.classifier.model import NETWORK_PREFIX, ImageModel
from mlsession.errors import DamagedData, InvalidParameter, ModelNotFound, NewerFormat
from mlsession.extractors.catalog import FeatureExtractorSpec, extractor_from_json
from mlsession.extractors.running.runtime import PRECISIONS, PrecisionChoice
from mlsession.extractors.tuned import TunedExtractor, tensor_digest
from mlsession.heads.kinds import head_from_tensors
from mlsession.heads.protocol import Head
from mlsession.session.log.blobs import as_written, decode_arrays, decode_metadata
from mlsession.session.log.canonical import canonical_json, parse_object
from mlsession.session.phase import Arrays, Json

FORMAT = 1
MOST_BYTES = 2 * 2**30
"""A saved classifier is smaller: of a larger file no more is read."""
IN_FOLDER = "model.safetensors"
"""What a saved classifier is called in a folder of its own."""
_MEMBER = "mlsession"
_DIGEST = "sha256"


def encode_model(model: ImageModel, metadata: Mapping[str, Json]) -> bytes:
    """The bytes of a saved classifier; `metadata` is for people (author, licence, ...)."""
    about: dict[str, Json] = {
        "format": FORMAT,
        "labels": list(model.labels),
        "head": model.head.kind,
        "temperature": model.temperature,
        "feature_extractor": dict(model.feature_extractor.to_json()),
        "extractor_identity": model.feature_extractor.identity,
        "precision": model.precision,
        "metadata": dict(metadata),
    }
    tensors = dict(model.tensors())
    about[_DIGEST] = _digest(about, tensors)
    return save_arrays(tensors, {_MEMBER: canonical_json(about).decode()})


def decode_model(
    data: bytes,
    name: str,
    extractor_weights: str | None = None,
    storage_options: Mapping[str, object] | None = None,
) -> ImageModel:
    """Reads `encode_model` back. `name` is for messages.

    `extractor_weights` is where the weights of a network of timm or torchvision lie, with fsspec's options to reach
    them; None leaves that to the library's hub. Nothing is read of them yet.

    Raises `DamagedData`, `NewerFormat`, and `ModelNotFound` where this version has not its kind of head or extractor.
    """
    stored, about = decode_arrays(data, name), _about(data, name)
    _check_format(about, name)
    _check_digest(about, stored, name)
    tensors, tuned = _of_head_and_network(stored)
    extractor = about.get("feature_extractor")
    if not isinstance(extractor, dict):
        raise DamagedData(name, "its labels or extractor are missing")
    labels = _labels(about.get("labels"), name)
    spec = _extractor(extractor, tuned, name, extractor_weights, storage_options)
    if about.get("extractor_identity") != spec.identity:
        raise ModelNotFound(
            f"{name} was trained on features of {about.get('extractor_identity')!r}, "
            f"and this version of mlsession has {spec.identity!r}; use the version that wrote it"
        )
    head = _head(about.get("head"), tensors, name)
    if (len(labels), spec.dimension) != (head.num_classes, head.num_features):
        has = f"{len(labels)} labels and {spec.dimension} features"
        raise DamagedData(name, f"it has {has} for a head of {head.num_classes} and {head.num_features}")
    return ImageModel(
        labels=labels,
        feature_extractor=spec,
        head=head,
        temperature=_temperature(about.get("temperature", 1.0), name),
        precision=_precision(about, name),
    )


def _digest(about: Mapping[str, Json], tensors: Arrays) -> str:
    """SHA-256, in hex, of the canonical JSON of all other members, a zero byte, and the `tensor_digest`."""
    others = {name: value for name, value in about.items() if name != _DIGEST}
    return hashlib.sha256(canonical_json(others) + b"\0" + tensor_digest(tensors).encode()).hexdigest()


def _check_digest(about: Mapping[str, Json], tensors: Arrays, name: str) -> None:
    """Files of before mlsession wrote it have none."""
    if _DIGEST not in about:
        return
    with as_written(name):
        found = _digest(about, tensors)
    if about[_DIGEST] != found:
        raise DamagedData(name, "it is not what was written (another SHA-256); copy it anew, or export it again")


def _of_head_and_network(tensors: Arrays) -> tuple[Arrays, Arrays]:
    head = {name: array for name, array in tensors.items() if not name.startswith(NETWORK_PREFIX)}
    tuned = {name.removeprefix(NETWORK_PREFIX): array for name, array in tensors.items() if name not in head}
    return head, tuned


def _extractor(
    stored: Mapping[str, Json],
    tuned: Arrays,
    name: str,
    weights: str | None,
    storage_options: Mapping[str, object] | None,
) -> FeatureExtractorSpec:
    try:
        spec = extractor_from_json(stored, weights, storage_options, tuned)
    except DamagedData as damage:
        raise DamagedData(name, f"of {damage.key}, {damage.reason}") from damage
    except InvalidParameter as error:
        if error.parameter == "extractor_weights":
            raise
        if error.parameter.startswith("tensors"):
            raise DamagedData(name, str(error)) from error
        raise ModelNotFound(f"{name} needs an extractor that this version of mlsession has not: {error}") from error
    if tuned and not isinstance(spec, TunedExtractor):
        raise DamagedData(name, f"it holds tensors of a fine-tuned network, and names {spec.name}")
    return spec


def _temperature(value: Json, name: str) -> float:
    """1.0 where none is recorded: nothing was fitted."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not (math.isfinite(value) and value > 0):
        raise DamagedData(name, f"its temperature is {value!r}, not a number above 0")
    return float(value)


def _precision(about: Mapping[str, Json], name: str) -> PrecisionChoice:
    for choice in PRECISIONS:
        if about.get("precision") == choice:
            return choice
    raise DamagedData(name, f"its precision is {about.get('precision')!r}, not one of {', '.join(PRECISIONS)}")


def _labels(value: Json, name: str) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise DamagedData(name, "its labels or extractor are missing")
    labels = tuple(label for label in value if isinstance(label, str))
    if len(labels) < len(value) or len(set(labels)) < len(labels):
        raise DamagedData(name, "its labels are not texts, each once")
    return labels


def _check_format(about: Mapping[str, Json], name: str) -> None:
    version = about.get("format")
    if type(version) is not int or version < 1:
        raise DamagedData(name, f"its format is {version!r}, which no version of mlsession has written")
    if version > FORMAT:
        raise NewerFormat(
            f"{name} has model format {version}, written by {_writer(about)}, and this version reads up to "
            f"{FORMAT}: use the newer version (pip install --upgrade mlsession)"
        )


def _writer(about: Mapping[str, Json]) -> str:
    """The version that wrote a model, as far as its metadata say so."""
    found: Json = dict(about)
    for name in ("metadata", "additional", "mlsession.version"):
        found = found.get(name) if isinstance(found, dict) else None
    return f"mlsession {found}" if isinstance(found, str) else "a later version of mlsession"


def _head(kind: Json, tensors: Arrays, name: str) -> Head:
    try:
        return head_from_tensors(kind, tensors)
    except InvalidParameter as error:
        raise ModelNotFound(f"{name} needs a head that this version of mlsession has not: {error}") from error
    except DamagedData as damage:
        raise DamagedData(name, damage.reason) from damage


def _about(data: bytes, name: str) -> dict[str, Json]:
    text = decode_metadata(data, name).get(_MEMBER)
    if text is None:
        raise DamagedData(name, "it is a safetensors file, but not one of mlsession's classifiers")
    with as_written(name):
        return parse_object(text.encode(), name)
