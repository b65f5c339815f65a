"""Whether a device's decoder may be used for a session's photos: looked at when the session is made, never believed.

some photos of the session -> decoded by both -> the same network on the same device -> how far the features drift
                                              -> other bits alone than together?  a file that is cut short: noticed?
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from mlsession.errors import InternalError, InvalidParameter, UnreadableImage
from mlsession.extractors.catalog import FeatureExtractorSpec, close_extractor, load_extractor
from mlsession.extractors.running.probing import Probe, probed
from mlsession.extractors.running.runtime import DecoderChoice, Runtime
from mlsession.images.decode import prepare_image
from mlsession.session.phase import Json

LEAST_MEAN, LEAST_LOW = 0.998, 0.995
"""Of the cosine between a photo's features by both decoders: on average, and at the 5th percentile. Moving the crop by
one pixel changes as much."""
MOST_PHOTOS = 64
"""That are looked at."""
FEWEST_PHOTOS = 8
"""Of fewer plain JPEGs nothing can be said, and nothing would be gained."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """What a device's decoder made of some photos."""

    photos: int
    """Those that it took."""
    mean: float = 0.0
    """Of the cosines of their features to those by Pillow; `low` is their 5th percentile."""
    low: float = 0.0
    has_same_bits: bool = False
    """Whether each photo alone became the same pixels as together with others, and the second time."""
    notices_cuts: bool = False
    """Whether of each file that was cut short it was told."""
    failure: str = ""
    """What was raised, if anything."""

    @property
    def flaw(self) -> str:
        """Why it is not used; "" where it may be."""
        if self.failure:
            return self.failure
        if self.photos < FEWEST_PHOTOS:
            return f"takes {self.photos} of the photos that were looked at, and {FEWEST_PHOTOS} are needed to judge it"
        if not self.has_same_bits:
            return "gives a photo other pixels in other company"
        if not self.notices_cuts:
            return "does not tell that a file is cut short"
        # Written so that what is no number fails.
        if not (self.mean >= LEAST_MEAN and self.low >= LEAST_LOW):
            limits = f"at least {LEAST_MEAN} and {LEAST_LOW} are wanted"
            return (
                f"changes features: cosine {self.mean:.4f} on average, {self.low:.4f} at the 5th percentile; {limits}"
            )
        return ""

    def to_json(self) -> dict[str, Json]:
        """For the record of a session that uses it."""
        return {"photos": self.photos, "mean": f"{self.mean:.6f}", "low": f"{self.low:.6f}"}


Probing: TypeAlias = Callable[[Sequence[bytes], str, int], Probe]


def decided_decoder(
    spec: FeatureExtractorSpec,
    runtime: Runtime,
    choice: DecoderChoice,
    photos: Callable[[], Sequence[bytes]],
    probing: Probing = probed,
) -> tuple[Runtime, Trial | None]:
    """The runtime with the decoder that a new session uses, and what was tried for that, if anything.

    `photos` gives the bytes of some of the session's files; it is called where a decoder is tried, which `probing`
    does: for "nvjpeg". "auto" is Pillow as long as no trial of nvJPEG is known to stand for all the files that follow.
    Raises `InvalidParameter` where "nvjpeg" cannot be used.
    """
    if choice != "nvjpeg":
        return runtime, None
    if runtime.gpu is None or runtime.device != "cuda":
        reason = f"decodes for networks on GPUs of NVIDIA, and this one runs on {runtime.device}; leave it out"
        raise InvalidParameter("decoder", choice, reason)
    trial = trial_of(spec, runtime, photos(), probing)
    if trial.flaw:
        raise InvalidParameter("decoder", choice, f"{trial.flaw}; leave it out, or take 'pillow'")
    return replace(runtime, decoder="nvjpeg"), trial


def trial_of(spec: FeatureExtractorSpec, runtime: Runtime, files: Sequence[bytes], probing: Probing = probed) -> Trial:
    """How the decoder of the runtime's device, by `probing`, does on some files."""
    if runtime.gpu is None:
        raise InternalError(f"{runtime.device} has no decoder of its own")
    try:
        probe = probing(files, runtime.gpu.place, spec.input_side)
    except InvalidParameter as error:
        return Trial(photos=0, failure=error.reason)
    return tried(probe, spec, runtime, files)


def tried(probe: Probe, spec: FeatureExtractorSpec, runtime: Runtime, files: Sequence[bytes]) -> Trial:
    """What the network makes of what was decoded of some files, against Pillow's way. Raises what loading it raises."""
    count = len(probe.rows)
    if count < FEWEST_PHOTOS:
        return Trial(photos=count)
    try:
        by_pillow = np.stack([prepare_image(files[row], "photo", spec.input_side) for row in probe.rows])
    except UnreadableImage:
        # One that Pillow finds to be cut short, say: it should have been left to it.
        return Trial(photos=count, has_same_bits=probe.has_same_bits)
    extractor = load_extractor(spec, runtime)
    try:
        expected, found = extractor.extract(by_pillow), extractor.extract(probe.squares)
    finally:
        close_extractor(extractor)
    cosines = (found * expected).sum(1) / (np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1))
    return Trial(
        photos=count,
        mean=float(cosines.mean()),
        low=float(np.quantile(cosines, 0.05)),
        has_same_bits=probe.has_same_bits,
        notices_cuts=probe.notices_cuts,
    )
