"""Whether a device's decoder is used, the CPU in the GPU's place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import torch

from mlsession.errors import InvalidParameter
from mlsession.extractors.catalog import numerics_of, scene_print
from mlsession.extractors.running.decoding import DeviceDecoder
from mlsession.extractors.running.probing import observed, probed
from mlsession.extractors.running.runtime import Runtime, recorded_decoder, recorded_runtime
from mlsession.extractors.trying import FEWEST_PHOTOS, Probing, Trial, decided_decoder, trial_of
from mlsession.images.decode import SquareAndWide
from mlsession.images.plain import as_cut_short
from tests.extractors.devices import GPU, on_gpu, with_gpu
from tests.images.pictures import encoded, noisy
from tests.photos import PHOTOS

pytestmark = pytest.mark.filterwarnings("ignore:.*TorchVision are:DeprecationWarning")

FILES = [path.read_bytes() for path in sorted((PHOTOS / "test").rglob("*.jpg"))[:FEWEST_PHOTOS]]
GOOD = Trial(photos=20, mean=0.9991, low=0.9975, has_same_bits=True, notices_cuts=True)
CPU = Runtime(backend="torch", precision="float32")


@pytest.mark.parametrize(
    ("trial", "flaw"),
    [
        (GOOD, ""),
        (replace(GOOD, photos=7), "takes 7 of the photos that were looked at, and 8 are needed"),
        (replace(GOOD, mean=0.9979), "changes features: cosine 0.9979 on average, 0.9975 at the 5th percentile"),
        (replace(GOOD, low=0.9949), "changes features"),
        (replace(GOOD, mean=float("nan"), low=float("nan")), "changes features"),
        (replace(GOOD, has_same_bits=False), "in other company"),
        (replace(GOOD, notices_cuts=False), "cut short"),
        (replace(GOOD, failure="failed: the device is gone"), "the device is gone"),
    ],
)
def test_the_rule(trial: Trial, flaw: str) -> None:
    assert flaw in trial.flaw
    assert bool(flaw) == bool(trial.flaw)


class Shifting(DeviceDecoder):
    """Some pixels off, as with a crop that is not the same."""

    def prepared(self, files: Sequence[bytes], side: int, has_wide: bool = False) -> list[SquareAndWide | None]:
        found = super().prepared(files, side, has_wide)
        return [pair and (np.roll(pair[0], 24, axis=1), pair[1]) for pair in found]


class Sociable(DeviceDecoder):
    """Gives other pixels where there is company."""

    def _decoded(self, files: Sequence[bytes]) -> list[torch.Tensor]:
        return [picture ^ int(len(files) > 1) for picture in super()._decoded(files)]


class Trusting(DeviceDecoder):
    """Makes up what is missing."""

    def _decoded(self, files: Sequence[bytes]) -> list[torch.Tensor]:
        return [picture.clamp(max=120) for picture in super()._decoded(files)]


class Missing(DeviceDecoder):
    """Of a build of torchvision without nvJPEG."""

    def _decoded(self, files: Sequence[bytes]) -> list[torch.Tensor]:
        raise RuntimeError("decode_jpegs_cuda: torchvision not compiled with nvJPEG support")


def probing(kind: type[DeviceDecoder]) -> Probing:
    """By that decoder, in this process."""
    return lambda files, place, side: observed(kind(place), files, side)


class TestDeciding:
    def test_a_good_one_is_used_and_what_was_found_is_said(self) -> None:
        runtime, trial = decided_decoder(scene_print(), on_gpu(4), "nvjpeg", lambda: [b"no picture", *FILES])
        assert runtime == replace(on_gpu(4), decoder="nvjpeg")
        assert trial is not None
        assert trial.flaw == ""
        assert trial.photos == FEWEST_PHOTOS
        assert trial.low > 0.998

    @pytest.mark.parametrize(
        ("kind", "flaw"),
        [
            (Shifting, "changes features"),
            (Sociable, "in other company"),
            (Trusting, "cut short"),
            (Missing, "cannot be had on cpu: decode_jpegs_cuda: torchvision not compiled with nvJPEG support"),
        ],
    )
    def test_a_bad_one_is_not(self, kind: type[DeviceDecoder], flaw: str) -> None:
        assert flaw in trial_of(scene_print(), on_gpu(4), FILES, probing(kind)).flaw
        with pytest.raises(InvalidParameter, match=r"decoder='nvjpeg': .*take 'pillow'") as caught:
            decided_decoder(scene_print(), on_gpu(4), "nvjpeg", lambda: FILES, probing(kind))
        assert flaw in str(caught.value)

    def test_one_that_takes_what_is_cut_short_is_told_of_it(self) -> None:
        """Pillow cannot read the photo that it should have refused."""
        files = [*FILES, as_cut_short(FILES[0])]
        assert "cut short" in trial_of(scene_print(), on_gpu(4), files, probing(Trusting)).flaw

    def test_one_that_takes_its_process_with_it_does_no_harm(self) -> None:
        for place, seconds, said in (("cuda:99", 120.0, "ended with status 1: cannot be had on"), ("cpu", 0.01, "end")):
            with pytest.raises(InvalidParameter, match=rf"decoder='nvjpeg': was tried and .*{said}"):
                probed(FILES, place, 256, seconds)
        away = replace(on_gpu(4), gpu=replace(GPU, place="cuda:99"))
        assert "was tried and ended with status 1" in trial_of(scene_print(), away, FILES).flaw

    def test_with_too_few_plain_photos_it_is_not(self) -> None:
        others = [encoded(noisy(), "PNG")] * 20
        with pytest.raises(InvalidParameter, match="takes 5 of the photos"):
            decided_decoder(scene_print(), on_gpu(4), "nvjpeg", lambda: [*FILES[:5], *others])

    @pytest.mark.parametrize("runtime", [CPU, replace(CPU, gpu=replace(GPU, device="mps"))], ids=["cpu", "mps"])
    def test_unasked_or_elsewhere_nothing_is_tried(self, runtime: Runtime) -> None:
        def photos() -> Sequence[bytes]:
            raise AssertionError("nobody looks at photos")

        assert decided_decoder(scene_print(), runtime, "auto", photos) == (runtime, None)
        for choice in ("auto", "pillow"):
            assert decided_decoder(scene_print(), on_gpu(), choice, photos) == (on_gpu(), None)
        with pytest.raises(InvalidParameter, match=rf"decoder='nvjpeg': .*runs on {runtime.device}; leave it out"):
            decided_decoder(scene_print(), runtime, "nvjpeg", photos)


def test_it_is_part_of_what_a_session_records() -> None:
    plain = numerics_of(scene_print(), on_gpu())
    fast = numerics_of(scene_print(), replace(on_gpu(), decoder="nvjpeg"))
    assert {name for name in plain if plain[name] != fast[name]} == {"decoder"}
    assert str(fast["decoder"]).startswith("nvjpeg torchvision ")
    assert str(fast["decoder"]).endswith(f", else {plain['decoder']}")
    assert [recorded_decoder(each) for each in (plain, fast)] == ["pillow", "nvjpeg"]
    assert recorded_runtime(fast, with_gpu("cuda")) == replace(on_gpu(), decoder="nvjpeg")
    with pytest.raises(InvalidParameter, match="decodes for networks on CUDA, not on cpu"):
        replace(CPU, decoder="nvjpeg")
