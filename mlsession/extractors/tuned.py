"""An extractor after fine-tuning as a value: where it began, and the tensors that are others now. No torch here."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from mlsession.errors import DamagedData, InvalidParameter
from mlsession.extractors.embedded.extractor import Lite1, ScenePrint
from mlsession.extractors.library.extractor import TENSORS, TimmExtractor, TorchvisionExtractor
from mlsession.session.phase import Arrays, Json

KIND = "tuned"
"""What its stored form calls itself."""

TunableExtractor: TypeAlias = ScenePrint | Lite1 | TimmExtractor | TorchvisionExtractor
"""Whose networks can be tuned."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TunedExtractor:
    """The network of another extractor with some of its tensors, or all, replaced.

    Two are equal if their features are. It is run as its base is, by the same backends.
    """

    base: TunableExtractor
    tensors: Arrays = field(compare=False, repr=False)
    """float32, by their names in the `state_dict()` of the base's `trainable.trainable_network`; do not change them."""
    digest: str = field(init=False)
    """`tensor_digest` of them."""

    def __post_init__(self) -> None:
        given: object = self.base
        if not isinstance(given, TunableExtractor):
            found = getattr(given, "name", given)
            raise InvalidParameter("base", found, "cannot be tuned; choose scene_print, lite1 or one of a library")
        if not self.tensors:
            raise InvalidParameter("tensors", 0, "are none; without tuned tensors use the extractor itself")
        for name, tensor in self.tensors.items():
            if tensor.dtype != np.float32 or not np.isfinite(tensor).all():
                raise InvalidParameter(f"tensors[{name!r}]", str(tensor.dtype), "must be float32 and finite throughout")
        object.__setattr__(self, "digest", tensor_digest(self.tensors))

    @property
    def name(self) -> str:
        """For people: `extractor_named` knows the base alone."""
        return f"{self.base.name} (fine-tuned)"

    @property
    def identity(self) -> str:
        """What its features mean; see `FeatureExtractor.identity`. Known without loading it."""
        return f"{self.base.identity} tuned {TENSORS}:{self.digest[:16]}"

    @property
    def dimension(self) -> int:
        """The length of a feature vector."""
        return self.base.dimension

    @property
    def input_side(self) -> int:
        """The side in pixels of the pictures that it takes."""
        return self.base.input_side

    def to_json(self) -> dict[str, Json]:
        """For a record, without the tensors; `extractor_from_json` takes it back with them."""
        return {"kind": KIND, "base": self.base.to_json(), "tensors": f"{TENSORS}:{self.digest}"}


def tensor_digest(tensors: Arrays) -> str:
    """SHA-256, in hex, over tensors in name order: for each its name, dtype, shape and little-endian bytes.

    Each of the first three goes in as UTF-8 and a zero byte.
    """
    digest = hashlib.sha256()
    for name in sorted(tensors):
        array = np.ascontiguousarray(tensors[name])
        little = array.astype(array.dtype.newbyteorder("<"), copy=False)
        shape = ",".join(str(length) for length in array.shape)
        digest.update(f"{name}\0{array.dtype.name}\0{shape}\0".encode())
        digest.update(little.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def check_digest(tuned: TunedExtractor, stored: Mapping[str, object]) -> None:
    """Raises `DamagedData` where its tensors are not those that its stored form names."""
    found = tuned.to_json()["tensors"]
    if stored.get("tensors") != found:
        raise DamagedData(tuned.name, f"its tensors are {found}, not {stored.get('tensors')}")


def check_tensors(base: Mapping[str, tuple[int, ...]], tensors: Arrays, name: str) -> None:
    """Raises `InvalidParameter` unless all `tensors` are among those of a network, given by name with their shapes."""
    for each, tensor in tensors.items():
        if each not in base:
            raise InvalidParameter("tensors", each, f"is no tensor of the network of {name}")
        if tensor.shape != base[each]:
            raise InvalidParameter(f"tensors[{each!r}]", tensor.shape, f"must be {base[each]}, as in {name}")
