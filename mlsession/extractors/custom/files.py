"""The files of a network of one's own: which kinds there are, how they are read, and what they are called by digest."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Mapping
from contextlib import closing
from types import MappingProxyType

from mlsession.errors import InvalidParameter, KeyMissing, ModelNotFound
from mlsession.extractors.library.extractor import FILE, TENSORS
from mlsession.store import is_local, join_url, local_path, open_store, parent_url, redact, url_name

ONNX, PT2, CORE_ML, PACKAGE, MODULE = "onnx", "pt2", "mlmodel", "mlpackage", "module"
FORMATS: Mapping[str, str] = MappingProxyType({".onnx": ONNX, ".pt2": PT2, ".mlmodel": CORE_ML, ".mlpackage": PACKAGE})
"""By the end of a name; what is none of them is a module reference."""
TRUSTED = frozenset({PT2, MODULE})
"""Those whose network is loaded by code that they bring along: for the caller alone to name, never for a record."""
FILES = "files-sha256"
"""How a network of several files is called, by `digest_of`; one of a single file by `file-sha256:`, as weights are."""

WEIGHTS = re.compile(rf"({FILE}|{FILES}|{TENSORS}):[0-9a-f]{{64}}")
_REFERENCE = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")
_WEIGHTS_ALONE = (".safetensors", ".pth", ".pt", ".bin")
_CURE = (
    "correct the path; of a session or saved model put it back, or say where it is now with extractor_weights=FILE "
    "(--extractor-weights FILE)"
)


def format_of(location: str) -> str:
    """The format of a path, URL or module reference. Raises `InvalidParameter` for any other."""
    name = url_name(location).lower()
    for suffix, found in FORMATS.items():
        if name.endswith(suffix):
            return found
    library = location.partition(":")[0]
    if library in ("timm", "torchvision"):
        cure = f"is a network of {library}; take ml.{library}_extractor(NAME, weights=FILE)"
    elif name.endswith(_WEIGHTS_ALONE):
        cure = "holds weights, and no network; take ml.timm_extractor(NAME, weights=FILE), or export the network"
    elif name.endswith(".mlmodelc"):
        cure = "is compiled for one device; give the .mlmodel or .mlpackage that it was made from"
    elif _REFERENCE.fullmatch(location):
        return MODULE
    else:
        cure = f"must end in {', '.join(FORMATS)}, or be a module reference, package.module:name"
    raise InvalidParameter("model_path", redact(location), cure)


def absolute(location: str) -> str:
    """A local path made absolute, so that a session can be resumed from another folder; a reference as it is."""
    return local_path(location) if format_of(location) != MODULE and is_local(location) else location


def digest_of(files: Mapping[str, bytes]) -> str:
    """How the files are called, where they are the same everywhere.

    One file: `file-sha256:` and its SHA-256. Several: `files-sha256:` and the SHA-256 over them in the order of their
    names, for each its name, a zero byte, its SHA-256 in hex, and a zero byte.
    """
    if set(files) == {""}:
        return f"{FILE}:{hashlib.sha256(files['']).hexdigest()}"
    digest = hashlib.sha256()
    for name in sorted(files):
        digest.update(f"{name}\0{hashlib.sha256(files[name]).hexdigest()}\0".encode())
    return f"{FILES}:{digest.hexdigest()}"


class ModelFiles:
    """The files at a location, read when they are first asked for, and once. For any number of threads."""

    def __init__(self, location: str, storage_options: Mapping[str, object]) -> None:
        self.location = location
        self._options = storage_options
        self._lock = threading.Lock()
        self._files: Mapping[str, bytes] | None = None

    def read(self) -> Mapping[str, bytes]:
        """By name: "" is a file at the location itself, others are beside it, or inside where it is a folder.

        Raises `ModelNotFound`, `StoreError`, and `InvalidParameter` for files that name others outside of their folder.
        """
        with self._lock:
            if self._files is None:
                read = _folder if format_of(self.location) == PACKAGE else _file
                self._files = read(self.location, self._options)
            return self._files


def _file(location: str, options: Mapping[str, object]) -> Mapping[str, bytes]:
    with closing(open_store(parent_url(location), options)) as store:
        try:
            data = store.get(url_name(location))
        except KeyMissing as error:
            raise ModelNotFound(f"{redact(location)}: there is no such model; {_CURE}") from error
        if format_of(location) != ONNX:
            return {"": data}
        from mlsession.extractors.onnx.files import external_files

        found = {"": data}
        for name in external_files(data, redact(location)):
            try:
                found[name] = store.get(name)
            except KeyMissing as error:
                where = redact(join_url(parent_url(location), name))
                raise ModelNotFound(f"{where}: it holds weights of {url_name(location)}; put it beside that") from error
        return found


def _folder(location: str, options: Mapping[str, object]) -> Mapping[str, bytes]:
    with closing(open_store(location, options)) as store:
        names = [entry.key for entry in store.list() if not url_name(entry.key).startswith(".")]  # As Finder leaves.
        found = {name: store.get(name) for name in names}
    if not found:
        raise ModelNotFound(f"{redact(location)}: there is no such model; {_CURE}")
    return found
