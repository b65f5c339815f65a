"""What a file that is no Core ML model says about itself, as texts by name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.export.metadata import ModelMetadata

LABELS = "labels"


def descriptions(metadata: ModelMetadata, labels: Sequence[str], picture: str, side: int) -> dict[str, str]:
    """All that is to be known of a model by name; `picture` says what its input is.

        labels          JSON: the class labels, in the order of the probabilities
        input, output   in words; and `geometry`, what is done to a picture of another size inside
        author, short_description, license, version, and the `additional` of the metadata by their own names

    Raises `InvalidParameter` for an additional fact by one of these names.
    """
    own = {
        LABELS: json.dumps(list(labels), ensure_ascii=False),
        "input": picture,
        "output": "probabilities: float32 [N, K], of the labels in their order; each row adds up to 1",
        "geometry": f"inside: short side to {side} pixels, antialiased bilinear, then the centre {side} x {side}; "
        "give upright RGB pictures of any size",
        "author": metadata.author,
        "short_description": metadata.short_description,
        "license": metadata.license,
        "version": metadata.version,
    }
    for name in metadata.additional:
        if name in own:
            raise InvalidParameter("additional", name, "the file itself says something by this name; choose another")
    return {**own, **metadata.additional}


def read_labels(found: Mapping[str, str], name: str) -> tuple[str, ...]:
    """The labels back; `name` is the file's. Raises `DamagedData`."""
    try:
        labels = json.loads(found[LABELS])
    except (KeyError, ValueError) as error:
        raise DamagedData(name, "it holds no labels; export it again") from error
    if not isinstance(labels, list) or not all(isinstance(label, str) for label in labels):
        raise DamagedData(name, "its labels are not texts; export it again")
    return tuple(labels)
