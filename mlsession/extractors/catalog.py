"""Which extractors exist, as values that a session can store; no torch until one is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TypeAlias

from mlsession.data.geometry import PREPARATION
from mlsession.errors import InvalidParameter
from mlsession.extractors.numerics import default_threads
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.weights import EFFICIENTNET_LITE0, PackagedWeights, load_weights

DEFAULT_REVISION = 2

_WEIGHTS: Mapping[int, PackagedWeights] = MappingProxyType({2: EFFICIENTNET_LITE0})
_ALIASES: Mapping[str, int] = MappingProxyType({"scene_print": DEFAULT_REVISION, "scene_print:2": 2, "lite0": 2})


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenePrint:
    """The embedded extractor, at a frozen revision: the same pictures give the same features in every release.

    | revision | network            | trained on  | features | input   |
    |----------|--------------------|-------------|----------|---------|
    | 2        | EfficientNet-Lite0 | ImageNet-1k | 1280     | 224x224 |
    """

    revision: int = DEFAULT_REVISION

    def __post_init__(self) -> None:
        # A bool is an int to Python; True must not pass for revision 1.
        if type(self.revision) is not int or self.revision not in _WEIGHTS:
            known = ", ".join(str(revision) for revision in sorted(_WEIGHTS))
            raise InvalidParameter("revision", self.revision, f"scene_print has these revisions: {known}")

    @property
    def name(self) -> str:
        """As `extractor_named` takes it."""
        return f"scene_print:{self.revision}"

    @property
    def identity(self) -> str:
        """What its features mean; see `FeatureExtractor.identity`. Known without loading it."""
        digest = _WEIGHTS[self.revision].sha256[:16]
        return f"{self.name} efficientnet-lite0 sha256:{digest} {PREPARATION} 256>224 (x-127.5)/127.5"

    @property
    def dimension(self) -> int:
        """The length of a feature vector."""
        return 1280

    @property
    def input_side(self) -> int:
        """The side in pixels of the pictures that it takes."""
        return 256

    def to_json(self) -> dict[str, str | int]:
        """For a session's record; `extractor_from_json` takes it back."""
        return {"kind": "scene_print", "revision": self.revision}


FeatureExtractorSpec: TypeAlias = ScenePrint
"""Any extractor as an option value: frozen, storable, and loaded by `load_extractor`."""


def scene_print(revision: int | None = None) -> ScenePrint:
    """The embedded extractor; None is the newest revision. Raises `InvalidParameter` for one that does not exist."""
    return ScenePrint(revision=DEFAULT_REVISION if revision is None else revision)


def extractor_named(name: str) -> FeatureExtractorSpec:
    """The extractor that a person named. Raises `InvalidParameter`, with the choices."""
    if name not in _ALIASES:
        raise InvalidParameter("feature_extractor", name, f"choose one of {', '.join(_ALIASES)}")
    return ScenePrint(revision=_ALIASES[name])


def extractor_from_json(value: Mapping[str, object]) -> FeatureExtractorSpec:
    """What `to_json` gave. Raises `InvalidParameter` for a kind or revision that this version does not have."""
    revision = value.get("revision")
    if value.get("kind") != "scene_print" or not isinstance(revision, int):
        raise InvalidParameter("feature_extractor", dict(value), "this version of mlsession has only scene_print")
    return ScenePrint(revision=revision)


def load_extractor(spec: FeatureExtractorSpec, threads: int | None = None) -> FeatureExtractor:
    """The network behind `spec`, ready to extract with `threads` intra-op threads (None: `default_threads()`).

    A session that goes on passes the number it recorded. The process's allocator is set to keep freed memory (see
    `allocator`), which makes extraction up to twice as fast. Raises `ModelNotFound`, `DamagedData`, `InvalidParameter`.
    """
    if threads is not None and threads < 1:
        raise InvalidParameter("threads", threads, "must be at least 1")
    from mlsession.extractors.allocator import keep_freed_memory
    from mlsession.extractors.lite import LITE0, LiteExtractor, build_network

    keep_freed_memory()
    network = build_network(LITE0, load_weights(_WEIGHTS[spec.revision]))
    return LiteExtractor(spec.name, spec.identity, LITE0, network, threads or default_threads())
