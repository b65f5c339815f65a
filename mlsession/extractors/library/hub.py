"""Weights that a library publishes: from its cache on this machine, or over the network, with bounded waiting.

A file that was downloaded lands in the cache that the library itself uses, so neither downloads it twice.
"""

from __future__ import annotations

import hashlib
import os
import re
import urllib.error
import urllib.request
from collections.abc import Sequence
from pathlib import Path

from mlsession.errors import ModelNotFound

TIMEOUT_SECONDS = 10.0
"""How long a hub may take to answer, and then to send the next bytes."""

_PUBLISHED_DIGEST = re.compile(r"-([0-9a-f]{8,64})\.")
"""What torch's files carry in their names: the beginning of their SHA-256."""


def from_hugging_face(name: str, repository: str, files: Sequence[str]) -> tuple[str, bytes]:
    """The first of `files` that a repository of the Hugging Face Hub has, and its bytes.

    `name` is the extractor's, for messages. `repository` may end in "@" and a revision. Respects HF_ENDPOINT, HF_HOME
    and HF_HUB_OFFLINE as that library reads them. Raises `ModelNotFound` where none can be had.
    """
    from huggingface_hub import constants, hf_hub_download

    identifier, _, revision = repository.partition("@")
    for local in (True, False):
        if not local:
            _check_reachable(name, constants.ENDPOINT, offline=constants.HF_HUB_OFFLINE)
        for file in files:
            try:
                path = hf_hub_download(
                    identifier,
                    file,
                    revision=revision or None,
                    etag_timeout=TIMEOUT_SECONDS,
                    local_files_only=local,
                )
            except (OSError, ValueError) as error:  # The hub's errors are OSErrors; a bad token is a ValueError.
                failure = error
                continue
            return file, Path(path).read_bytes()
    raise _unavailable(name, constants.ENDPOINT, str(failure)) from failure


def from_torch_hub(name: str, url: str) -> tuple[str, bytes]:
    """The bytes of a file of torch's model zoo, and what it is called; see `from_hugging_face`.

    Only bytes whose SHA-256 is the one in the file's name are kept. Raises `ModelNotFound`.
    """
    from torch.hub import get_dir

    file = url.rpartition("/")[2]
    path = Path(get_dir(), "checkpoints", file)
    if path.is_file():
        data = path.read_bytes()
        if _is_published(data, file):
            return file, data
    host = "/".join(url.split("/")[:3])
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as answer:
            data = answer.read()
    except OSError as error:
        raise _unavailable(name, host, str(getattr(error, "reason", error))) from error
    if not _is_published(data, file):
        raise _unavailable(name, host, "what it sent is not the file that was published")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{file}.{os.getpid()}.partial")
    beside.write_bytes(data)
    beside.replace(path)
    return file, data


def _is_published(data: bytes, file: str) -> bool:
    match = _PUBLISHED_DIGEST.search(file)
    return match is None or hashlib.sha256(data).hexdigest().startswith(match[1])


def _check_reachable(name: str, endpoint: str, *, offline: bool) -> None:
    """One question, before the hub's own client, which repeats its own for minutes."""
    if offline:
        raise _unavailable(name, endpoint, "HF_HUB_OFFLINE is set")
    try:
        with urllib.request.urlopen(urllib.request.Request(endpoint, method="HEAD"), timeout=TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError:
        return  # It answers; that it has nothing under this address says nothing of the file.
    except OSError as error:
        raise _unavailable(name, endpoint, str(getattr(error, "reason", error))) from error


def _unavailable(name: str, place: str, reason: str) -> ModelNotFound:
    return ModelNotFound(
        f"{name}: its published weights are not on this machine and cannot be had from {place} "
        f"({' '.join(reason.split())[:200]}); connect this machine, or give the weights as a file: "
        "weights=FILE (--extractor-weights FILE)"
    )
