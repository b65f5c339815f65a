"""From the name of a library's network to a value with all its facts, and from that value to features."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mlsession.errors import IncompatibleParameters, ModelNotFound
from mlsession.extractors.library.backbone import Backbone
from mlsession.extractors.library.extractor import FILE, TENSORS, LibraryExtractor
from mlsession.extractors.network import Framed, extractor_of, frozen, random_generator_kept, retuned
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.running.runtime import Runtime
from mlsession.extractors.tuned import TunedExtractor
from mlsession.extractors.weights import check_suffix, read_file, read_tensors, tensors_digest

if TYPE_CHECKING:
    import torch
    from torch import nn

Spec = TypeVar("Spec", bound=LibraryExtractor)


class _Library(NamedTuple):
    version: str
    published: Callable[[str], tuple[str, bytes]]
    build: Callable[[str, Mapping[str, torch.Tensor], str], Backbone]


def resolved(
    kind: type[Spec], network: str, location: str | None, storage_options: Mapping[str, object] | None
) -> Spec:
    """The value of a network with the weights at `location`, or with those that its library publishes.

    Loads the network once, to see that the weights fit and what it gives. Raises `InvalidParameter` for a network
    that does not exist or weights that do not fit it, `ModelNotFound` where the weights cannot be had.
    """
    library, options = _library(kind.library), storage_options or {}
    if location is None:
        file, data = library.published(network)
        tensors = read_tensors(data, file)
        place, weights = file, f"{TENSORS}:{tensors_digest(tensors)}"
    else:
        check_suffix(location)
        data = read_file(location, options)
        tensors = read_tensors(data, location)
        place, weights = location, f"{FILE}:{hashlib.sha256(data).hexdigest()}"
    with random_generator_kept():
        backbone = library.build(network, tensors, place)
    red_mean, green_mean, blue_mean = backbone.mean
    red_std, green_std, blue_std = backbone.std
    return kind(
        network=network,
        weights=weights,
        dimension=backbone.measured_dimension(f"{kind.library}:{network}"),
        network_side=backbone.side,
        mean=(red_mean, green_mean, blue_mean),
        std=(red_std, green_std, blue_std),
        location=location,
        storage_options=options,
    )


def loaded(spec: LibraryExtractor, runtime: Runtime, tuned: TunedExtractor | None = None) -> FeatureExtractor:
    """The network behind a value, with the very weights that it names, or `tuned` ones; raises as `backbone_of`.

    Raises `InvalidParameter` for tuned tensors of another network.
    """
    network: nn.Module = Framed(backbone_of(spec).network, spec.network_side, spec.mean, spec.std)
    if tuned is not None:
        network = retuned(network, tuned.tensors, tuned.name)
    called = spec if tuned is None else tuned
    return extractor_of(
        frozen(network),
        name=called.name,
        identity=called.identity,
        dimension=spec.dimension,
        input_side=spec.input_side,
        runtime=runtime,
        library=_library(spec.library).version,
    )


def backbone_of(spec: LibraryExtractor) -> Backbone:
    """The network behind a value as its library makes it, with the very weights that it names.

    Raises `ModelNotFound` where they cannot be had, `IncompatibleParameters` if those at hand are others or the
    installed library makes another network of them.
    """
    library = _library(spec.library)
    with random_generator_kept():
        backbone = library.build(spec.network, _checked_tensors(spec, library), spec.location or spec.name)
    dimension = backbone.measured_dimension(spec.name)
    if dimension != spec.dimension:
        raise _incompatible(
            "dimension", spec.dimension, dimension, f"install the version that it was made with, not {library.version}"
        )
    return backbone


def _checked_tensors(spec: LibraryExtractor, library: _Library) -> Mapping[str, torch.Tensor]:
    kind = spec.weights.partition(":")[0]
    if spec.location is not None:
        check_suffix(spec.location)
        place, data = spec.location, read_file(spec.location, spec.storage_options)
    elif kind == TENSORS:
        place, data = library.published(spec.network)
    else:
        raise ModelNotFound(
            f"{spec.name}: its weights were a file ({spec.weights}), and nothing says where that is; "
            "give it: extractor_weights=FILE (--extractor-weights FILE)"
        )
    if kind == FILE:
        _check_same(spec, f"{FILE}:{hashlib.sha256(data).hexdigest()}")
        return read_tensors(data, place)
    tensors = read_tensors(data, place)
    _check_same(spec, f"{TENSORS}:{tensors_digest(tensors)}")
    return tensors


def _check_same(spec: LibraryExtractor, found: str) -> None:
    if found != spec.weights:
        cure = "give the weights of then: extractor_weights=FILE (--extractor-weights FILE), or train in a new session"
        raise _incompatible("weights", spec.weights, found, cure)


def _incompatible(parameter: str, original: object, new: object, cure: str) -> IncompatibleParameters:
    return IncompatibleParameters(f"algorithm.feature_extractor.{parameter}", original, new, cure)


def library_version(spec: LibraryExtractor) -> str:
    """The package that defines its network, and the version that is installed here."""
    return _library(spec.library).version


def _library(name: str) -> _Library:
    if name == "timm":
        from mlsession.extractors.library import timm_networks

        return _Library(timm_networks.VERSION, timm_networks.published, timm_networks.build)
    from mlsession.extractors.library import torchvision_networks

    return _Library(torchvision_networks.VERSION, torchvision_networks.published, torchvision_networks.build)
