"""The layout of a Core ML package: which files a folder `.mlpackage` holds, and the manifest that names them.

    Manifest.json                                   names the items below, by identifiers
    Data/com.apple.CoreML/model.mlmodel             the specification: interface, metadata and program, a protobuf
    Data/com.apple.CoreML/weights/weight.bin        its numbers; see `blobs`

Apple's own library writes random identifiers; here they follow from the contents, so that equal models give equal
packages.
"""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from typing import Any

from mlsession.errors import DamagedData

MANIFEST = "Manifest.json"
DATA_FOLDER = "Data"
MODEL = f"{DATA_FOLDER}/com.apple.CoreML/model.mlmodel"
WEIGHTS = f"{DATA_FOLDER}/com.apple.CoreML/weights/weight.bin"

_AUTHOR = "com.apple.CoreML"
_VERSION = "1.0.0"


def package_files(model: bytes, weights: bytes) -> dict[str, bytes]:
    """The files of a package in the order to write them: the manifest, which makes it one, comes last.

    Without `weights` (all numbers are in the model) there is no file for them.
    """
    digest = hashlib.sha256(hashlib.sha256(model).digest() + hashlib.sha256(weights).digest()).hexdigest()
    root, beside = (str(uuid.uuid5(uuid.NAMESPACE_OID, f"{digest}/{item}")) for item in ("model", "weights"))
    items = {root: _item("model.mlmodel", "CoreML Model Specification")}
    if weights:
        items[beside] = _item("weights", "CoreML Model Weights")
    manifest = {"fileFormatVersion": _VERSION, "itemInfoEntries": items, "rootModelIdentifier": root}
    text = json.dumps(manifest, indent=4, sort_keys=True) + "\n"
    return {**({WEIGHTS: weights} if weights else {}), MODEL: model, MANIFEST: text.encode()}


def root_model(files: Mapping[str, bytes]) -> str:
    """The path of the specification in a package, as its manifest says. Raises `DamagedData`."""
    if MANIFEST not in files:
        raise DamagedData("Core ML package", f"it has no {MANIFEST}; export it again")
    try:
        manifest: Any = json.loads(files[MANIFEST])
        path = f"{DATA_FOLDER}/{manifest['itemInfoEntries'][manifest['rootModelIdentifier']]['path']}"
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DamagedData("Core ML package", f"its {MANIFEST} names no model; export it again") from error
    if path not in files:
        raise DamagedData("Core ML package", f"it has no file {path}, which its manifest names; export it again")
    return path


def _item(name: str, description: str) -> dict[str, str]:
    return {"author": _AUTHOR, "description": description, "name": name, "path": f"{_AUTHOR}/{name}"}
