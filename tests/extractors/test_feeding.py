"""The way of pictures to a GPU and of features back, the CPU in the GPU's place; see `tests.extractors.devices`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import numpy.typing as npt
import pytest
import torch
from torch import nn

from mlsession.devices.accelerators import Gpu
from mlsession.errors import IncompatibleParameters, InternalError, InvalidParameter
from mlsession.events import Event, NumericsChanged
from mlsession.extractors.catalog import close_extractor, load_extractor, numerics_of, scene_print
from mlsession.extractors.framing import picture_side
from mlsession.extractors.network import Framed, extractor_of, frozen
from mlsession.extractors.protocol import FeatureExtractor
from mlsession.extractors.running import decoding
from mlsession.extractors.running.feeding import FedExtractor
from mlsession.extractors.running.runtime import Runtime
from mlsession.phases.recorded import EXTRACTOR, RecordedExtractor, _Shared, workers_beside_gpu
from mlsession.randomness import keyed_generator
from mlsession.session.phase import Json
from tests.extractors.devices import GPU, on_gpu, with_gpu
from tests.extractors.photos import PHOTOS, relative_error
from tests.extractors.test_trying import Shifting

SIDE = picture_side(28)
DIMENSION = 24


def small_network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        layers = [nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, DIMENSION, 3, 2), nn.ReLU()]
        network = nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return frozen(Framed(network, 28, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)))


def small_extractor(runtime: Runtime, network: nn.Module | None = None) -> FeatureExtractor:
    return extractor_of(
        network or small_network(),
        name="small",
        identity="small",
        dimension=DIMENSION,
        input_side=SIDE,
        runtime=runtime,
    )


@contextmanager
def closing(extractor: FeatureExtractor) -> Iterator[FeatureExtractor]:
    try:
        yield extractor
    finally:
        close_extractor(extractor)


def noise(count: int) -> npt.NDArray[np.uint8]:
    return keyed_generator(0, "noise").integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


class TestFeatures:
    def test_they_are_those_of_the_cpu(self) -> None:
        pictures = noise(21)
        expected = small_extractor(Runtime(backend="torch", precision="float32")).extract(pictures)
        with closing(small_extractor(on_gpu())) as extractor:
            assert relative_error(extractor.extract(pictures), expected) < 1e-5
            assert extractor.extract(pictures[:0]).shape == (0, DIMENSION)
        with closing(small_extractor(on_gpu(bfloat16=True))) as rounded:
            assert 1e-5 < relative_error(rounded.extract(pictures), expected) < 0.02

    def test_the_embedded_network_is_the_same(self, images: npt.NDArray[np.uint8]) -> None:
        expected = load_extractor(scene_print(), Runtime(backend="torch", precision="float32")).extract(images[:5])
        with closing(load_extractor(scene_print(), on_gpu(4))) as extractor:
            assert relative_error(extractor.extract(images[:5]), expected) < 1e-5
            assert extractor.numerics() == numerics_of(scene_print(), on_gpu(4))

    @pytest.mark.parametrize("bfloat16", [False, True], ids=["float32", "bfloat16"])
    def test_they_do_not_depend_on_who_asks_for_what_when(self, bfloat16: bool) -> None:
        pictures, generator = noise(200), keyed_generator(0, "sizes")
        cuts = np.sort(generator.choice(np.arange(1, 200), 30, replace=False)).tolist()
        pieces = list(zip([0, *cuts], [*cuts, 200], strict=True))
        with closing(small_extractor(on_gpu(bfloat16=bfloat16))) as extractor:
            alone = np.concatenate([extractor.extract(pictures[place : place + 1]) for place in range(len(pictures))])
            with ThreadPoolExecutor(max_workers=7) as pool:
                found = list(pool.map(lambda piece: extractor.extract(pictures[slice(*piece)]), pieces))
        assert np.array_equal(np.concatenate(found), alone)

    def test_threads_share_batches(self) -> None:
        pictures, start = noise(96), threading.Barrier(24)

        def ask(place: int) -> npt.NDArray[np.float32]:
            start.wait()
            return extractor.extract(pictures[4 * place : 4 * place + 4])

        with closing(small_extractor(on_gpu(48))) as extractor, ThreadPoolExecutor(max_workers=24) as pool:
            list(pool.map(ask, range(24)))
            assert isinstance(extractor, FedExtractor)
            assert extractor.num_batches < 24

    def test_other_shapes_are_refused(self) -> None:
        with closing(small_extractor(on_gpu())) as extractor, pytest.raises(InvalidParameter, match=f"{SIDE}, {SIDE}"):
            extractor.extract(np.zeros((1, SIDE, SIDE + 1, 3), np.uint8))


class Greedy(nn.Module):
    """Takes as much memory as there is for so many pictures."""

    def __init__(self, most: int) -> None:
        super().__init__()
        self.network, self.most = small_network(), most

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        if len(pictures) > self.most:
            raise torch.OutOfMemoryError("out of memory")
        found: torch.Tensor = self.network(pictures)
        return found


class Failing(Greedy):
    """Fails from the third pass on; the first is made when it is loaded."""

    passes = 0

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        self.passes += 1
        if self.passes > 2:
            raise RuntimeError("the device is gone")
        return super().forward(pictures)


class TestTrouble:
    def test_batches_are_halved_until_there_is_room(self) -> None:
        with closing(small_extractor(on_gpu(64), Greedy(20))) as extractor:
            assert extractor.numerics()["batch_size"] == 16
            expected = small_extractor(Runtime(backend="torch", precision="float32")).extract(noise(40))
            assert relative_error(extractor.extract(noise(40)), expected) < 1e-5

    def test_a_network_without_room_is_refused(self) -> None:
        with pytest.raises(InvalidParameter, match=r"accelerator='cuda'.*one picture.*accelerator='cpu'"):
            small_extractor(on_gpu(4), Greedy(0))

    def test_a_failure_reaches_all_who_wait_and_all_who_come(self) -> None:
        failures = list[str]()

        def ask(place: int) -> None:
            try:
                extractor.extract(noise(8))
            except RuntimeError as error:
                failures.append(str(error))

        with closing(small_extractor(on_gpu(8), Failing(8))) as extractor, ThreadPoolExecutor(max_workers=6) as pool:
            list(pool.map(ask, range(6)))
            # Of the six, the first may have been finished before the second failed, or not.
            assert set(failures) == {"the device is gone"}
            assert len(failures) in (5, 6)
            with pytest.raises(RuntimeError, match="the device is gone"):
                extractor.extract(noise(1))

    def test_one_that_is_closed_is_not_asked(self) -> None:
        extractor = small_extractor(on_gpu())
        close_extractor(extractor)
        close_extractor(extractor)
        with pytest.raises(InternalError, match="closed"):
            extractor.extract(noise(1))


FILES = [path for label in ("Kiwi", "Lemon") for path in sorted((PHOTOS / "test" / label).glob("*.jpg"))[:3]]


def feeding_threads() -> int:
    return sum(thread.name == "mlsession-feeding" for thread in threading.enumerate())


def recorded(runtime: Runtime, told: list[Event] | None = None, **changed: Json) -> RecordedExtractor:
    about: dict[str, Json] = {**numerics_of(scene_print(), runtime), **changed}
    emit = (told if told is not None else []).append
    return RecordedExtractor(spec=scene_print(), numerics={EXTRACTOR: about}, emit=emit, surroundings=with_gpu)


def recorded_on(gpu: Gpu) -> Runtime:
    return replace(on_gpu(8), gpu=gpu, decoder="nvjpeg")


def features(extractor: RecordedExtractor, size: int = 3) -> npt.NDArray[np.float16]:
    featurizer = extractor.featurizer(None)
    try:
        rows = range(len(FILES))
        batches = featurizer.batches(rows, lambda row: FILES[row].name, lambda row: FILES[row].read_bytes(), size)
        return np.concatenate([picture.features for batch in batches for picture in batch])
    finally:
        featurizer.close()


def cosines(found: npt.NDArray[np.float16], expected: npt.NDArray[np.float16]) -> npt.NDArray[np.float32]:
    one, other = (rows.astype(np.float32) for rows in (found, expected))
    result: npt.NDArray[np.float32] = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
    return result


class TestSessions:
    def test_photos_become_the_same_features_through_all_of_it(self) -> None:
        told = list[Event]()
        found = features(recorded(on_gpu(8), told))
        assert told == []
        assert feeding_threads() == 0
        expected = features(recorded(Runtime(backend="torch", precision="float32")))
        assert relative_error(found.astype(np.float32), expected.astype(np.float32)) < 1e-3  # Rounded to float16.
        assert np.array_equal(features(recorded(on_gpu(8)), size=5), found)

    def test_one_that_is_left_early_leaves_no_thread(self) -> None:
        featurizer = recorded(on_gpu(4)).featurizer(None)
        batches = featurizer.batches(range(6), lambda row: FILES[row].name, lambda row: FILES[row].read_bytes(), 2)
        next(batches)
        assert feeding_threads() == 1
        featurizer.close()
        assert feeding_threads() == 0

    def test_another_gpu_and_another_batch_are_told_once(self) -> None:
        told = list[Event]()
        features(recorded(on_gpu(8), told, gpu="Another (8.0)", batch_size=4))
        assert told == [NumericsChanged(what="extractor.gpu", original="Another (8.0)", new=GPU.name)]

    @pytest.mark.filterwarnings("ignore:.*TorchVision are:DeprecationWarning")
    def test_the_device_decodes_where_that_is_recorded(self, monkeypatch: pytest.MonkeyPatch) -> None:
        told = list[Event]()
        runtime = replace(on_gpu(8), decoder="nvjpeg")
        found, by_pillow = features(recorded(runtime, told)), features(recorded(on_gpu(8)))
        assert told == []
        assert cosines(found, by_pillow).min() > 0.998
        assert np.array_equal(features(recorded(runtime), size=5), found)
        monkeypatch.setattr(decoding, "DeviceDecoder", Shifting)
        assert cosines(features(recorded(runtime)), by_pillow).max() < 0.998

    @pytest.mark.filterwarnings("ignore:.*TorchVision are:DeprecationWarning")
    def test_where_it_cannot_pillow_does_and_that_is_told(self) -> None:
        told = list[Event]()
        away = replace(GPU, place="cuda:99")
        shared = _Shared(lambda runtime: small_extractor(replace(runtime, gpu=GPU)), partial(recorded_on, away), SIDE)
        try:
            assert shared.decoded([b"", b""], False) == [None, None]
            assert str(shared.extractor().numerics()["decoder"]).startswith("pillow")
        finally:
            shared.close()
        features(recorded(on_gpu(8), told, decoder="nvjpeg torchvision 0.1, else pillow 1"))
        assert [event.what for event in told if isinstance(event, NumericsChanged)] == ["extractor.decoder"]

    def test_without_the_gpu_it_is_refused(self) -> None:
        asked = RecordedExtractor(
            spec=scene_print(),
            numerics={EXTRACTOR: dict(numerics_of(scene_print(), on_gpu()))},
            emit=print,
            surroundings=lambda device: with_gpu("cpu"),
        )
        with pytest.raises(IncompatibleParameters, match=r"accelerator was 'cuda'.*not on this machine.*new session"):
            features(asked)

    def test_there_are_threads_to_decode_while_others_wait(self) -> None:
        assert [workers_beside_gpu(count) for count in (1, 2, 16, 64)] == [3, 4, 24, 32]
