"""A network of one's own as a value that a session can store: a file, or a module reference. No torch until it is made.

| model | is | run by |
|-|-|-|
| `.onnx` | ONNX, with its external data beside it | ONNX Runtime on the CPU |
| `.pt2` | a program of torch.export | torch on the CPU |
| `.mlmodel`, `.mlpackage` | a Core ML neural network or ML program of one picture | the evaluators of `export` |
| `package.module:name` | a module of torch, or what makes one when it is called without arguments | torch on the CPU |

A session records all that gives features their meaning, and where the file lies. Of a `.pt2` file and of a module
reference it records no place, and none is ever taken from a record: to load them runs code of theirs, so the caller
names them each time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from mlsession.devices.accelerators import AcceleratorChoice
from mlsession.errors import IncompatibleParameters, InvalidParameter, ModelNotFound
from mlsession.extractors.custom.contents import KIND, Contents
from mlsession.extractors.custom.files import (
    MODULE,
    ONNX,
    TRUSTED,
    ModelFiles,
    absolute,
    format_of,
)
from mlsession.extractors.custom.input import InputOptions, Layout, PictureInput
from mlsession.extractors.running.runtime import (
    BackendChoice,
    PrecisionChoice,
    Runtime,
    check_choices,
    extraction_precision,
)
from mlsession.images.geometry import PREPARATION
from mlsession.session.phase import Json
from mlsession.store import redact, url_name


@dataclass(frozen=True, slots=True, init=False)
class CustomFeatureExtractor:
    """A network of one's own as a feature extractor; see above for what it may be.

    It is read and run on one picture once, here, so that its facts are known. Two are equal if their features are;
    where the file lies, and what it is called, is no part of it.
    """

    contents: Contents
    location: str | None = field(compare=False)
    """The file, a path or URL, or the module reference; None where a record does not say."""
    storage_options: Mapping[str, object] = field(compare=False, repr=False)
    """For fsspec, to reach `location`; never shown, never stored."""
    files: ModelFiles | None = field(compare=False, repr=False)
    """What lies there; none of a module."""

    def __init__(
        self,
        model_path: str | Path,
        output_name: str | None = None,
        *,
        input_side: int | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        scale: float | None = None,
        layout: Layout | None = None,
        crop: bool = True,
        storage_options: Mapping[str, object] | None = None,
    ) -> None:
        """`model_path` is a path or URL of one of the kinds above, or a module reference.

        `output_name` picks one of its outputs; in ONNX and Core ML also a value inside. None: it must have exactly one
        output that is a tensor, a multi-array in Core ML. The output is flattened to one vector a picture, a map of
        C x H x W to as many numbers, `MOST_FEATURES` at most. Outputs of a module or program are called by their keys
        in a mapping, by their place ("0", "1", ...) in a tuple, and "output" if there is but one tensor.

        The other options are what the file does not say of its input; see `input`. `storage_options` are
        fsspec's, for a URL.

        Raises `ModelNotFound`; `InvalidParameter` for a file of another kind, an output or input that cannot be used,
        and options that contradict the file; `UsageError` where a package is missing.
        """
        from mlsession.extractors.custom.examining import examined

        _check_texts(model_path, output_name)
        location, options = absolute(str(model_path)), dict(storage_options or {})
        said = InputOptions(input_side=input_side, mean=mean, std=std, scale=scale, layout=layout, crop=crop)
        files = None if format_of(location) == MODULE else ModelFiles(location, options)
        contents = examined(location, files, output_name, said)
        _fill(self, contents=contents, location=location, storage_options=options, files=files)

    @property
    def name(self) -> str:
        """For people: `custom:` and what the file is called, without its folder."""
        if self.contents.reference is not None:
            return f"{KIND}:{self.contents.reference}"
        return f"{KIND}:{self.contents.format if self.location is None else url_name(self.location)}"

    @property
    def identity(self) -> str:
        """What its features mean; see `FeatureExtractor.identity`. Known without loading it."""
        it = self.contents
        kind, _, digest = it.weights.partition(":")
        reference = "" if it.reference is None else f" {it.reference}"
        return f"{KIND} {it.format}{reference} {kind}:{digest[:16]} output={it.output} {PREPARATION} {it.input.words}"

    @property
    def dimension(self) -> int:
        """The length of a feature vector."""
        return self.contents.dimension

    @property
    def input_side(self) -> int:
        """The side in pixels of the pictures that it takes."""
        return self.contents.input.side

    def to_json(self) -> dict[str, Json]:
        """For a session's record, without `location`; `extractor_from_json` takes it back."""
        it = self.contents
        return {
            "kind": KIND,
            "format": it.format,
            "weights": it.weights,
            "output": it.output,
            # Not "dimension": a refused session names the first member that differs, and `identity` says more.
            "num_features": it.dimension,
            **it.input.to_json(),
            **({} if it.reference is None else {"reference": it.reference}),
        }

    @classmethod
    def from_json(cls, value: Mapping[str, object]) -> CustomFeatureExtractor:
        """What `to_json` gave, at no place yet. Raises `InvalidParameter`."""
        texts = {name: value.get(name) for name in ("format", "weights", "output")}
        reference, dimension = value.get("reference"), value.get("num_features")
        if not all(isinstance(text, str) for text in texts.values()) or not isinstance(reference, str | None):
            raise InvalidParameter("feature_extractor", dict(value), "names no format, weights or output")
        if not isinstance(dimension, int):
            raise InvalidParameter("num_features", dimension, "must be a whole number")
        made = Contents(
            format=str(texts["format"]),
            weights=str(texts["weights"]),
            output=str(texts["output"]),
            dimension=dimension,
            input=PictureInput.from_json(value),
            reference=reference,
        )
        return _fill(cls.__new__(cls), contents=made, location=None, storage_options={}, files=None)

    def at(self, location: str | None, storage_options: Mapping[str, object] | None = None) -> CustomFeatureExtractor:
        """The same in another place. Raises `InvalidParameter` for a place of another kind of model."""
        it, options = self.contents, dict(storage_options or {})
        if location is not None and format_of(location) != it.format:
            reason = f"{self.name} is of the kind {it.format}; give that"
            raise InvalidParameter("extractor_weights", redact(location), reason)
        if location is not None and it.reference not in (None, location):
            raise IncompatibleParameters(
                "algorithm.feature_extractor.reference", it.reference, location, "give the one of then"
            )
        place = None if location is None else absolute(location)
        files = None if place is None or it.format == MODULE else ModelFiles(place, options)
        made = type(self).__new__(type(self))
        return _fill(made, contents=it, location=place, storage_options=options, files=files)

    def found(self) -> str:
        """Where it is. Raises `ModelNotFound` where nothing says so."""
        if self.location is None:
            it = self.contents
            what, argument = ("module", "package.module:name") if it.format == MODULE else ("file", "FILE")
            raise ModelNotFound(
                f"{self.name}: it was a {what} ({it.weights}), and nothing says where that is; "
                f"give it: extractor_weights={argument} (--extractor-weights {argument})"
            )
        return self.location


def _check_texts(model_path: object, output_name: object) -> None:
    """Raises `InvalidParameter` for what is none, as an output of a tuple by its number."""
    if not isinstance(model_path, str | Path):
        raise InvalidParameter("model_path", model_path, "must be a path, a URL or package.module:name, as text")
    if not isinstance(output_name, str | None):
        raise InvalidParameter("output_name", output_name, 'must be text, such as "0" for the first of a tuple')


def _fill(made: CustomFeatureExtractor, **members: object) -> CustomFeatureExtractor:
    for name, value in members.items():
        object.__setattr__(made, name, value)
    return made


def must_be_given(stored: object) -> bool:
    """Whether the place of a stored extractor is the caller's to say, each time: see above."""
    return isinstance(stored, Mapping) and stored.get("kind") == KIND and stored.get("format") in TRUSTED


def custom_runtime(
    spec: CustomFeatureExtractor,
    backend: BackendChoice = "auto",
    precision: PrecisionChoice = "auto",
    accelerator: AcceleratorChoice = "auto",
) -> Runtime:
    """What runs it: the CPU in float32. Raises `InvalidParameter` where something else was asked for."""
    check_choices(backend, precision, accelerator)
    own = "ONNX Runtime" if spec.contents.format == ONNX else "torch"
    if accelerator not in ("auto", "cpu"):
        raise InvalidParameter("accelerator", accelerator, f"{spec.name} is run on the CPU; leave this out")
    if backend not in ("auto", own):
        raise InvalidParameter("backend", backend, f"{spec.name} is run by {own}; leave this out")
    if extraction_precision(precision) not in ("auto", "float32"):
        raise InvalidParameter("precision", precision, f"{spec.name} is run in float32; leave this out")
    return Runtime(backend="onnxruntime" if spec.contents.format == ONNX else "torch", precision="float32")
