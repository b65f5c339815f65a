"""Which extractors exist, as values that a session can store; no torch until one is loaded."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TypeAlias, TypeVar

from mlsession.devices.accelerators import AcceleratorChoice
from mlsession.errors import InvalidParameter
from mlsession.extractors.custom.contents import KIND as CUSTOM
from mlsession.extractors.custom.options import CustomFeatureExtractor, custom_runtime, must_be_given
from mlsession.extractors.embedded import networks as embedded_networks
from mlsession.extractors.embedded.extractor import DEFAULT_REVISION, EmbeddedExtractor, Lite1, ScenePrint
from mlsession.extractors.library.extractor import LibraryExtractor, TimmExtractor, TorchvisionExtractor
from mlsession.extractors.protocol import FeatureExtractor, OwnExtractor
from mlsession.extractors.running.batched import extraction_numerics
from mlsession.extractors.running.feeding import FedExtractor
from mlsession.extractors.running.runtime import BackendChoice, PrecisionChoice, Runtime, Surroundings, chosen_runtime
from mlsession.extractors.tuned import KIND, TunableExtractor, TunedExtractor, check_digest
from mlsession.session.phase import Arrays
from mlsession.store import is_local, local_path, redact

Library = TypeVar("Library", bound=LibraryExtractor)

FeatureExtractorSpec: TypeAlias = (
    ScenePrint | Lite1 | TimmExtractor | TorchvisionExtractor | CustomFeatureExtractor | TunedExtractor | OwnExtractor
)
"""Any extractor as an option value: frozen, storable, and loaded by `load_extractor`."""

NAMES: Mapping[str, EmbeddedExtractor] = MappingProxyType(
    {
        "scene_print": ScenePrint(),
        "scene_print:1": ScenePrint(revision=1),
        "scene_print:2": ScenePrint(revision=2),
        "lite0": ScenePrint(revision=2),
        "lite1": Lite1(),
        "lite2": ScenePrint(revision=1),
    }
)
"""What the embedded extractors are called; several names may stand for one."""

LIBRARIES: Mapping[str, type[TimmExtractor] | type[TorchvisionExtractor]] = MappingProxyType(
    {TimmExtractor.library: TimmExtractor, TorchvisionExtractor.library: TorchvisionExtractor}
)
"""Whose networks can be had as `library:network`."""


def scene_print(revision: int | None = None) -> ScenePrint:
    """The embedded extractor; None is the default revision. Raises `InvalidParameter` for one that does not exist."""
    return ScenePrint(revision=DEFAULT_REVISION if revision is None else revision)


def timm_extractor(
    name: str, weights: str | Path | None = None, storage_options: Mapping[str, object] | None = None
) -> TimmExtractor:
    """A network of timm without its classifier: `timm_extractor("resnet18")`, `"vit_small_patch16_224.augreg_in1k"`.

    `weights` is a file of tensors, a path or URL that ends in .safetensors, .pth or .pt; None takes the weights that
    timm publishes, from its cache on this machine or from the Hugging Face Hub. They must be all of the network's, and
    no others; a classifier among them is dropped. `storage_options` are fsspec's, for a URL.

    The network is loaded once here, so that its facts are known. Raises `InvalidParameter` for a network that timm
    does not have and for weights that do not fit it, `ModelNotFound` where they cannot be had.
    """
    return _resolved(TimmExtractor, name, weights, storage_options)


def torchvision_extractor(
    name: str, weights: str | Path | None = None, storage_options: Mapping[str, object] | None = None
) -> TorchvisionExtractor:
    """A network of torchvision without its last linear layer: `torchvision_extractor("resnet50")`.

    Like `timm_extractor`; None takes torchvision's default weights, and a name such as "resnet50.IMAGENET1K_V1" others.
    """
    return _resolved(TorchvisionExtractor, name, weights, storage_options)


def extractor_named(
    name: str, weights: str | Path | None = None, storage_options: Mapping[str, object] | None = None
) -> FeatureExtractorSpec:
    """The extractor that a person named: one of `NAMES`, `timm:NETWORK`, `torchvision:NETWORK` or `custom:PATH`.

    Raises `InvalidParameter` with the choices, or with names that are close, and what `timm_extractor` and
    `CustomFeatureExtractor` raise.
    """
    library, separator, network = name.partition(":")
    if library == CUSTOM and separator:
        if weights is not None:
            reason = "a custom extractor has its weights in its own file; leave this out"
            raise InvalidParameter("extractor_weights", str(weights), reason)
        return CustomFeatureExtractor(network, storage_options=storage_options)
    if separator and library in LIBRARIES:
        return _resolved(LIBRARIES[library], network, weights, storage_options)
    if name not in NAMES:
        choices = f"choose one of {', '.join(NAMES)}, or timm:NETWORK, torchvision:NETWORK or custom:PATH"
        near = difflib.get_close_matches(name.lower(), NAMES, n=1)
        raise InvalidParameter("feature_extractor", name, f"did you mean {near[0]}? {choices}" if near else choices)
    if weights is not None:
        raise _has_its_own(name, weights)
    return NAMES[name]


def extractor_from_json(
    value: Mapping[str, object],
    location: str | None = None,
    storage_options: Mapping[str, object] | None = None,
    tensors: Arrays | None = None,
) -> FeatureExtractorSpec:
    """What `to_json` gave, with the weights of a library's network at `location`; nothing is read yet.

    `tensors` are those of a `TunedExtractor`. Raises `InvalidParameter` for a kind or revision that this version does
    not have, `DamagedData` for other tensors than were tuned.
    """
    kind, revision = value.get("kind"), value.get("revision")
    if kind == KIND:
        return _tuned(value, location, storage_options, tensors or {})
    if isinstance(kind, str) and kind in LIBRARIES:
        absolute = None if location is None else _absolute(location)
        return LIBRARIES[kind].from_json(value).at(absolute, storage_options)
    if kind == CUSTOM:
        return CustomFeatureExtractor.from_json(value).at(location, storage_options)
    if kind == "lite1":
        found: EmbeddedExtractor = Lite1()
    elif kind == "scene_print" and isinstance(revision, int):
        found = ScenePrint(revision=revision)
    else:
        known = ", ".join(("scene_print", "lite1", *LIBRARIES, CUSTOM))
        raise InvalidParameter("feature_extractor", dict(value), f"this version of mlsession has only {known}")
    if location is not None:
        raise _has_its_own(found.name, location)
    return found


def _tuned(
    value: Mapping[str, object],
    location: str | None,
    storage_options: Mapping[str, object] | None,
    tensors: Arrays,
) -> TunedExtractor:
    base = value.get("base")
    if not isinstance(base, Mapping) or base.get("kind") == KIND:
        raise InvalidParameter("feature_extractor", dict(value), "does not say what was tuned")
    found = extractor_from_json(base, location, storage_options)
    if not tensors:
        raise InvalidParameter("tensors", f"of {found.name}", "are missing; give the fine-tuned extractor again")
    if not isinstance(found, TunableExtractor):
        raise InvalidParameter("feature_extractor", dict(value), "says that what cannot be tuned was")
    tuned = TunedExtractor(base=found, tensors=tensors)
    check_digest(tuned, value)
    return tuned


def weights_place(spec: FeatureExtractorSpec) -> tuple[str | None, Mapping[str, object]]:
    """The file that the weights of an extractor are in, if its name does not settle that, and fsspec's options."""
    base = base_of(spec)
    if isinstance(base, LibraryExtractor | CustomFeatureExtractor):
        return base.location, base.storage_options
    return None, {}


def recorded_place(spec: FeatureExtractorSpec) -> tuple[str | None] | None:
    """What a session remembers of `weights_place`: None where there is none to remember.

    A place without credentials, or (None,) where the library's hub has the weights, or the caller is to say it anew.
    """
    if not isinstance(spec, LibraryExtractor | CustomFeatureExtractor):
        return None
    if spec.location is None or must_be_given(spec.to_json()):
        return (None,)
    return (redact(spec.location),)


def base_of(spec: FeatureExtractorSpec) -> FeatureExtractorSpec:
    """What a fine-tuned extractor was before; any other is its own base."""
    return spec.base if isinstance(spec, TunedExtractor) else spec


def runtime_for(
    spec: FeatureExtractorSpec,
    backend: BackendChoice = "auto",
    precision: PrecisionChoice = "auto",
    accelerator: AcceleratorChoice = "cpu",
) -> Runtime:
    """What runs it here, by rule; see `runtime`. Raises `InvalidParameter`.

    The CPU unless told otherwise: to start a GPU takes seconds, which only many pictures bring back.
    """
    if isinstance(spec, CustomFeatureExtractor):
        return custom_runtime(spec, backend, precision, accelerator)
    if isinstance(spec, OwnExtractor):
        if accelerator in ("gpu", "cuda", "mps"):
            reason = f"{spec.name} brings its network along, and runs it where it chooses; leave this out"
            raise InvalidParameter("accelerator", accelerator, reason)
        accelerator = "cpu"
    return chosen_runtime(
        backend,
        precision,
        Surroundings.here(accelerator),
        is_own_network=isinstance(base_of(spec), EmbeddedExtractor),
        accelerator=accelerator,
    )


def exact_runtime(spec: FeatureExtractorSpec) -> Runtime:
    """What runs it by public operators in float32, on the CPU: as exports do."""
    if isinstance(spec, CustomFeatureExtractor):
        return custom_runtime(spec)
    return runtime_for(spec, "torch", "float32")


def numerics_of(spec: FeatureExtractorSpec, runtime: Runtime) -> Mapping[str, str | int]:
    """What `FeatureExtractor.numerics` will say; a network is only loaded where that cannot be known otherwise."""
    if isinstance(base_of(spec), EmbeddedExtractor):
        return extraction_numerics(runtime, kernels=embedded_networks.kernels_of(runtime))
    if isinstance(spec, CustomFeatureExtractor):
        return extraction_numerics(runtime)
    extractor = load_extractor(spec, runtime)
    try:
        return extractor.numerics()
    finally:
        close_extractor(extractor)


def load_extractor(spec: FeatureExtractorSpec, runtime: Runtime | None = None) -> FeatureExtractor:
    """The network behind `spec`, ready to extract, run by `runtime` (None: what `runtime_for` chooses).

    On the CPU it computes in the thread that calls it: several of them work in several threads. On a GPU one serves all
    threads; `close_extractor` ends it. The process's allocator is set to keep freed memory (see `allocator`), which
    makes extraction with torch up to twice as fast. Raises `ModelNotFound`, `DamagedData`, `InvalidParameter` where a
    GPU has no room for the network, and `IncompatibleParameters` for a file of other weights than `spec` names.
    """
    runtime = runtime_for(spec) if runtime is None else runtime
    if runtime.backend == "torch":
        from mlsession.extractors.running.allocator import keep_freed_memory

        keep_freed_memory()
    base, tuned = base_of(spec), spec if isinstance(spec, TunedExtractor) else None
    if isinstance(base, LibraryExtractor):
        from mlsession.extractors.library.networks import loaded

        return loaded(base, runtime, tuned)
    if isinstance(base, EmbeddedExtractor):
        return embedded_networks.loaded(base, runtime, tuned)
    if isinstance(base, CustomFeatureExtractor):
        from mlsession.extractors.custom.loading import loaded as own

        return own(base, runtime)
    assert isinstance(spec, OwnExtractor)
    return spec.load()


def close_extractor(extractor: FeatureExtractor) -> None:
    """Ends the thread of an extractor on a GPU; those on the CPU have none."""
    if isinstance(extractor, FedExtractor):
        extractor.close()


def _resolved(
    kind: type[Library], network: str, weights: str | Path | None, storage_options: Mapping[str, object] | None
) -> Library:
    from mlsession.extractors.library.networks import resolved

    return resolved(kind, network, None if weights is None else _absolute(str(weights)), storage_options)


def _absolute(location: str) -> str:
    """A local path made absolute, so that a session can be resumed from another folder."""
    return local_path(location) if is_local(location) else location


def _has_its_own(name: str, weights: object) -> InvalidParameter:
    reason = f"{name} has its weights in a Python package; leave this out, or name a network of timm or torchvision"
    return InvalidParameter("extractor_weights", str(weights), reason)
